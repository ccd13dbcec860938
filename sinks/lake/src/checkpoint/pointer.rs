//! The pointer to full states, as it lies in the store.

use object_store::ObjectStoreExt;
use tidegauge_tables::{StatePointer, paths};

use super::error::KeepError;
use crate::log_store::LogStore;

/// One that can't be read is taken for none and written anew; the states themselves are found by
/// listing.
pub(super) async fn read_pointer(log: &LogStore) -> Result<StatePointer, KeepError> {
    let found = match log.store.get(&paths::state_pointer()).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(StatePointer::default()),
        Err(error) => return Err(error.into()),
    };
    Ok(serde_json::from_slice(&found).unwrap_or_default())
}

pub(super) async fn put_pointer(log: &LogStore, pointer: &StatePointer) -> Result<(), KeepError> {
    let json = serde_json::to_vec(pointer).expect("a pointer is plain data");
    log.store.put(&paths::state_pointer(), json.into()).await?;
    Ok(())
}

//! Asks a store, before anything relies on it, whether it does what the commit needs.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tidegauge_tables::paths;
use uuid::Uuid;

use super::StoreError;

/// Puts, reads and deletes a small object under `_tidegauge/probe` of the store's root, and makes
/// sure that a conditional put does not replace it. `objects` should be a store that gives up; `url`
/// is what messages name.
///
/// # Errors
/// If the store refuses one of them, or lets the second conditional put win.
pub(super) async fn probe(
    objects: &dyn ObjectStore,
    url: &str,
    id: Uuid,
) -> Result<(), StoreError> {
    let path = Path::from(format!("_tidegauge/probe/{id}"));
    let refused = |attempt| {
        move |error| StoreError::Refused {
            attempt,
            url: url.into(),
            error,
        }
    };
    let create = async |body: &'static str| {
        let body = PutPayload::from_static(body.as_bytes());
        objects.put_opts(&path, body, PutMode::Create.into()).await
    };
    create("1").await.map_err(refused("putting an object"))?;
    let second = create("2").await;
    let read = objects
        .get(&path)
        .await
        .map_err(refused("reading an object"))?;
    let read = read.bytes().await.map_err(refused("reading an object"))?;
    objects
        .delete(&path)
        .await
        .map_err(refused("deleting an object"))?;
    match second {
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) if read == "1" => Ok(()),
        Ok(_) => Err(StoreError::Unconditional { url: url.into() }),
        Err(error) => Err(refused("a conditional put")(error)),
    }
}

/// Reads an object that may be missing; fails only where asking again can't help.
///
/// # Errors
/// If keys or rights are wrong, or there is no such bucket.
pub(super) async fn read(objects: &dyn ObjectStore, url: &str) -> Result<(), StoreError> {
    match objects.get(&paths::state_pointer()).await {
        Err(error) if is_lasting(&error) => Err(StoreError::Refused {
            attempt: "reading an object",
            url: url.into(),
            error,
        }),
        _ => Ok(()),
    }
}

fn is_lasting(error: &Error) -> bool {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        // The same kind of error as for an object that is not there; only S3's word tells them apart.
        Error::NotFound { .. } => error.to_string().contains("NoSuchBucket"),
        _ => false,
    }
}

//! Deleting what a checkpoint and a full state have made superfluous, after a grace.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tidegauge_tables::{StatePointer, Table, paths};

use super::error::KeepError;
use super::pointer::put_pointer;
use crate::log_store::LogStore;

/// Deletes log entries, checkpoints and full states before the newest checkpoint that is older than
/// the grace; returns how many. What stays is all that anyone who opened the lake within the grace
/// may yet read.
pub(super) async fn clean(log: &LogStore, pointer: &mut StatePointer) -> Result<u64, KeepError> {
    let old_enough = log.clock.now_ms().saturating_sub(log.settings.log_grace_ms);
    let mut marks = pointer.states.iter().rev();
    let cut = marks.find(|mark| mark.at <= old_enough && !mark.checkpoints.is_empty());
    let Some(cut) = cut.cloned() else {
        return Ok(0);
    };
    // The pointer first: it must not name what is gone.
    pointer.states.retain(|mark| mark.version >= cut.version);
    put_pointer(log, pointer).await?;
    let mut deleted = 0;
    for table in Table::ALL {
        let before = cut.checkpoints.get(&table).copied().unwrap_or(0);
        let version =
            |path: &Path| paths::entry_version(path).or_else(|| paths::checkpoint_version(path));
        deleted += delete_below(log, &paths::log_folder(table), before, version).await?;
    }
    deleted += delete_below(
        log,
        &paths::state_folder(),
        cut.version,
        paths::state_version,
    )
    .await?;
    Ok(deleted)
}

/// Deletes the objects of `folder` whose version is below `before`, oldest first and one by one.
async fn delete_below(
    log: &LogStore,
    folder: &Path,
    before: u64,
    version: impl Fn(&Path) -> Option<u64>,
) -> Result<u64, KeepError> {
    let objects: Vec<_> = log.store.list(Some(folder)).try_collect().await?;
    let versions = objects
        .into_iter()
        .filter_map(|object| Some((version(&object.location)?, object.location)));
    let mut old: Vec<_> = versions.filter(|(version, _)| *version < before).collect();
    old.sort();
    for (_, path) in &old {
        match log.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(old.len() as u64)
}

//! Where the lake's own objects lie, relative to its root. Data files are the encoder's to name.

use object_store::path::Path;

use crate::table::Table;

/// What is of no table lies here, so that no other engine's clean-up meets it.
const OWN_FOLDER: &str = "_tidegauge";

/// The folder of a table's Delta log.
#[must_use]
pub fn log_folder(table: Table) -> Path {
    Path::from(format!("{}/_delta_log", table.name()))
}

/// One entry of a table's Delta log. Those of `samples` are the lake's commits.
///
/// ```
/// use tidegauge_tables::{Table, paths};
/// let path = paths::entry(Table::Samples, 7);
/// assert_eq!(path.as_ref(), "samples/_delta_log/00000000000000000007.json");
/// assert_eq!(paths::entry_version(&path), Some(7));
/// ```
#[must_use]
pub fn entry(table: Table, version: u64) -> Path {
    Path::from(format!("{}/_delta_log/{version:020}.json", table.name()))
}

/// The live files of a table at one version of its Delta log.
#[must_use]
pub fn checkpoint(table: Table, version: u64) -> Path {
    Path::from(format!(
        "{}/_delta_log/{version:020}.checkpoint.parquet",
        table.name()
    ))
}

/// Names the newest checkpoint of a table.
#[must_use]
pub fn last_checkpoint(table: Table) -> Path {
    Path::from(format!("{}/_delta_log/_last_checkpoint", table.name()))
}

/// The folder of what is of no table.
#[must_use]
pub fn own_folder() -> Path {
    Path::from(OWN_FOLDER)
}

/// The folder of full states.
#[must_use]
pub fn state_folder() -> Path {
    Path::from(format!("{OWN_FOLDER}/state"))
}

/// The full state at one version of the lake.
#[must_use]
pub fn state(version: u64) -> Path {
    Path::from(format!("{OWN_FOLDER}/state/{version:020}.json.zst"))
}

/// Names the newest full state. A hint: the folder has the truth.
#[must_use]
pub fn state_pointer() -> Path {
    Path::from(format!("{OWN_FOLDER}/last_state.json"))
}

/// The version in the name of a log entry; none for anything else.
#[must_use]
pub fn entry_version(path: &Path) -> Option<u64> {
    version(path, ".json")
}

/// The version in the name of a checkpoint; none for anything else.
#[must_use]
pub fn checkpoint_version(path: &Path) -> Option<u64> {
    version(path, ".checkpoint.parquet")
}

/// The version in the name of a full state; none for anything else.
#[must_use]
pub fn state_version(path: &Path) -> Option<u64> {
    version(path, ".json.zst")
}

fn version(path: &Path, ending: &str) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(ending)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

//! Which files no commit names: what crashed writers and finished upkeep leave behind.

use object_store::ObjectMeta;
use object_store::path::Path;
use tidegauge_tables::{LakeState, Table};

/// Which of the objects listed under the folder of `table` are data files that no commit names and
/// that may be deleted.
///
/// A file is kept while it is live; while a commit removed it at or after `removed_before`
/// (milliseconds), as running queries may read it; and while it was put at or after `put_before`,
/// as a commit on its way may name it. So `put_before` must lie before the oldest put of whatever
/// is still to be committed **in this life of the pipeline**, and an hour before the claim is
/// enough for all earlier ones: they are fenced, and their delayed puts have landed.
///
/// ```
/// use tidegauge_lake::orphans;
/// use tidegauge_tables::{LakeState, Table};
/// assert!(orphans(&LakeState::default(), Table::Samples, &[], 0, 0).is_empty());
/// ```
#[must_use]
pub fn orphans(
    state: &LakeState,
    table: Table,
    listing: &[ObjectMeta],
    put_before: i64,
    removed_before: i64,
) -> Vec<Path> {
    let folder = Path::from(table.name());
    let known = state.tables.get(&table);
    let may_go = |object: &&ObjectMeta| {
        let Some(path) = data_file(&folder, &object.location) else {
            return false;
        };
        let live = known.is_some_and(|table| table.files.contains_key(&path));
        let removed = known.and_then(|table| table.removed.get(&path));
        let put = object.last_modified.timestamp_millis();
        !live && put < put_before && removed.is_none_or(|at| *at < removed_before)
    };
    let going = listing.iter().filter(may_go);
    going.map(|object| object.location.clone()).collect()
}

/// The path of a data file relative to its table's folder; none for anything else.
fn data_file(folder: &Path, location: &Path) -> Option<String> {
    let parts: Vec<_> = location.prefix_match(folder)?.collect();
    let (first, last) = (parts.first()?.as_ref(), parts.last()?.as_ref());
    let is_data = first != "_delta_log" && last.ends_with(".parquet");
    is_data.then(|| {
        parts
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join("/")
    })
}

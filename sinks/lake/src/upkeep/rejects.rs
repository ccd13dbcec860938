//! Files of rejects become few: a producer that keeps sending what can't be taken adds one each commit.
//!
//! Rows of rejects never collide, so any files of a day may be merged. They are merged in memory, so how
//! many rows is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::record_batch::RecordBatch;
use tidegauge_model::DAY_MS;
use tidegauge_tables::{DataFile, FileChanges, LakeState, Table};

use super::plan::Planner;
use super::{Upkeep, UpkeepError, UpkeepReport, go_on};
use crate::encode::{EncodeError, REJECTS_ORDER, file_schema, write_rejects};
use crate::read::read_batches;

/// Rows merged at once, about a kibibyte each.
const MOST_ROWS: u64 = 1 << 16;

/// Merges of one pass.
const MOST_MERGES: usize = 64;

impl Upkeep {
    /// Merges files of `rejects` while a day has many.
    pub(super) async fn compact_rejects(
        &self,
        report: &mut UpkeepReport,
    ) -> Result<(), UpkeepError> {
        // Days with a file that can't be read: they keep no other from its merge.
        let (mut outcome, mut failed) = (Ok(()), BTreeSet::new());
        for _ in 0..MOST_MERGES {
            let state = self.committer.state();
            let Some(inputs) = next(&self.planner(&state), &failed) else {
                break;
            };
            let merged = self.merge_rejects(&state, &inputs, report).await;
            if merged.is_err() {
                failed.insert(inputs[0].date);
            }
            outcome = go_on(outcome, merged)?;
        }
        outcome
    }

    async fn merge_rejects(
        &self,
        state: &LakeState,
        inputs: &[Arc<DataFile>],
        report: &mut UpkeepReport,
    ) -> Result<(), UpkeepError> {
        let mut batches = Vec::new();
        for file in inputs {
            batches.extend(read_batches(&self.store, Table::Rejects, file).await?);
        }
        let sorted = sorted(&batches).map_err(EncodeError::of(Table::Rejects))?;
        let merged = write_rejects(&sorted, &self.encode.compaction, self.id())?;
        let mut changes = FileChanges {
            remove: inputs.iter().map(|file| file.path.clone()).collect(),
            ..FileChanges::default()
        };
        if let Some(merged) = merged {
            changes.add.push(self.put(merged).await?);
        }
        report.merges += 1;
        report.files_merged += inputs.len() as u64;
        report.files_written += changes.add.len() as u64;
        let files = BTreeMap::from([(Table::Rejects, changes)]);
        self.commit(state, Vec::new(), files).await
    }
}

fn sorted(batches: &[RecordBatch]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let all = concat_batches(&file_schema(Table::Rejects), batches)?;
    let by = REJECTS_ORDER.map(|column| SortColumn {
        values: Arc::clone(&all[column]),
        options: None,
    });
    let order = lexsort_to_indices(&by, None)?;
    take_record_batch(&all, &order)
}

/// The files that are merged next: of a day that has many, or of one that is over and has more than one,
/// those of the fewest rows. Days of `but` are passed over.
fn next(planner: &Planner<'_>, but: &BTreeSet<i32>) -> Option<Vec<Arc<DataFile>>> {
    let mut days = BTreeMap::<i32, Vec<Arc<DataFile>>>::new();
    for file in planner.state.files(Table::Rejects) {
        if !but.contains(&file.date) {
            days.entry(file.date).or_default().push(Arc::clone(file));
        }
    }
    days.into_iter().find_map(|(date, files)| {
        let end = (i64::from(date) + 1).saturating_mul(DAY_MS);
        let is_over = planner.is_past(end) && planner.is_quiet(&files);
        let many = match planner.settings.small_files {
            _ if is_over => 2,
            0 => usize::MAX,
            many => many,
        };
        if files.len() < many {
            return None;
        }
        let fewest = fewest_rows(files, planner.most_files());
        (fewest.len() > 1).then_some(fewest)
    })
}

/// As many of `files` as can be merged at once, up to `most`.
fn fewest_rows(mut files: Vec<Arc<DataFile>>, most: usize) -> Vec<Arc<DataFile>> {
    files.sort_by_key(|file| file.rows);
    let mut rows = 0;
    let fit = files.iter().take_while(|file| {
        rows += file.rows;
        rows <= MOST_ROWS
    });
    let count = fit.count().min(most);
    files.truncate(count);
    files
}

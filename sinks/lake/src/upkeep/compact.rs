//! Many small files become few large ones: hours, then days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegauge_model::{DAY_MS, Rollup, SeriesSeen};
use tidegauge_tables::{DataFile, FileChanges, FileKind, LakeState, Table};

use super::plan::{Job, Planner};
use super::write::{Out, Rows};
use super::{Upkeep, UpkeepError, UpkeepReport, go_on};
use crate::read::{Filter, Merge};

/// Merges of one table in one pass, so that repairs have their turn.
const MOST_MERGES: usize = 64;

impl Upkeep {
    /// Merges what can be merged.
    pub(super) async fn compact(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let mut outcome = Ok(());
        for table in Table::ALL {
            let compacted = if table == Table::Rejects {
                self.compact_rejects(report).await
            } else {
                self.compact_table(table, report).await
            };
            outcome = go_on(outcome, compacted)?;
        }
        outcome
    }

    async fn compact_table(
        &self,
        table: Table,
        report: &mut UpkeepReport,
    ) -> Result<(), UpkeepError> {
        // Days with a file that can't be read: they keep no other from its merge.
        let (mut outcome, mut failed) = (Ok(()), BTreeSet::new());
        for _ in 0..MOST_MERGES {
            let state = self.committer.state();
            let Some(job) = self.planner(&state).next(table, &failed) else {
                break;
            };
            let day = job.inputs[0].date;
            let merged = self.merge(&state, table, job, report).await;
            if merged.is_err() {
                failed.insert(day);
            }
            outcome = go_on(outcome, merged)?;
        }
        outcome
    }

    /// Merges some files of the day of `time` if more than can be read at once are `wanted` of
    /// `table`; whether it did.
    pub(super) async fn thin(
        &self,
        table: Table,
        time: i64,
        wanted: impl Fn(&DataFile) -> bool,
        report: &mut UpkeepReport,
    ) -> Result<bool, UpkeepError> {
        let state = self.committer.state();
        let planner = self.planner(&state);
        let count = state.files(table).filter(|file| wanted(file)).count();
        if count <= planner.most_files() {
            return Ok(false);
        }
        // Of rollups the choice must be from all of the day: see `plan`.
        let choice = |file: &&Arc<DataFile>| match table {
            Table::Samples => wanted(file),
            _ => i64::from(file.date) == time.div_euclid(DAY_MS),
        };
        let files = state.files(table).filter(choice).cloned().collect();
        let Some(job) = planner.some(table, files) else {
            return Ok(false);
        };
        self.merge(&state, table, job, report).await?;
        Ok(true)
    }

    pub(super) fn planner<'a>(&'a self, state: &'a LakeState) -> Planner<'a> {
        Planner {
            settings: &self.settings,
            state,
            quiet_version: self.quiet_version(),
        }
    }

    async fn merge(
        &self,
        state: &LakeState,
        table: Table,
        job: Job,
        report: &mut UpkeepReport,
    ) -> Result<(), UpkeepError> {
        let Job { inputs, kind } = job;
        let add = match table {
            Table::Samples => self.merged::<f64>(table, &inputs, kind).await?,
            Table::Series => self.merged::<SeriesSeen>(table, &inputs, kind).await?,
            _ => self.merged::<Rollup>(table, &inputs, kind).await?,
        };
        report.merges += 1;
        report.files_merged += inputs.len() as u64;
        report.files_written += add.len() as u64;
        let remove = inputs.iter().map(|file| file.path.clone()).collect();
        let changes = FileChanges { add, remove };
        self.commit(state, Vec::new(), BTreeMap::from([(table, changes)]))
            .await
    }

    async fn merged<T: Rows>(
        &self,
        table: Table,
        inputs: &[Arc<DataFile>],
        kind: FileKind,
    ) -> Result<Vec<DataFile>, UpkeepError> {
        let mut out = Out::<T>::new(self, table, kind);
        let mut merge = Merge::<T>::open(&self.store, table, inputs, &Filter::all()).await?;
        while let Some(series) = merge.next().await? {
            out.push(&series.key, &series.time, &series.rows).await?;
        }
        out.finish().await
    }
}

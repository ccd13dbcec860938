//! Removes rows whose own retention has run out from files in which others are still kept.
//!
//! A day at a time, once the whole day is over for them and its files are merged: then no file
//! overrides another, so each can be written anew without them. Which metrics a day has is in its
//! `series`; whether a file holds rows of one is told by its pages' bounds. A day in which nothing was left
//! to do is looked at again only once its files have changed or more of it has run out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegauge_model::{DAY_MS, Rollup, SeriesSeen};
use tidegauge_tables::{DataFile, FileChanges, FileKind, Key, Table};

use super::write::{Out, Rows};
use super::{Upkeep, UpkeepError, UpkeepReport, go_on};
use crate::read::{Filter, Merge, Stored};

/// Tables whose rows can have a retention of their own.
const TRIMMED: [Table; 4] = [
    Table::Samples,
    Table::Rollup1m,
    Table::Rollup5m,
    Table::Rollup1h,
];

/// Days of tables in which nothing was left to trim.
pub(super) type Looked = BTreeMap<(Table, i32), Look>;

/// What was looked at.
#[derive(Debug)]
pub(super) struct Look {
    /// The day's files, those of its series among them.
    paths: BTreeSet<String>,
    /// When the next of its metrics runs out, milliseconds.
    again_at: i64,
}

/// The metrics of a day that have run out, and when the next one does, milliseconds.
#[derive(Debug)]
struct RunOut {
    keys: BTreeSet<Key>,
    next_at: i64,
}

impl Upkeep {
    /// Trims every day that is due.
    pub(super) async fn trim(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let mut outcome = Ok(());
        for table in TRIMMED {
            if self.retention.shortest(table) == self.retention.longest(table) {
                continue;
            }
            let kept_from = self
                .clock
                .now_ms()
                .saturating_sub(self.retention.shortest(table));
            let state = self.committer.state();
            let days: BTreeSet<i32> = state.files(table).map(|file| file.date).collect();
            self.memory
                .lock()
                .trimmed
                .retain(|(of, day), _| *of != table || days.contains(day));
            for day in days {
                if (i64::from(day) + 1) * DAY_MS <= kept_from {
                    // A day with a file that can't be read keeps no other from its turn.
                    outcome = go_on(outcome, self.trim_day(table, day, report).await)?;
                }
            }
        }
        outcome
    }

    async fn trim_day(
        &self,
        table: Table,
        day: i32,
        report: &mut UpkeepReport,
    ) -> Result<(), UpkeepError> {
        let state = self.committer.state();
        let files: Vec<_> = state
            .files(table)
            .filter(|file| file.date == day)
            .cloned()
            .collect();
        let start = i64::from(day) * DAY_MS;
        if !self.planner(&state).is_in_shape(start, &files) {
            return Ok(());
        }
        let series: Vec<_> = state
            .files(Table::Series)
            .filter(|file| file.date == day)
            .cloned()
            .collect();
        let both = files.iter().chain(&series);
        let paths: BTreeSet<_> = both.map(|file| file.path.clone()).collect();
        let now = self.clock.now_ms();
        let known = |look: &Look| look.paths == paths && now < look.again_at;
        if self
            .memory
            .lock()
            .trimmed
            .get(&(table, day))
            .is_some_and(known)
        {
            return Ok(());
        }
        let from = counted_from(day, &files, self.retention.longest(table));
        let RunOut { keys, next_at } = self.run_out(table, from, &series, now).await?;
        let mut changes = FileChanges::default();
        for file in &files {
            if self.holds_any(table, file, &keys).await? {
                changes.add.extend(match table {
                    Table::Samples => self.without::<f64>(table, file, &keys).await?,
                    _ => self.without::<Rollup>(table, file, &keys).await?,
                });
                changes.remove.push(file.path.clone());
            }
        }
        if changes.remove.is_empty() {
            let look = Look {
                paths,
                again_at: next_at,
            };
            self.memory.lock().trimmed.insert((table, day), look);
            return Ok(());
        }
        report.files_trimmed += changes.remove.len() as u64;
        self.commit(&state, Vec::new(), BTreeMap::from([(table, changes)]))
            .await
    }

    /// The metrics of `series` whose rows in `table`, kept from `from` on, have run out by `now`.
    async fn run_out(
        &self,
        table: Table,
        from: i64,
        series: &[Arc<DataFile>],
        now: i64,
    ) -> Result<RunOut, UpkeepError> {
        let mut out = RunOut {
            keys: BTreeSet::new(),
            next_at: i64::MAX,
        };
        let mut merge =
            Merge::<SeriesSeen>::open(&self.store, Table::Series, series, &Filter::all()).await?;
        while let Some(seen) = merge.next().await? {
            let key = Key {
                tenant: (*seen.key.tenant).to_owned(),
                name: (*seen.key.name).to_owned(),
            };
            let until = from.saturating_add(self.retention.of(table, &key));
            if until <= now {
                out.keys.insert(key);
            } else {
                out.next_at = out.next_at.min(until);
            }
        }
        Ok(out)
    }

    async fn holds_any(
        &self,
        table: Table,
        file: &Arc<DataFile>,
        gone: &BTreeSet<Key>,
    ) -> Result<bool, UpkeepError> {
        for key in gone.range(file.min_key.clone()..=file.max_key.clone()) {
            let holds = match table {
                Table::Samples => self.holds::<f64>(table, file, key).await?,
                _ => self.holds::<Rollup>(table, file, key).await?,
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn holds<T: Stored>(
        &self,
        table: Table,
        file: &Arc<DataFile>,
        key: &Key,
    ) -> Result<bool, UpkeepError> {
        let only = Filter {
            keys: Some(key.clone()..=key.clone()),
            ..Filter::all()
        };
        let mut merge =
            Merge::<T>::open(&self.store, table, std::slice::from_ref(file), &only).await?;
        Ok(merge.next().await?.is_some())
    }

    /// The file written anew, but for the rows of `gone`.
    async fn without<T: Rows>(
        &self,
        table: Table,
        file: &Arc<DataFile>,
        gone: &BTreeSet<Key>,
    ) -> Result<Vec<DataFile>, UpkeepError> {
        let mut out = Out::<T>::new(self, table, FileKind::Main);
        let files = std::slice::from_ref(file);
        let mut merge = Merge::<T>::open(&self.store, table, files, &Filter::all()).await?;
        while let Some(series) = merge.next().await? {
            let key = Key {
                tenant: (*series.key.tenant).to_owned(),
                name: (*series.key.name).to_owned(),
            };
            if !gone.contains(&key) {
                out.push(&series.key, &series.time, &series.rows).await?;
            }
        }
        out.finish().await
    }
}

/// From when the retention of a day's rows counts: its end, or, where all of it came as a backfill after
/// it would have expired, its coming.
fn counted_from(day: i32, files: &[Arc<DataFile>], longest_ms: i64) -> i64 {
    let end = (i64::from(day) + 1) * DAY_MS;
    let came = files.iter().map(|file| file.taken_at);
    if came.clone().all(|at| at >= end.saturating_add(longest_ms)) {
        came.max().unwrap_or(end)
    } else {
        end
    }
}

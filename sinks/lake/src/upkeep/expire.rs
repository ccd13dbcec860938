//! Removes files whose rows have all expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, floor};
use tidegauge_tables::{DataFile, FileChanges, LakeState, Table};

use super::{Upkeep, UpkeepError, UpkeepReport};

impl Upkeep {
    /// Removes from every table the files that lie before its retention.
    pub(super) async fn expire(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let (state, now) = (self.committer.state(), self.clock.now_ms());
        let mut files = BTreeMap::new();
        for table in Table::ALL {
            let remove = expired(&state, table, self.retention.longest(table), now);
            if !remove.is_empty() {
                report.files_expired += remove.len() as u64;
                let add = Vec::new();
                files.insert(table, FileChanges { add, remove });
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        self.commit(&state, Vec::new(), files).await
    }
}

/// The files of `table` all of whose rows have run out by `now`, if they are kept for `kept_ms`.
///
/// What comes late to minutes that have expired goes at once, as rollups have taken it in.
/// Of samples, files that share a minute go together, since a repair can make do with none of a
/// minute's old samples but not with some; days end at such minutes, so none waits for more than its
/// day. Samples of dirty minutes wait for their repair.
fn expired(state: &LakeState, table: Table, kept_ms: i64, now: i64) -> Vec<String> {
    let Some(present) = state.tables.get(&table) else {
        return Vec::new();
    };
    // A start folds open windows anew from these, however old they are, and needs their series.
    let open_from = match (table, state.watermark) {
        (Table::Samples, Some(watermark)) => floor(watermark, MINUTE_MS),
        (Table::Rollup1m, Some(watermark)) => floor(watermark, HOUR_MS),
        (Table::Series, Some(watermark)) => floor(watermark, DAY_MS),
        _ => i64::MAX,
    };
    let has_run_out = |file: &DataFile| {
        // A series is put down with the first sample of its day, and stands for all of them.
        let newest = match table {
            Table::Series => (i64::from(file.date) + 1) * DAY_MS - 1,
            _ => file.max_time,
        };
        if newest >= open_from {
            return false;
        }
        let by_time = newest.saturating_add(kept_ms);
        let until = if present.has_expired(file) {
            by_time
        } else {
            file.expires_at(kept_ms).max(by_time)
        };
        until < now
    };
    let mut files: Vec<_> = present.files.values().collect();
    let gone: Vec<_> = if table == Table::Samples {
        files.sort_unstable_by_key(|file| file.min_time);
        let awaited = |file: &DataFile| {
            let minutes = floor(file.min_time, MINUTE_MS)..=file.max_time;
            state.dirty.range(minutes).next().is_some()
        };
        let together = sharing_minutes(&files).filter(|files| {
            let mut each = files.iter();
            each.all(|file| has_run_out(file) && !awaited(file))
        });
        together.flatten().copied().collect()
    } else {
        files.retain(|file| has_run_out(file));
        files
    };
    gone.iter().map(|file| file.path.clone()).collect()
}

/// `files`, by ascending least time, cut where a minute starts that none straddles.
fn sharing_minutes<'a>(
    files: &'a [&'a Arc<DataFile>],
) -> impl Iterator<Item = &'a [&'a Arc<DataFile>]> {
    let mut reach = i64::MIN;
    files.chunk_by(move |file, next| {
        reach = reach.max(file.max_time);
        floor(next.min_time, MINUTE_MS) <= reach
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_tables::{Dirtied, FileKind, Key, TableState};

    fn state(files: &[(&str, i64, i64)], dirty: &[i64]) -> LakeState {
        let mut samples = TableState::default();
        for &(path, min_time, max_time) in files {
            let file = DataFile {
                path: path.into(),
                date: 0,
                bytes: 1,
                rows: 1,
                min_time,
                max_time,
                min_key: Key::default(),
                max_key: Key::default(),
                kind: FileKind::Main,
                compacted: false,
                taken_at: 0,
                version: 0,
            };
            samples.files.insert(path.into(), Arc::new(file));
        }
        LakeState {
            dirty: dirty
                .iter()
                .map(|minute| (*minute, Dirtied { first: 1, last: 1 }))
                .collect(),
            tables: BTreeMap::from([(Table::Samples, samples)]),
            ..LakeState::default()
        }
    }

    #[test]
    fn a_minute_of_samples_goes_whole_or_not_at_all() {
        let files = [
            ("a", 0, 59_999),
            ("b", 60_000, 119_000),
            ("c", 119_500, 130_000),
            ("d", 180_000, 190_000),
        ];
        let check = |dirty: &[i64], kept_from| {
            expired(&state(&files, dirty), Table::Samples, 0, kept_from).concat()
        };
        assert_eq!(check(&[], 59_999), "");
        assert_eq!(check(&[], 60_000), "a");
        assert_eq!(
            check(&[], 120_000),
            "a",
            "b shares a minute with c, which straddles"
        );
        assert_eq!(check(&[], 180_000), "abc");
        assert_eq!(check(&[60_000], 180_000), "a");
    }

    #[test]
    fn series_are_kept_while_their_day_can_have_samples() {
        let mut state = state(&[("a", 1_000, 1_000)], &[]);
        let series = state.tables.remove(&Table::Samples).expect("files");
        state.tables.insert(Table::Series, series);
        let mut check = |watermark, now| {
            state.watermark = watermark;
            expired(&state, Table::Series, 60_000, now).concat()
        };
        assert_eq!(check(Some(DAY_MS - 1), DAY_MS + 60_000), "");
        assert_eq!(check(Some(DAY_MS), DAY_MS + 59_999), "");
        assert_eq!(check(Some(DAY_MS), DAY_MS + 60_000), "a");
    }

    #[test]
    fn a_backfill_is_kept_from_its_coming_but_not_where_rows_have_expired() {
        let mut state = state(&[("a", 0, 59_999), ("b", 60_000, 119_999)], &[]);
        let samples = state.tables.get_mut(&Table::Samples).expect("samples");
        for file in samples.files.values_mut() {
            Arc::make_mut(file).taken_at = 1_000_000;
        }
        let check = |state: &LakeState, now| expired(state, Table::Samples, 10_000, now).concat();
        assert_eq!(check(&state, 1_010_000), "");
        assert_eq!(check(&state, 1_010_001), "ab");
        let samples = state.tables.get_mut(&Table::Samples).expect("samples");
        samples.expired = vec![(0, 60_000)];
        assert_eq!(check(&state, 1_000_001), "a");
    }
}

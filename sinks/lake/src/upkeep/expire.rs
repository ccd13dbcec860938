//! Removes files whose rows have all expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_model::{MINUTE_MS, floor};
use tidegauge_tables::{DataFile, FileChanges, LakeState, Table};

use super::{Upkeep, UpkeepError, UpkeepReport};

impl Upkeep {
    /// Removes from every table the files that lie before its retention.
    pub(super) async fn expire(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let (state, now) = (self.committer.state(), self.clock.now_ms());
        let mut files = BTreeMap::new();
        for table in Table::ALL {
            let kept_from = now.saturating_sub(self.retention.longest(table));
            let remove = expired(&state, table, kept_from);
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

/// The files of `table` all of whose rows lie before `kept_from`.
///
/// Samples are removed up to a minute that no file straddles, since a repair can make do with none
/// of a minute's old samples but not with some; days end at such minutes, so it waits a day at most.
/// Samples of dirty minutes wait for their repair.
fn expired(state: &LakeState, table: Table, kept_from: i64) -> Vec<String> {
    let files: Vec<_> = state.files(table).collect();
    let (kept_from, is_awaited) = match table {
        Table::Samples => (clean_cut(&files, kept_from), true),
        _ => (kept_from, false),
    };
    let awaited = |file: &DataFile| {
        let minutes = floor(file.min_time, MINUTE_MS)..=file.max_time;
        is_awaited && state.dirty.range(minutes).next().is_some()
    };
    let gone = files
        .iter()
        .filter(|file| file.max_time < kept_from && !awaited(file));
    gone.map(|file| file.path.clone()).collect()
}

/// The last start of a minute at or before `before` that no file straddles.
fn clean_cut(files: &[&Arc<DataFile>], before: i64) -> i64 {
    let mut cut = floor(before, MINUTE_MS);
    loop {
        let straddling = files
            .iter()
            .filter(|file| file.min_time < cut && cut <= file.max_time);
        let Some(start) = straddling.map(|file| file.min_time).min() else {
            return cut;
        };
        cut = floor(start, MINUTE_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_tables::{FileKind, Key, TableState};

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
                version: 0,
            };
            samples.files.insert(path.into(), Arc::new(file));
        }
        LakeState {
            dirty: dirty.iter().map(|minute| (*minute, 1)).collect(),
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
            expired(&state(&files, dirty), Table::Samples, kept_from).concat()
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
}

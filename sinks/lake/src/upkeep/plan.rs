//! Which files are merged next, and as what. Pure.
//!
//! Merging must keep two promises. **No two rows of `Main` files have the same series and time**: so
//! overlay rows become `Main` rows only in a merge that takes in every file that overlaps the
//! merged span. Such a span is an hour that no file straddles, or a day, which no file ever does.
//! **Of two rollup rows the one of the newer file counts**, and a merged file is the newest of all:
//! so a merge of rollups takes in, of the files that overlap it, either all, or the newest of a
//! day, so that each file left out is older than each taken and loses to the result as it lost
//! before; or only `Main` rows where no overlay is. Samples settle by value, and series keep the
//! newest metadata, so samples of one kind may be merged in any choice and series go as rollups do.
//!
//! The stream adds files while a merge runs. They hold rows of windows not closed before or, in
//! `samples`, late ones, of which those that may collide are overlays; so both promises hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegauge_model::{DAY_MS, HOUR_MS, floor};
use tidegauge_tables::{DataFile, FileKind, LakeState, Table};

use super::settings::UpkeepSettings;

/// A merge: what goes in, and what kind of file comes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) inputs: Vec<Arc<DataFile>>,
    pub(super) kind: FileKind,
}

/// By what it is decided.
pub(super) struct Planner<'a> {
    pub(super) settings: &'a UpkeepSettings,
    pub(super) state: &'a LakeState,
    /// Files of later versions have just come.
    pub(super) quiet_version: Option<u64>,
}

type Files = Vec<Arc<DataFile>>;

impl Planner<'_> {
    /// The next merge of `table` in a day that is not of `but`; none if it is in shape.
    pub(super) fn next(&self, table: Table, but: &BTreeSet<i32>) -> Option<Job> {
        let mut days = BTreeMap::<i32, Files>::new();
        for file in self.state.files(table) {
            if !but.contains(&file.date) {
                days.entry(file.date).or_default().push(Arc::clone(file));
            }
        }
        days.iter().find_map(|(date, files)| {
            let start = i64::from(*date) * DAY_MS;
            let day = || self.day(table, start, files);
            let hours = || self.hours(table, files);
            let few = files.len() <= self.most_files();
            // Hours first where their day could not be read at once; else they'd be written twice.
            self.crowded(table, files)
                .or_else(|| if few { day() } else { None })
                .or_else(hours)
                .or_else(day)
                .or_else(|| self.small(table, files))
        })
    }

    /// Some of the files of a day, as few enough can be read at once; none if none are to gain.
    pub(super) fn some(&self, table: Table, mut files: Files) -> Option<Job> {
        if table == Table::Samples {
            let overlays = files.iter().filter(|file| is_overlay(file)).count();
            let kind = if overlays * 2 > files.len() {
                FileKind::Overlay
            } else {
                FileKind::Main
            };
            files.retain(|file| file.kind == kind);
            // Those within an hour first, lest hours come to overlap for good.
            files.sort_by_key(|file| (hour_of(file).is_none(), file.bytes));
        } else {
            files.sort_by_key(|file| std::cmp::Reverse(file.version));
        }
        files.truncate(self.most_files());
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let most_out = bytes / self.settings.file_bytes.max(1) + 1;
        let gains = files.len() >= 2 && most_out <= files.len() as u64 / 2;
        let kind = if files.iter().any(is_overlay) {
            FileKind::Overlay
        } else {
            FileKind::Main
        };
        gains.then_some(Job {
            inputs: files,
            kind,
        })
    }

    /// Whether all files of the day from `start` are as a merge of the closed day leaves them.
    pub(super) fn is_in_shape(&self, start: i64, files: &[Arc<DataFile>]) -> bool {
        self.is_closed(start, start + DAY_MS) && self.is_quiet(files) && self.is_merged(files)
    }

    pub(super) fn most_files(&self) -> usize {
        self.settings.most_files.max(4)
    }

    /// A day on which late samples keep coming is never quiet, yet its overlays must not pile up.
    fn crowded(&self, table: Table, files: &[Arc<DataFile>]) -> Option<Job> {
        let overlays = files.iter().filter(|file| is_overlay(file));
        if overlays.clone().count() <= self.most_files() {
            return None;
        }
        match table {
            Table::Samples => self.some(table, overlays.cloned().collect()),
            _ => self.some(table, files.to_vec()),
        }
    }

    fn hours(&self, table: Table, files: &[Arc<DataFile>]) -> Option<Job> {
        if !matches!(table, Table::Samples | Table::Rollup1m | Table::Rollup5m) {
            return None;
        }
        let mut hours = BTreeMap::<i64, Files>::new();
        for file in files {
            if let Some(hour) = hour_of(file) {
                hours.entry(hour).or_default().push(Arc::clone(file));
            }
        }
        let closed = hours
            .into_iter()
            .filter(|(hour, _)| self.is_closed(*hour, hour + HOUR_MS));
        closed
            .into_iter()
            .find_map(|(hour, inside)| self.hour(table, hour, inside, files))
    }

    /// Merges what lies within an hour; `day` holds all files of its day.
    fn hour(&self, table: Table, hour: i64, inside: Files, day: &[Arc<DataFile>]) -> Option<Job> {
        let around: Vec<_> = day
            .iter()
            .filter(|file| file.min_time < hour + HOUR_MS && file.max_time >= hour)
            .collect();
        if around.len() == inside.len() {
            return self.all(table, inside);
        }
        let (overlays, mains): (Files, Files) = inside.into_iter().partition(is_overlay);
        if table == Table::Samples {
            self.apart(mains, FileKind::Main)
                .or_else(|| self.apart(overlays, FileKind::Overlay))
        } else if around.iter().any(|file| is_overlay(file)) {
            None
        } else {
            self.apart(mains, FileKind::Main)
        }
    }

    /// Merges small files of `samples` that lie within an hour, as the stream wrote them: whoever
    /// asks for the last hour opens each file. What comes of it waits until the hour is closed.
    fn small(&self, table: Table, files: &[Arc<DataFile>]) -> Option<Job> {
        let few = self.settings.small_files;
        if table != Table::Samples || few == 0 {
            return None;
        }
        let mut hours = BTreeMap::<i64, Files>::new();
        for file in files {
            let is_small = !file.compacted && file.bytes <= self.settings.small_bytes;
            if let Some(hour) = hour_of(file)
                && is_small
                && !is_overlay(file)
            {
                hours.entry(hour).or_default().push(Arc::clone(file));
            }
        }
        let few = few.clamp(2, self.most_files());
        let mut inputs = hours.into_values().find(|files| files.len() >= few)?;
        inputs.sort_by_key(|file| file.version);
        inputs.truncate(self.most_files());
        Some(Job {
            inputs,
            kind: FileKind::Main,
        })
    }

    fn day(&self, table: Table, start: i64, files: &[Arc<DataFile>]) -> Option<Job> {
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let closed = match table {
            Table::Series => self.is_past(start + DAY_MS),
            _ => self.is_closed(start, start + DAY_MS),
        };
        if !closed || bytes > self.settings.most_bytes {
            return None;
        }
        self.all(table, files.to_vec())
            .or_else(|| self.anew(files.to_vec()))
    }

    /// Writes files that need no merging but are still as the stream wrote them, such as those of a day
    /// that came in one commit.
    fn anew(&self, files: Files) -> Option<Job> {
        let due = self.is_quiet(&files)
            && files.len() <= self.most_files()
            && files.iter().all(|file| !is_overlay(file))
            && files.iter().any(|file| !file.compacted);
        due.then_some(Job {
            inputs: files,
            kind: FileKind::Main,
        })
    }

    /// Merges all files of a span that no other file overlaps, at last into `Main` files.
    fn all(&self, table: Table, files: Files) -> Option<Job> {
        if !self.is_quiet(&files) || self.is_merged(&files) {
            return None;
        }
        if files.len() > self.most_files() {
            return self.some(table, files);
        }
        Some(Job {
            inputs: files,
            kind: FileKind::Main,
        })
    }

    /// Merges files of one kind of `samples`, or `Main` files that no overlay touches.
    fn apart(&self, mut files: Files, kind: FileKind) -> Option<Job> {
        let merged = match kind {
            FileKind::Main => self.is_merged(&files),
            FileKind::Overlay => files.len() < 2,
        };
        if merged || !self.is_quiet(&files) {
            return None;
        }
        files.sort_by_key(|file| file.bytes);
        files.truncate(self.most_files());
        Some(Job {
            inputs: files,
            kind,
        })
    }

    pub(super) fn is_past(&self, end: i64) -> bool {
        let past = end.saturating_add(self.settings.compact_after_ms);
        self.state.watermark.is_some_and(|j| past <= j)
    }

    fn is_closed(&self, start: i64, end: i64) -> bool {
        self.is_past(end) && self.state.dirty.range(start..end).next().is_none()
    }

    pub(super) fn is_quiet(&self, files: &[Arc<DataFile>]) -> bool {
        let newest = files.iter().map(|file| file.version).max();
        newest <= self.quiet_version
    }

    /// Whether files are as a merge leaves them: no overlay, one after the other by key, and as few as
    /// their bytes ask for, or all of one merge, which can only guess how large a file will be.
    fn is_merged(&self, files: &[Arc<DataFile>]) -> bool {
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let most = bytes / self.settings.file_bytes.max(1) + 1;
        let mut versions = files.iter().map(|file| (file.compacted, file.version));
        let first = versions.next();
        let of_one_merge = versions.all(|it| it.0 && Some(it) == first);
        let mut keys: Vec<_> = files
            .iter()
            .map(|file| (&file.min_key, &file.max_key))
            .collect();
        keys.sort();
        (files.len() as u64 <= most || of_one_merge)
            && !files.iter().any(is_overlay)
            && keys.windows(2).all(|pair| pair[0].1 <= pair[1].0)
    }
}

fn is_overlay(file: &Arc<DataFile>) -> bool {
    file.kind == FileKind::Overlay
}

/// The hour that holds all rows of a file, if one does.
fn hour_of(file: &DataFile) -> Option<i64> {
    let hour = floor(file.min_time, HOUR_MS);
    (file.max_time < hour + HOUR_MS).then_some(hour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_tables::{Key, TableState};

    fn file(path: &str, times: (i64, i64), kind: FileKind, version: u64) -> Arc<DataFile> {
        Arc::new(DataFile {
            path: path.into(),
            date: 0,
            bytes: 100,
            rows: 1,
            min_time: times.0,
            max_time: times.1,
            min_key: Key::default(),
            max_key: Key::default(),
            kind,
            compacted: true,
            taken_at: 0,
            version,
        })
    }

    fn check(table: Table, watermark: i64, files: &[Arc<DataFile>]) -> Option<(String, FileKind)> {
        let files = files
            .iter()
            .map(|file| (file.path.clone(), Arc::clone(file)));
        let files = TableState {
            files: files.collect(),
            ..TableState::default()
        };
        let state = LakeState {
            watermark: Some(watermark),
            tables: BTreeMap::from([(table, files)]),
            ..LakeState::default()
        };
        let settings = UpkeepSettings {
            most_files: 4,
            ..UpkeepSettings::default()
        };
        let planner = Planner {
            settings: &settings,
            state: &state,
            quiet_version: Some(50),
        };
        planner.next(table, &BTreeSet::new()).map(|job| {
            let mut paths: Vec<_> = job.inputs.iter().map(|file| file.path.as_str()).collect();
            paths.sort_unstable();
            (paths.concat(), job.kind)
        })
    }

    const MAIN: FileKind = FileKind::Main;
    const OVER: FileKind = FileKind::Overlay;
    const SOON: i64 = HOUR_MS + 300_000;

    #[test]
    fn an_hour_waits_for_the_watermark_and_for_quiet() {
        let files = |version| [file("a", (0, 9), MAIN, 1), file("b", (5, 9), OVER, version)];
        let all = Some(("ab".into(), MAIN));
        assert_eq!(check(Table::Samples, SOON - 1, &files(2)), None);
        assert_eq!(check(Table::Samples, SOON, &files(51)), None);
        assert_eq!(check(Table::Samples, SOON, &files(2)), all);
        assert_eq!(check(Table::Rollup1m, SOON, &files(2)), all);
    }

    #[test]
    fn overlays_stay_apart_where_a_file_straddles_the_hour() {
        let wide = file("w", (8, HOUR_MS), MAIN, 3);
        let files = [
            file("a", (0, 9), MAIN, 1),
            file("b", (5, 9), OVER, 2),
            Arc::clone(&wide),
            file("c", (5, 9), OVER, 2),
        ];
        let overlays = Some(("bc".into(), OVER));
        assert_eq!(check(Table::Samples, SOON, &files), overlays);
        assert_eq!(check(Table::Rollup1m, SOON, &files), None);
        let mains = [wide, file("a", (0, 9), MAIN, 1), file("b", (5, 9), MAIN, 2)];
        assert_eq!(
            check(Table::Rollup1m, SOON, &mains),
            Some(("ab".into(), MAIN))
        );
    }

    #[test]
    fn small_files_of_an_hour_that_goes_on_are_merged_once() {
        let as_written = |(at, path)| {
            let file = file(path, (at, at + 5), MAIN, 60);
            Arc::new(DataFile {
                compacted: false,
                ..(*file).clone()
            })
        };
        let mut files: Vec<_> = (0..).zip(["a", "b", "c", "d"]).map(as_written).collect();
        files.push(file("o", (0, 9), OVER, 60));
        files.push(file("m", (0, 9), MAIN, 60));
        let small = Some(("abcd".into(), MAIN));
        assert_eq!(check(Table::Samples, SOON - 1, &files), small);
        assert_eq!(check(Table::Rollup1m, SOON - 1, &files), None);
        assert_eq!(
            check(Table::Samples, SOON - 1, &files[1..]),
            None,
            "too few"
        );
    }

    #[test]
    fn a_closed_day_becomes_one() {
        let files = [file("a", (0, 9), MAIN, 1), file("w", (8, HOUR_MS), OVER, 3)];
        let past = DAY_MS + 300_000;
        assert_eq!(check(Table::Rollup1h, past - 1, &files), None);
        assert_eq!(
            check(Table::Rollup1h, past, &files),
            Some(("aw".into(), MAIN))
        );
        assert_eq!(
            check(Table::Rollup1h, past, &files[..1]),
            None,
            "it is in shape"
        );
        let hasty = Arc::new(DataFile {
            compacted: false,
            taken_at: 0,
            ..(*files[0]).clone()
        });
        assert_eq!(
            check(Table::Rollup1h, past, &[hasty]),
            Some(("a".into(), MAIN)),
            "it is as the stream wrote it"
        );
    }

    #[test]
    fn what_one_merge_has_cut_too_small_is_left_so() {
        let past = DAY_MS + 300_000;
        let files = |version| [file("a", (0, 9), MAIN, 1), file("b", (0, 9), MAIN, version)];
        assert_eq!(check(Table::Rollup1h, past, &files(1)), None);
        assert_eq!(
            check(Table::Rollup1h, past, &files(2)),
            Some(("ab".into(), MAIN)),
            "of two merges"
        );
    }

    #[test]
    fn of_too_many_rollups_the_newest_go_first() {
        let files: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .into_iter()
            .zip(1..)
            .map(|(path, version)| file(path, (0, HOUR_MS), OVER, version))
            .collect();
        assert_eq!(
            check(Table::Rollup1m, 0, &files),
            Some(("cdef".into(), OVER))
        );
    }
}

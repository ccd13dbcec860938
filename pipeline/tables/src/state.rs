//! What the log adds up to: the live files, offsets, watermark and dirty windows at one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegauge_model::{
    Counts, HOUR_MS, MINUTE_MS, NextOffset, Partition, PartitionCut, RecordMark, floor,
};
use uuid::Uuid;

use crate::commit::{Commit, CommitKind};
use crate::datafile::DataFile;
use crate::table::Table;

/// The lake at one version of its log. Cloning it shares the file entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LakeState {
    /// The last log entry applied; none for an empty lake.
    pub version: Option<u64>,
    /// The nonce of that entry: by it a reader makes sure that what follows follows this state.
    #[serde(default)]
    pub nonce: Option<Uuid>,
    /// When and as what the lake was made; none for an empty lake.
    #[serde(default)]
    pub birth: Option<Birth>,
    /// Whether `samples` has the columns of the compact form, as some life has written it.
    #[serde(default)]
    pub compact: bool,
    /// The newest generation seen.
    pub generation: u64,
    /// The next epoch.
    pub epoch: u64,
    /// The watermark `J`, milliseconds: windows with end ≤ J are closed and their rows written.
    pub watermark: Option<i64>,
    /// The greatest future cutoff `F` of all commits, milliseconds: a clock may have been set back.
    pub cutoff: Option<i64>,
    /// Wall clock of the last commit, milliseconds.
    pub committed_at: i64,
    /// How far each partition is taken.
    #[serde(with = "cuts_as_list")]
    pub cuts: BTreeMap<Partition, (NextOffset, Option<RecordMark>)>,
    /// Starts of dirty 1-minute windows.
    #[serde(with = "dirty_as_spans")]
    pub dirty: BTreeMap<i64, Dirtied>,
    /// Live files by table.
    pub tables: BTreeMap<Table, TableState>,
    /// What came in since the lake was made.
    pub counts: Counts,
}

/// Which versions have made a window dirty, since it was last repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirtied {
    /// The first: what came late lies in files of this version and after.
    pub first: u64,
    /// The last: a repair computed from an older one leaves the window dirty.
    pub last: u64,
}

/// The live files of one table by path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableState {
    /// The files.
    pub files: BTreeMap<String, Arc<DataFile>>,
    /// The version that last changed the table.
    pub version: u64,
    /// Wall clock of that commit, milliseconds.
    #[serde(default)]
    pub committed_at: i64,
    /// How many commits have changed the table: the version of its own Delta log at which the last
    /// of them stands, as entry 0 is the making of the table. `samples`, whose log is the lake's,
    /// goes by the lake's version instead.
    #[serde(default)]
    pub entries: u64,
    /// Files that commits of the last [`REMOVED_KEPT_MS`] have removed, with the wall clock of the
    /// commit: running queries may yet read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, i64>,
    /// Half-open spans of minutes, milliseconds, ascending, of which files have expired. What comes
    /// there later is late, not a backfill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<(i64, i64)>,
}

/// How long removed files are remembered, milliseconds, by the clock of commits.
pub const REMOVED_KEPT_MS: i64 = 2 * HOUR_MS;

/// The lake's identity, from its first commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The nonce of the first commit.
    pub id: Uuid,
    /// Wall clock of the first commit, milliseconds.
    pub at: i64,
}

impl TableState {
    /// Whether anything of the minutes of `file` has expired.
    #[must_use]
    pub fn has_expired(&self, file: &DataFile) -> bool {
        self.has_expired_in(file.min_time, file.max_time)
    }

    /// Whether anything of the minutes of the times from `first` to `last` has expired.
    #[must_use]
    pub fn has_expired_in(&self, first: i64, last: i64) -> bool {
        let next = self.expired.partition_point(|span| span.1 <= first);
        let span = self.expired.get(next);
        span.is_some_and(|span| span.0 <= last)
    }

    fn expire(&mut self, files: &[Arc<DataFile>]) {
        if files.is_empty() {
            return;
        }
        let gone = files.iter().map(|file| {
            let last = floor(file.max_time, MINUTE_MS);
            (
                floor(file.min_time, MINUTE_MS),
                last.saturating_add(MINUTE_MS),
            )
        });
        let mut spans = std::mem::take(&mut self.expired);
        spans.extend(gone);
        spans.sort_unstable();
        for span in spans {
            match self.expired.last_mut() {
                Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
                _ => self.expired.push(span),
            }
        }
    }
}

impl LakeState {
    /// Applies the entry of `version`, which must be the next one.
    ///
    /// # Panics
    /// If `version` does not follow: a gap in the log is the reader's to find before.
    pub fn apply(&mut self, version: u64, commit: &Commit) {
        let expected = self.version.map_or(0, |last| last + 1);
        assert_eq!(version, expected, "log entries are applied in order");
        self.version = Some(version);
        self.nonce = Some(commit.nonce);
        self.birth.get_or_insert(Birth {
            id: commit.nonce,
            at: commit.at,
        });
        self.generation = self.generation.max(commit.generation);
        self.committed_at = commit.at;
        for (table, changes) in &commit.files {
            let state = self.tables.entry(*table).or_default();
            state.version = version;
            state.committed_at = commit.at;
            state.entries += 1;
            if !changes.remove.is_empty() {
                let kept_from = commit.at.saturating_sub(REMOVED_KEPT_MS);
                state.removed.retain(|_, at| *at >= kept_from);
            }
            let replaced: Vec<_> = changes
                .remove
                .iter()
                .filter_map(|path| state.files.remove(path))
                .collect();
            for path in &changes.remove {
                state.removed.insert(path.clone(), commit.at);
            }
            let repaired =
                matches!(&commit.kind, CommitKind::Upkeep { repaired, .. } if !repaired.is_empty());
            if changes.add.is_empty() && !repaired {
                state.expire(&replaced);
            }
            let taken_at = match &commit.kind {
                CommitKind::Upkeep { .. } => replaced.iter().map(|file| file.taken_at).max(),
                _ => None,
            };
            for file in &changes.add {
                let file = DataFile {
                    taken_at: taken_at.unwrap_or(commit.at),
                    version,
                    ..file.clone()
                };
                state.files.insert(file.path.clone(), Arc::new(file));
            }
        }
        match &commit.kind {
            CommitKind::Claim { compact } => self.compact |= compact,
            CommitKind::Stream {
                epoch,
                watermark,
                cutoff,
                cuts,
                dirty,
                counts,
            } => {
                self.epoch = *epoch;
                self.watermark = self.watermark.max(*watermark);
                self.cutoff = self.cutoff.max(Some(*cutoff));
                self.counts += *counts;
                self.take_cuts(cuts);
                for minute in minutes(dirty) {
                    let first = Dirtied {
                        first: version,
                        last: version,
                    };
                    self.dirty.entry(minute).or_insert(first).last = version;
                }
            }
            CommitKind::Upkeep { as_of, repaired } => {
                for minute in minutes(repaired) {
                    if self
                        .dirty
                        .get(&minute)
                        .is_some_and(|dirtied| dirtied.last <= *as_of)
                    {
                        self.dirty.remove(&minute);
                    }
                }
            }
            CommitKind::Note { cuts, .. } => self.take_cuts(cuts),
        }
    }

    /// The live files of `table`, in order of their paths.
    pub fn files(&self, table: Table) -> impl Iterator<Item = &Arc<DataFile>> {
        self.tables
            .get(&table)
            .into_iter()
            .flat_map(|state| state.files.values())
    }

    /// The dirty windows as half-open spans of minutes, ascending, in milliseconds.
    #[must_use]
    pub fn dirty_spans(&self) -> Vec<(i64, i64)> {
        spans(self.dirty.keys().copied())
    }

    fn take_cuts(&mut self, cuts: &[PartitionCut]) {
        for cut in cuts {
            self.cuts
                .insert(cut.partition.clone(), (cut.next, cut.mark));
        }
    }
}

fn minutes(spans: &[(i64, i64)]) -> impl Iterator<Item = i64> {
    spans.iter().flat_map(|&(start, end)| {
        (start..end).step_by(usize::try_from(MINUTE_MS).expect("a minute fits"))
    })
}

/// Joins ascending starts of minutes, milliseconds, into half-open spans.
pub fn spans(starts: impl Iterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut out: Vec<(i64, i64)> = Vec::new();
    for start in starts {
        match out.last_mut() {
            Some(last) if last.1 == start => last.1 += MINUTE_MS,
            _ => out.push((start, start + MINUTE_MS)),
        }
    }
    out
}

/// JSON has no maps with composite keys.
mod cuts_as_list {
    use super::*;
    use serde::{Deserializer, Serializer};

    type Cuts = BTreeMap<Partition, (NextOffset, Option<RecordMark>)>;

    pub(super) fn serialize<S: Serializer>(cuts: &Cuts, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(cuts.iter().map(|(partition, (next, mark))| PartitionCut {
            partition: partition.clone(),
            next: *next,
            mark: *mark,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cuts, D::Error> {
        let list = Vec::<PartitionCut>::deserialize(from)?;
        Ok(list
            .into_iter()
            .map(|cut| (cut.partition, (cut.next, cut.mark)))
            .collect())
    }
}

/// A month of late input is tens of thousands of minutes but few spans.
mod dirty_as_spans {
    use super::*;
    use serde::{Deserializer, Serializer};

    type Dirty = BTreeMap<i64, Dirtied>;

    /// `[start, end)` in milliseconds.
    #[derive(Serialize, Deserialize)]
    struct Span(i64, i64, Dirtied);

    pub(super) fn serialize<S: Serializer>(dirty: &Dirty, out: S) -> Result<S::Ok, S::Error> {
        let mut list: Vec<Span> = Vec::new();
        for (&start, &dirtied) in dirty {
            match list.last_mut() {
                Some(last) if last.1 == start && last.2 == dirtied => last.1 += MINUTE_MS,
                _ => list.push(Span(start, start + MINUTE_MS, dirtied)),
            }
        }
        list.serialize(out)
    }

    /// Builds before have written the last version alone.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read {
        Now(Span),
        Before(i64, i64, u64),
    }

    impl From<Read> for Span {
        fn from(read: Read) -> Self {
            match read {
                Read::Now(span) => span,
                Read::Before(start, end, last) => Self(start, end, Dirtied { first: last, last }),
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Dirty, D::Error> {
        let list = Vec::<Read>::deserialize(from)?;
        Ok(list
            .into_iter()
            .map(Span::from)
            .flat_map(|Span(start, end, dirtied)| {
                minutes(&[(start, end)])
                    .map(move |minute| (minute, dirtied))
                    .collect::<Vec<_>>()
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::FileChanges;
    use crate::datafile::{FileKind, Key};

    fn commit(kind: CommitKind) -> Commit {
        Commit {
            generation: 1,
            nonce: Uuid::nil(),
            at: 7,
            kind,
            files: BTreeMap::new(),
        }
    }

    fn stream(dirty: Vec<(i64, i64)>) -> CommitKind {
        let counts = Counts {
            samples: 1,
            ..Counts::default()
        };
        CommitKind::Stream {
            epoch: 1,
            watermark: Some(5),
            cutoff: 9,
            cuts: vec![],
            dirty,
            counts,
        }
    }

    #[test]
    fn a_repair_clears_only_what_was_dirty_when_it_began() {
        let mut state = LakeState::default();
        state.apply(0, &commit(stream(vec![(0, 3 * MINUTE_MS)])));
        state.apply(1, &commit(stream(vec![(MINUTE_MS, 2 * MINUTE_MS)])));
        let repaired = vec![(0, 3 * MINUTE_MS)];
        state.apply(2, &commit(CommitKind::Upkeep { as_of: 0, repaired }));
        assert_eq!(state.dirty_spans(), [(MINUTE_MS, 2 * MINUTE_MS)]);
        let dirtied = Dirtied { first: 0, last: 1 };
        assert_eq!(state.dirty[&MINUTE_MS], dirtied);
        assert_eq!(state.counts.samples, 2);
    }

    #[test]
    fn state_survives_json() {
        let mut state = LakeState::default();
        let file = DataFile {
            path: "date=1970-01-01/a.parquet".into(),
            date: 0,
            bytes: 10,
            rows: 1,
            min_time: 0,
            max_time: 0,
            min_key: Key::default(),
            max_key: Key::default(),
            kind: FileKind::Overlay,
            compacted: false,
            taken_at: 0,
            version: 0,
        };
        let mut first = commit(stream(vec![(0, MINUTE_MS), (5 * MINUTE_MS, 7 * MINUTE_MS)]));
        let changes = FileChanges {
            add: vec![file],
            remove: vec![],
        };
        first.files.insert(Table::Rollup1m, changes);
        state.apply(0, &first);
        let json = serde_json::to_string(&state).expect("plain data");
        assert_eq!(
            serde_json::from_str::<LakeState>(&json).expect("its own output"),
            state
        );
        let json = serde_json::to_string(&first).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Commit>(&json).expect("its own output"),
            first
        );
    }
}

//! One Parquet file of a table, with what a reader needs to pass over it unopened.

use serde::{Deserialize, Serialize};

/// A live data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Where it is, relative to its table's folder: `date=2026-11-21/<uuid>.parquet`.
    pub path: String,
    /// The day (UTC) all its rows belong to, days since 1970.
    pub date: i32,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Least value of `time` (for `series`: of `first_seen`), milliseconds.
    pub min_time: i64,
    /// Greatest value of `time` (for `series`: of `last_seen`), milliseconds, inclusive.
    pub max_time: i64,
    /// The least (tenant, name) in the file.
    pub min_key: Key,
    /// The greatest (tenant, name) in the file.
    pub max_key: Key,
    /// How its rows stand to those of other files.
    pub kind: FileKind,
    /// Whether upkeep wrote it, in the form that files are kept in; the stream's are written in haste.
    #[serde(default)]
    pub compacted: bool,
    /// When the newest of its rows came into the lake, milliseconds; 0 until it is committed. Files
    /// that upkeep merges have that of the newest among them.
    #[serde(default)]
    pub taken_at: i64,
    /// The log version whose commit added it; 0 until then. Of two rollup rows for one series and
    /// window, that of the file with the greater version counts.
    #[serde(default)]
    pub version: u64,
}

impl DataFile {
    /// When its rows run out if they are kept for `kept_ms`: that long after their time, but rows that
    /// were older when they came (of a backfill) are kept for as long after their coming.
    ///
    /// ```
    /// # use tidegauge_tables::{DataFile, FileKind, Key};
    /// # let mut file = DataFile { path: String::new(), date: 0, bytes: 0, rows: 0, min_time: 0, max_time: 50,
    /// #     min_key: Key::default(), max_key: Key::default(), kind: FileKind::Main, compacted: false,
    /// #     taken_at: 60, version: 0 };
    /// assert_eq!(file.expires_at(100), 150);
    /// file.taken_at = 1000;
    /// assert_eq!(file.expires_at(100), 1100);
    /// ```
    #[must_use]
    pub const fn expires_at(&self, kept_ms: i64) -> i64 {
        let by_time = self.max_time.saturating_add(kept_ms);
        if by_time <= self.taken_at {
            self.taken_at.saturating_add(kept_ms)
        } else {
            by_time
        }
    }
}

/// Tenant and metric name: what files are sorted by first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The tenant.
    pub tenant: String,
    /// The metric's name.
    pub name: String,
}

/// How the rows of a file stand to those of other live files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// No row of another `Main` file has the same series and time.
    Main,
    /// Rows may have the same series and time as rows of any other file, and readers must settle:
    /// in `samples` (late, quarantined or repeated samples) the preferred value counts; in rollups
    /// (repaired rows) the row of the newer file; in `series` the earliest `first_seen` and the
    /// latest `last_seen`.
    Overlay,
}

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
    /// The log version whose commit added it; 0 until then. Of two rollup rows for one series and
    /// window, that of the file with the greater version counts.
    #[serde(default)]
    pub version: u64,
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

//! Delta Lake's actions, as far as our tables use them: one JSON object a line of a log entry.
//! Source: the Delta transaction log protocol, "Actions".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::commit::{COMMIT_KEY, Commit};

/// One line of a log entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Who may read and write.
    Protocol(Protocol),
    /// The table's schema.
    MetaData(MetaData),
    /// A file begins to count.
    Add(Add),
    /// A file ceases to count.
    Remove(Remove),
    /// Up to which version of the lake's log a projection is.
    Txn(Txn),
    /// What the commit says besides.
    CommitInfo(CommitInfo),
}

/// Who may read and write the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// 1: every reader.
    pub min_reader_version: u32,
    /// 7: writers that know every feature named.
    pub min_writer_version: u32,
    /// Among them one that only we have, so that no other engine writes.
    pub writer_features: Vec<String>,
}

impl Protocol {
    /// Everyone reads, only we write.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            min_reader_version: 1,
            min_writer_version: 7,
            // Spark reads no table with columns that are not nullable unless this is named too.
            writer_features: vec!["invariants".into(), COMMIT_KEY.into()],
        }
    }
}

/// The table's identity and schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetaData {
    /// A UUID.
    pub id: String,
    /// The table's name.
    pub name: String,
    /// How files are encoded.
    pub format: Format,
    /// The schema, as a string of JSON.
    pub schema_string: String,
    /// `["date"]`, or none.
    pub partition_columns: Vec<String>,
    /// Table properties.
    pub configuration: BTreeMap<String, String>,
    /// When the table was made, milliseconds.
    pub created_time: i64,
}

/// How files are encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// `parquet`.
    pub provider: String,
    /// None.
    pub options: BTreeMap<String, String>,
}

/// A file begins to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table's folder, URI-encoded.
    pub path: String,
    /// Values of the partition columns.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: u64,
    /// Milliseconds.
    pub modification_time: i64,
    /// False for compaction, which changes no row.
    pub data_change: bool,
    /// Statistics, as a string of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// Our own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// A file ceases to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// Relative to the table's folder, URI-encoded.
    pub path: String,
    /// Milliseconds.
    pub deletion_timestamp: i64,
    /// False for compaction, which changes no row.
    pub data_change: bool,
}

/// Up to which version of the lake's log a projection is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// Whose numbering it is.
    pub app_id: String,
    /// The version of the lake's log.
    pub version: i64,
}

/// Delta leaves its content open; ours is the [`Commit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitInfo {
    /// Milliseconds.
    pub timestamp: i64,
    /// `WRITE`, `OPTIMIZE`, …
    pub operation: String,
    /// `tidegauge/<version>`.
    pub engine_info: String,
    /// In the log of `samples` only.
    #[serde(rename = "tidegauge", default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

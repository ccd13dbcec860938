//! The commit: what one entry of the lake's log says, besides the files of `samples` itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegauge_model::{Counts, PartitionCut};
use uuid::Uuid;

use crate::datafile::DataFile;
use crate::table::Table;

/// The key in `commitInfo` under which a [`Commit`] stands.
pub(crate) const COMMIT_KEY: &str = "tidegauge";

/// One atomic step of the lake. Before its put nothing of it is visible, after it everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Which life of the pipeline made it.
    pub generation: u64,
    /// Tells this commit from another writer's at the same version.
    pub nonce: Uuid,
    /// Wall clock of the writer, milliseconds.
    pub at: i64,
    /// What it is for.
    pub kind: CommitKind,
    /// Files added to and removed from tables. Those of `samples` stand in the entry as Delta
    /// actions as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<Table, FileChanges>,
}

/// What a commit is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CommitKind {
    /// A new life begins; every older one is fenced.
    Claim {
        /// Whether it writes samples in the compact form.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        compact: bool,
    },
    /// A run of epochs of the stream.
    Stream {
        /// The first epoch not in it.
        epoch: u64,
        /// The watermark `J`: windows with end ≤ J are closed by it. None while no partition has
        /// given one.
        watermark: Option<i64>,
        /// The greatest future cutoff `F` of its epochs, milliseconds.
        cutoff: i64,
        /// Partitions that have moved.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cuts: Vec<PartitionCut>,
        /// Starts of closed or future 1-minute windows that samples of this commit have touched,
        /// ascending, as half-open spans of minutes `[start, end)` in milliseconds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dirty: Vec<(i64, i64)>,
        /// What came in.
        #[serde(default)]
        counts: Counts,
    },
    /// Upkeep: repaired, compacted or expired.
    Upkeep {
        /// The version it was computed from; marks set later stay.
        as_of: u64,
        /// Spans of minutes whose rows it has recomputed, half-open, milliseconds.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        repaired: Vec<(i64, i64)>,
    },
    /// An operator's or the pipeline's own note that changes what follows, such as input that was
    /// lost and passed over.
    Note {
        /// In words.
        text: String,
        /// Where partitions go on from.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cuts: Vec<PartitionCut>,
    },
}

/// What a commit does to one table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileChanges {
    /// Files that begin to count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<DataFile>,
    /// Paths that cease to count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

//! Where in Kafka: partitions, offsets, and the mark by which a record is known again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number within its topic.
    pub index: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

/// The offset to read next: one past the last record taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(pub i64);

/// By what the last record taken is known again after a restart, so that a topic deleted and made
/// anew is not mistaken for the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordMark {
    /// The record's own offset. Not always `next − 1`: compaction and transactions leave holes.
    pub offset: i64,
    /// The record's Kafka timestamp in milliseconds, or −1.
    pub timestamp: i64,
    /// xxh3-64 of the record's key and value bytes, each behind its little-endian `u32` length
    /// (absent: `u32::MAX`).
    pub hash: u64,
}

/// How far one partition is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCut {
    /// Which partition.
    pub partition: Partition,
    /// What to read next.
    pub next: NextOffset,
    /// The last record taken; none while none has been.
    pub mark: Option<RecordMark>,
}

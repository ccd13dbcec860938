//! What the reader thread and the handle share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tidegauge_decode::Skipped;
use tidegauge_model::Partition;

use crate::error::SourceError;

/// How far behind one partition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    /// Which partition.
    pub partition: Partition,
    /// What is read next.
    pub next: i64,
    /// The partition's end as last seen.
    pub end: i64,
    /// How many offsets lie between.
    pub lag: i64,
}

/// Why a partition or a topic can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Since when, in milliseconds since the Unix epoch.
    pub since: i64,
    /// What stands in the way.
    pub reason: String,
}

/// What keeps a source from reading. Empty if nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Why no broker says which topics there are.
    pub brokers: Option<Blocked>,
    /// The topics of which brokers let nothing be read.
    pub topics: Vec<(Arc<str>, Blocked)>,
    /// The partitions that can't be read.
    pub partitions: Vec<(Partition, Blocked)>,
}

/// Counts since the source started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStats {
    /// Records taken, tombstones among them.
    pub records: u64,
    /// Their bytes, without keys and headers.
    pub bytes: u64,
    /// Samples decoded from them.
    pub samples: u64,
    /// Records without a value: skipped.
    pub tombstones: u64,
    /// Records and samples that could not be taken.
    pub rejects: u64,
    /// What decoders passed over on purpose.
    pub skipped: Skipped,
    /// Chunks sent.
    pub chunks: u64,
    /// Times the end of a partition was proven.
    pub proofs: u64,
    /// Times a partition became unreadable.
    pub blocked: u64,
    /// Times records were lost and reading went on.
    pub losses: u64,
    /// Partitions resumed although their last record could not be compared.
    pub unverified: u64,
    /// Milliseconds spent waiting for room in the channel.
    pub full_ms: u64,
}

/// The meeting place of the threads.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) ready: AtomicBool,
    /// Milliseconds spent waiting for room; apart, as it is counted in the midst of a wait.
    pub(crate) full_ms: AtomicU64,
    lags: Mutex<Vec<PartitionLag>>,
    stats: Mutex<SourceStats>,
    trouble: Mutex<Trouble>,
    failed: Mutex<Option<SourceError>>,
}

impl Shared {
    pub(crate) fn lags(&self) -> Vec<PartitionLag> {
        lock(&self.lags).clone()
    }

    pub(crate) fn stats(&self) -> SourceStats {
        let full_ms = self.full_ms.load(Ordering::Relaxed);
        SourceStats {
            full_ms,
            ..*lock(&self.stats)
        }
    }

    pub(crate) fn failed(&self) -> Option<SourceError> {
        lock(&self.failed).clone()
    }

    pub(crate) fn trouble(&self) -> Trouble {
        lock(&self.trouble).clone()
    }

    pub(crate) fn publish(&self, lags: Vec<PartitionLag>, stats: SourceStats, trouble: Trouble) {
        *lock(&self.lags) = lags;
        *lock(&self.stats) = stats;
        *lock(&self.trouble) = trouble;
    }

    pub(crate) fn fail(&self, error: SourceError) {
        lock(&self.failed).get_or_insert(error);
    }
}

/// Locks; a thread that panicked holding one of these left nothing half-written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

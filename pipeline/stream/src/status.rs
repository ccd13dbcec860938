//! What the stream shows of itself.

use std::sync::Arc;
use std::time::Duration;

use tidegauge_dataflow::Stats;
use tidegauge_kafka::{PartitionLag, SourceStats, Trouble};
use tidegauge_tables::LakeState;

/// One look at the stream.
#[derive(Clone, Debug)]
pub struct Status {
    /// The dataflow.
    pub dataflow: Stats,
    /// The lake as of the last commit.
    pub lake: Arc<LakeState>,
    /// How far behind each partition is.
    pub lags: Vec<PartitionLag>,
    /// Counts of the sources, one entry a worker.
    pub sources: Vec<SourceStats>,
    /// What keeps the sources from reading, one entry a worker.
    pub troubles: Vec<Trouble>,
    /// The last commit of this process, if it has made one.
    pub last_commit: Option<LastCommit>,
    /// Commits of this process.
    pub commits: u64,
    /// Samples in them.
    pub committed_samples: u64,
    /// Bytes of files in them.
    pub committed_bytes: u64,
    /// How long their puts took together.
    pub commit_time: Duration,
}

/// What the committing thread tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) last: Option<LastCommit>,
    pub(crate) commits: u64,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, commit: LastCommit, bytes: u64) {
        self.last = Some(commit);
        self.commits += 1;
        self.samples += commit.samples;
        self.bytes += bytes;
        self.time += commit.took;
    }
}

/// The last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Its version.
    pub version: Option<u64>,
    /// Wall clock, milliseconds.
    pub at: i64,
    /// Samples in it.
    pub samples: u64,
    /// How long its put took.
    pub took: Duration,
}

//! What the running program says of itself: one snapshot for the status line, the stats and
//! health answers, and our own metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidegauge_model::Counts;

/// Gives the newest snapshot. Cheap enough to be asked each second.
pub type StatsSource = Arc<dyn Fn() -> Stats + Send + Sync>;

/// How much was passed over on purpose, by what it was: `string_fields`, `exemplars`, …
pub type Skipped = BTreeMap<&'static str, u64>;

/// One snapshot. All times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// When the snapshot was taken.
    pub now: i64,
    /// When this process started.
    pub started_at: i64,
    /// What holds being ready up, besides what the numbers below say: "recovering", …
    pub not_ready: Vec<String>,
    /// Kafka's trouble, if it can't be reached.
    pub kafka_trouble: Option<String>,
    /// The store's trouble, if it can't be reached.
    pub store_trouble: Option<String>,
    /// How far each partition is read.
    pub partitions: Vec<PartitionStats>,
    /// Records taken by this process since its start.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// What was passed over in them.
    pub skipped: Skipped,
    /// The stream.
    pub stream: StreamStats,
    /// Commits.
    pub commits: CommitStats,
    /// Upkeep, if it is this process' to do.
    pub upkeep: Option<UpkeepStats>,
    /// The tiers and other tables.
    pub tables: Vec<TableStats>,
    /// What bounds memory, and how close it is.
    pub bounds: Vec<BoundStats>,
    /// Queries at work.
    pub queries_running: u64,
    /// Bodies that were pushed by HTTP, by door and answer.
    pub pushes: Vec<PushStats>,
    /// Samples that the host agent had to drop because its buffer was full.
    pub agent_dropped_samples: u64,
}

/// How far one partition is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionStats {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The next offset to commit: every record before it is in the lake.
    pub committed: Option<i64>,
    /// The next offset to read.
    pub next: i64,
    /// The partition's end as last seen.
    pub end: i64,
    /// How many records wait.
    pub lag: i64,
    /// Why it can't be read, if it can't.
    pub blocked: Option<String>,
}

/// What the dataflow is at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamStats {
    /// The newest epoch.
    pub epoch: u64,
    /// The watermark `J`.
    pub watermark: Option<i64>,
    /// What holds it: a partition, or why there is none.
    pub held_by: Option<String>,
    /// The future cutoff `F`.
    pub cutoff: Option<i64>,
    /// Which life of the pipeline this is.
    pub generation: u64,
    /// Windows that are not yet closed.
    pub open_windows: u64,
    /// Samples in them.
    pub open_samples: u64,
    /// Closed windows whose rows are to be recomputed.
    pub dirty_windows: u64,
    /// Series known to workers.
    pub series: u64,
    /// Samples taken and not yet committed.
    pub in_flight: u64,
    /// Samples and records by what became of them, since this process started.
    pub counts: Counts,
}

/// What commits there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CommitStats {
    /// Of the stream, by this process.
    pub count: u64,
    /// The newest version of the lake.
    pub version: Option<u64>,
    /// When it was made.
    pub at: Option<i64>,
    /// How long the last one took from its last epoch to its put, seconds.
    pub last_seconds: f64,
    /// How long all of the stream took together, seconds.
    pub seconds: f64,
    /// Samples in commits of this process.
    pub samples: u64,
    /// Bytes of files written by commits of the stream.
    pub bytes: u64,
}

/// What upkeep has done since this process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UpkeepStats {
    /// Passes.
    pub passes: u64,
    /// Commits.
    pub commits: u64,
    /// How long passes took together, seconds.
    pub seconds: f64,
    /// Dirty minutes repaired.
    pub minutes_repaired: u64,
    /// Rollup rows that repairs have written.
    pub rows_repaired: u64,
    /// Merges of files.
    pub merges: u64,
    /// Files that merges took in.
    pub files_merged: u64,
    /// Files removed whole as expired.
    pub files_expired: u64,
    /// Files written anew without the rows of metrics that have expired before others.
    pub files_trimmed: u64,
    /// Objects deleted.
    pub objects_deleted: u64,
}

/// One table of the lake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableStats {
    /// Its name.
    pub table: String,
    /// Live files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// The version that last changed it.
    pub version: u64,
    /// When that was.
    pub committed_at: Option<i64>,
}

/// One bound on memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BoundStats {
    /// The setting's key.
    pub name: String,
    /// What is used of it.
    pub used: u64,
    /// The most that may be.
    pub most: u64,
    /// Whether it holds input back now.
    pub holds: bool,
}

/// What came in by one door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushStats {
    /// Which: `json`, `remote_write`, `influx`, `otlp`.
    pub door: String,
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies, as sent.
    pub bytes: u64,
    /// Samples that Kafka has acknowledged.
    pub accepted: u64,
    /// Items that were refused.
    pub rejected: u64,
    /// What was passed over in bodies, and so is not in Kafka.
    pub skipped: Skipped,
    /// Requests refused whole.
    pub refused: u64,
    /// Requests answered 503.
    pub unavailable: u64,
}

impl Stats {
    /// How many records wait in all partitions.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.lag).sum()
    }
}

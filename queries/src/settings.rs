//! Limits and sizes of the query engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What bounds queries. Every key is optional in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Threads that one query keeps busy at most, apart from those of the stream. 0: one a core.
    pub threads: usize,
    /// Queries at work at the same time; more are refused, not queued.
    pub concurrent: usize,
    /// The longest a query may take, in milliseconds.
    pub timeout_ms: u64,
    /// The most rows an answer may have.
    pub max_rows: u64,
    /// The most memory one query may hold in sorts, joins and aggregations, in bytes.
    pub memory_bytes: usize,
    /// Memory for the footers and page indices of Parquet files, kept across queries, in bytes.
    pub metadata_cache_bytes: usize,
    /// Labels of this many series are kept across queries.
    pub cached_series: usize,
    /// Whether base tables hold the rows of all tenants. Per-metric tables are always of one.
    pub all_tenants: bool,
    /// The tenant of queries that name none.
    pub tenant: String,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            threads: 0,
            concurrent: 32,
            timeout_ms: 60_000,
            max_rows: 10_000_000,
            memory_bytes: 2 << 30,
            metadata_cache_bytes: 256 << 20,
            cached_series: 2_000_000,
            all_tenants: false,
            tenant: "default".into(),
        }
    }
}

/// What one query asks for besides its text. Limits can be set below those of the engine, not above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Whose data; none: [`EngineSettings::tenant`].
    pub tenant: Option<String>,
    /// The longest it may take.
    pub timeout: Option<Duration>,
    /// The most rows it may answer with.
    pub max_rows: Option<u64>,
    /// The most memory it may hold, in bytes.
    pub memory_bytes: Option<usize>,
}

/// The limits that one query runs under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) max_rows: u64,
    pub(crate) memory_bytes: usize,
}

impl Limits {
    pub(crate) fn new(settings: &EngineSettings, options: &QueryOptions) -> Self {
        let most = Duration::from_millis(settings.timeout_ms);
        let at_most = |asked: Option<u64>, most: u64| asked.map_or(most, |asked| asked.min(most));
        Self {
            timeout: options.timeout.map_or(most, |asked| asked.min(most)),
            max_rows: at_most(options.max_rows, settings.max_rows),
            memory_bytes: options.memory_bytes.map_or(settings.memory_bytes, |asked| {
                asked.min(settings.memory_bytes)
            }),
        }
    }
}

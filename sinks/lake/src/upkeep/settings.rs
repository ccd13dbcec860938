//! How upkeep is done: plain data.

use serde::{Deserialize, Serialize};
use tidegauge_model::{HOUR_MS, MINUTE_MS};

use super::retention::RetentionSettings;

/// How upkeep is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpkeepSettings {
    /// Whether it is done at all.
    pub enabled: bool,
    /// Between two passes, milliseconds.
    pub interval_ms: u64,
    /// Whether the stream writes 5-minute rollups. Where there are files of them, repairs keep them
    /// up in any case; this is for what comes late before the first.
    pub five_minute_tier: bool,
    /// How long rows are kept.
    pub retention: RetentionSettings,
    /// An hour or day is compacted once the watermark has passed its end by this many
    /// milliseconds and no file has come to it for as long.
    pub compact_after_ms: i64,
    /// Once so many small files of samples lie in an hour that is not over, they become one; 0 for
    /// never.
    pub small_files: usize,
    /// A file of a commit is small if it has no more bytes than these.
    pub small_bytes: u64,
    /// The most files that are read at once; at least 4.
    pub most_files: usize,
    /// A day larger than this many bytes stays in hours.
    pub most_bytes: u64,
    /// Merged files are cut, between series, once they have this many bytes.
    pub file_bytes: u64,
    /// How long the objects of removed files stay for running queries, milliseconds.
    pub grace_ms: i64,
    /// How long objects that no commit names stay, milliseconds: longer than any commit takes.
    pub orphan_grace_ms: i64,
    /// Between two listings of all objects, milliseconds.
    pub sweep_every_ms: i64,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_ms: 30_000,
            five_minute_tier: false,
            retention: RetentionSettings::default(),
            compact_after_ms: 5 * MINUTE_MS,
            small_files: 20,
            small_bytes: 1 << 20,
            most_files: 64,
            most_bytes: 8 << 30,
            file_bytes: 256 << 20,
            grace_ms: 10 * MINUTE_MS,
            orphan_grace_ms: HOUR_MS,
            sweep_every_ms: 10 * MINUTE_MS,
        }
    }
}

//! What of the dataflow can be set.

use serde::{Deserialize, Serialize};
use tidegauge_model::Tier;

/// Bytes a sample counts for in bounds.
pub(crate) const SAMPLE_BYTES: u64 = 12;

/// Settings of the dataflow. All times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long an epoch takes: how often the watermark moves.
    pub epoch_ms: i64,
    /// How long samples wait for their commit at most.
    pub commit_interval_ms: i64,
    /// How many bytes of samples (12 a sample) bring a commit forward.
    pub commit_bytes: u64,
    /// How far past the clock a sample's time may lie before it is quarantined.
    pub future_ms: i64,
    /// How long a partition that can't be read holds the watermark back.
    pub blocked_after_ms: i64,
    /// How long a series may be silent before its state leaves.
    pub silence_ms: i64,
    /// How many bytes of samples (12 a sample) a worker holds uncommitted before it stops taking
    /// more.
    pub in_flight_bytes: u64,
    /// How many bytes of samples (12 a sample) a worker holds in open windows before it stops
    /// taking from the partitions furthest ahead.
    pub open_window_bytes: u64,
    /// Whether the 5-minute tier is kept.
    pub rollup_5m: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epoch_ms: 1_000,
            commit_interval_ms: 10_000,
            commit_bytes: 64 << 20,
            future_ms: 600_000,
            blocked_after_ms: 300_000,
            silence_ms: 3 * 3_600_000,
            in_flight_bytes: 128 << 20,
            open_window_bytes: 1 << 30,
            rollup_5m: false,
        }
    }
}

impl Settings {
    /// The tiers made of 1-minute rows, finest first.
    #[must_use]
    pub fn coarse_tiers(&self) -> Vec<Tier> {
        if self.rollup_5m {
            vec![Tier::M5, Tier::H1]
        } else {
            vec![Tier::H1]
        }
    }
}

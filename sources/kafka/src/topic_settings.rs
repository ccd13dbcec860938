//! What is told of one topic.

use serde::{Deserialize, Serialize};
use tidegauge_decode::{Format, RelabelRule};

/// One topic, or all that a regex fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// The topic's name; either this or `regex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Topics whose whole name it fits, found while running. Topics that begin with `__` or
    /// `tidegauge.` are read only by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// The records' wire format.
    pub format: Format,
    /// The tenant of records without a `tenant` header.
    pub tenant: String,
    /// How long after the newest event time of a partition samples are still on time, in
    /// milliseconds.
    pub lateness_ms: i64,
    /// Prometheus relabel rules, applied to each series.
    pub relabel: Vec<RelabelRule>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            name: None,
            regex: None,
            format: Format::Auto,
            tenant: "default".into(),
            lateness_ms: 15_000,
            relabel: Vec::new(),
        }
    }
}

//! The host agent: this machine's metrics under node_exporter's names, delivered with retries and a
//! disk buffer.
//!
//! Each second the collectors look at `/proc` and `/sys`; what they see becomes one JSON record,
//! goes into a bounded queue on disk, and from there into a Kafka topic or to a gateway. It leaves
//! the queue when it is acknowledged, so neither an absent broker nor a killed agent loses samples
//! before the bound is reached; those dropped then are counted by a metric of the agent's own.
//!
//! Linux only: where there is no `/proc`, the collectors find nothing and say so once.

mod agent;
mod backoff;
mod collect;
mod counters;
mod deliver;
mod encode;
mod error;
mod outlet;
mod scrape;
mod settings;
mod shared;
mod spool;

pub use agent::{Agent, Clock};
pub use counters::AgentStats;
pub use error::AgentError;
pub use settings::{AgentSettings, SettingsError};
pub use spool::SpoolError;

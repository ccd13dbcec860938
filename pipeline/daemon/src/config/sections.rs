//! The section that belongs to the program itself rather than to one of its parts.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// `[http]`: the one port for SQL, pushes, health and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How long the last commit may be ago while `/ready` still says yes, in milliseconds.
    pub ready_commit_age_ms: u64,
    /// How many records may wait in Kafka while `/ready` still says yes.
    pub ready_lag_records: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            ready_commit_age_ms: 60_000,
            ready_lag_records: 100_000,
        }
    }
}

//! What can be set about the broker, with the defaults that fit a laptop.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When written records are forced from the operating system's cache to the disk.
///
/// Under every policy an acknowledged record survives the death of the process; the policy
/// decides what survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// Leave it to the operating system, as Apache Kafka does by default.
    Never,
    /// Once a second, in the background: a power cut costs at most the last second.
    EachSecond,
    /// Before each acknowledgement.
    Always,
}

/// Settings of the embedded broker. Every key is optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where topics and committed offsets are kept. One process at a time may hold it.
    pub dir: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The host that clients are told to connect to; without it, the address by which they came.
    pub advertised_host: Option<String>,
    /// Create a topic when a client first asks for it.
    pub auto_create_topics: bool,
    /// Partitions of a topic made without a count.
    pub default_partitions: i32,
    /// Partition counts of particular topics, by name, where they are made without a count.
    pub topic_partitions: BTreeMap<String, i32>,
    /// How long a record is kept after it was taken, in milliseconds, not counting the time when the
    /// broker was down; −1 is for ever.
    pub retention_ms: i64,
    /// Bytes kept per partition; −1 is without bound.
    pub retention_bytes: i64,
    /// A segment file is closed when it would grow past this many bytes.
    pub segment_bytes: u32,
    /// A segment file is closed when its first record is this old, in milliseconds.
    pub segment_ms: i64,
    /// The largest record batch taken, in bytes.
    pub max_message_bytes: u32,
    /// The largest request taken, in bytes: the bound on what one connection makes us hold.
    pub max_request_bytes: u32,
    /// The most bytes of records one fetch answer holds (a single larger batch still passes).
    pub max_fetch_bytes: u32,
    /// Connections served at once; further ones are closed at once.
    pub max_connections: usize,
    /// A connection is closed when the client sends nothing, or takes nothing of its answer, for this
    /// long, in milliseconds.
    pub connection_idle_ms: u64,
    /// When records are forced to the disk.
    pub fsync: Fsync,
    /// How often retention, compaction and other upkeep look around, in milliseconds.
    pub upkeep_interval_ms: u64,
    /// How long a new group waits for more members before its first assignment, in milliseconds.
    pub group_initial_rebalance_delay_ms: u64,
    /// How long committed offsets are kept once the group has no members, in milliseconds.
    pub offsets_retention_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("tidegauge-data/kafka"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
            advertised_host: None,
            auto_create_topics: true,
            default_partitions: 1,
            topic_partitions: BTreeMap::new(),
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            segment_bytes: 64 << 20,
            segment_ms: 6 * 3_600_000,
            max_message_bytes: 16 << 20,
            max_request_bytes: 100 << 20,
            max_fetch_bytes: 55 << 20,
            max_connections: 1_000,
            connection_idle_ms: 600_000,
            fsync: Fsync::EachSecond,
            upkeep_interval_ms: 10_000,
            group_initial_rebalance_delay_ms: 0,
            offsets_retention_ms: 7 * 24 * 3_600_000,
        }
    }
}

impl Settings {
    /// Refuses values that can't work, naming the key and what it may be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = self
            .topic_partitions
            .iter()
            .map(|(topic, n)| (topic.as_str(), *n));
        for (of, n) in counts.chain([("default_partitions", self.default_partitions)]) {
            if !(1..=MAX_PARTITIONS).contains(&n) {
                return Err(format!(
                    "the partition count {n} of {of} is not in 1..={MAX_PARTITIONS}"
                ));
            }
        }
        if self.segment_bytes < 1 << 14 || self.segment_bytes > 1 << 30 {
            return Err(format!(
                "segment_bytes {} is not in 16 KiB..=1 GiB",
                self.segment_bytes
            ));
        }
        if self.max_message_bytes < 1 << 10 || self.max_message_bytes > self.max_request_bytes {
            return Err(format!(
                "max_message_bytes {} is not in 1 KiB..=max_request_bytes ({})",
                self.max_message_bytes, self.max_request_bytes
            ));
        }
        if self.max_request_bytes > 1 << 30 {
            return Err(format!(
                "max_request_bytes {} is over 1 GiB",
                self.max_request_bytes
            ));
        }
        if self.upkeep_interval_ms == 0 || self.segment_ms < 1 {
            return Err("upkeep_interval_ms and segment_ms must be at least 1".to_owned());
        }
        if self.max_fetch_bytes == 0 || self.max_connections == 0 || self.connection_idle_ms == 0 {
            return Err(
                "max_fetch_bytes, max_connections and connection_idle_ms must be at least 1"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// The most partitions a topic may have.
pub(crate) const MAX_PARTITIONS: i32 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_serve_nobody_is_refused() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            settings.check().unwrap();
            change(&mut settings);
            settings.check().unwrap_err()
        };
        refused(|settings| settings.max_fetch_bytes = 0);
        refused(|settings| settings.max_connections = 0);
        refused(|settings| settings.connection_idle_ms = 0);
    }
}

//! A small single-node broker that speaks the Kafka protocol.
//!
//! It lets every Kafka client produce to and consume from a laptop without a Kafka: batches of all
//! codecs with headers, idempotent producers, consumer groups, compacted topics, retention.
//! Whatever it acknowledged survives `kill -9`. It is one node by design: transactions and
//! replication are refused by the protocol's own errors. Production uses Apache Kafka or any
//! compatible broker.
//!
//! Batches are stored as they come and served as they lie; on the way in their records are read
//! through once, so that none is taken that no consumer could read.

mod api;
mod batch;
mod broker;
mod clock;
mod codec;
mod coordinator;
mod disk;
mod error;
mod groups;
mod identity;
mod log;
mod offsets;
mod outages;
mod producers;
mod records;
mod server;
mod settings;
mod shared;
mod topic_config;
mod topics;
mod upkeep;

pub use broker::Broker;
pub use clock::Clock;
pub use error::BrokerError;
pub use settings::{Fsync, Settings};

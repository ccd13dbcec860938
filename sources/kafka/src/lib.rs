//! Reads Kafka partitions by static assignment and decodes them into chunks.
//!
//! Each dataflow worker starts one [`KafkaSource`]. It owns the partitions that [`owner`] gives it,
//! finds topics and partitions while running, and sends [`tidegauge_model::SourceEvent`]s over a
//! bounded channel. It joins no consumer group and commits nothing to Kafka: where to go on is in
//! the commit of the lake, together with the data, and comes back as `resume`.
//!
//! What it promises:
//! - A partition is registered before anything of it is sent, and its chunks are without gap.
//! - It begins again exactly at the offset it is given, after comparing the last record read with
//!   the one that is there now. If the topic was deleted and made anew, or retention has removed
//!   what was not yet read, it stops and says what is lost, or goes on and records it, as
//!   [`OnLost`] says.
//! - A partition is called idle only with proof ([`tidegauge_model::Chunk::proven_end_at`]), and
//!   blocked, never idle, while it can't be read.
//! - A record that can't be decoded becomes a reject and stops nothing.
//!
//! Three headers of a record count, in any case: `tenant`, `content-type` and `content-encoding`;
//! and, written by the gateway, `tidegauge-temporality: delta`.

mod census;
mod error;
mod headers;
mod hooks;
mod lane;
mod losses;
mod native;
mod outlet;
mod proofs;
mod properties;
mod reader;
mod settings;
mod share;
mod shared;
mod source;
mod topic_settings;
mod topics;
mod verdict;
mod watch;

pub use error::SourceError;
pub use hooks::{Clock, Wake};
pub use properties::Properties;
pub use settings::{OnLost, Settings, StartAt};
pub use share::{WorkerShare, owner};
pub use shared::{Blocked, PartitionLag, SourceStats, Trouble};
pub use source::KafkaSource;
pub use topic_settings::TopicSettings;
pub use verdict::{Loss, LossCause};

//! The stream: Kafka to committed tiers, in one process or as a cluster of several.
//!
//! [`Stream::start`] recovers the open windows from the lake, starts a Kafka source and a sink for
//! each dataflow worker, runs the dataflow, and commits what it seals. What was committed is
//! durable and counted once, whatever stops the process, as the offsets to go on from are in the
//! same commit as the rows.
//!
//! ```text
//! KafkaSource ─events─► dataflow ─seals─► Sink ─receipts─► dataflow ─drafts─► commits ─► lake
//! ```

mod cohort;
mod commits;
mod error;
mod recover;
mod sink;
mod start;
mod status;
mod thread;
mod ticker;

pub use cohort::{CohortError, Terms, gather, join};
pub use error::StreamError;
pub use recover::recover;
pub use start::{Parts, Role, Stream};
pub use status::{LastCommit, Status};

//! Why the stream could not start or has stopped.

use tidegauge_dataflow::RunError;
use tidegauge_kafka::SourceError;
use tidegauge_lake::{CommitError, EncodeError, ReadError};

/// Why the stream could not start or has stopped. Nothing committed is ever lost by it: a new start
/// goes on from the last commit.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Kafka can't be read on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Open windows could not be rebuilt.
    #[error("reading the open windows back from the lake failed")]
    Recover(#[from] ReadError),
    /// A series of committed rows is in no file of `series`.
    #[error(
        "the lake has samples of series {0:?} but not its labels; its `series` table is damaged"
    )]
    UnknownSeries(tidegauge_model::SeriesId),
    /// A seal could not be written as Parquet.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A commit was refused for good.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A worker failed.
    #[error(transparent)]
    Dataflow(#[from] RunError),
    /// A thread found something that must not be.
    #[error("thread {name} panicked: {message}; start again, and report this with the log")]
    Panicked {
        /// Its name.
        name: &'static str,
        /// What it said.
        message: String,
    },
    /// A thread could not be started.
    #[error("could not start thread {name}; check the limits on threads and memory")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

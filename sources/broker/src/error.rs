//! Why a broker could not start or do what it was asked.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kafka_protocol::error::ResponseError;

/// What went wrong with the broker as a whole. Errors of a single request go to its client.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A setting can't work.
    #[error("broker settings: {0}")]
    Settings(String),
    /// The address can't be listened on.
    #[error(
        "listening for Kafka clients on {addr} failed; end what uses the port or choose another address"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error(
        "the broker directory {dir} is in use by another process; stop it or choose another directory"
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A file can't be read or written.
    #[error("{what} {path} failed; check that the directory exists, is writable and has space")]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file holds what the broker never wrote.
    #[error("{path} is damaged: {why}; restore it, or move it away to start without it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Committed offsets can't be changed.
    #[error(
        "forgetting offsets of deleted topics in {dir}: {why}; check that it is writable and has space"
    )]
    Offsets {
        /// Where committed offsets are kept.
        dir: PathBuf,
        /// Why not.
        why: String,
    },
    /// A topic can't be made as asked.
    #[error("making topic {topic}: {why}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// Why not.
        why: String,
    },
}

impl BrokerError {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> BrokerError {
        let path = path.into();
        move |source| BrokerError::File { what, path, source }
    }
}

/// A refusal on the wire: Kafka's own code and a sentence for people.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseError,
    pub(crate) why: String,
}

impl Refusal {
    pub(crate) fn new(code: ResponseError, why: impl Into<String>) -> Self {
        Refusal {
            code,
            why: why.into(),
        }
    }
}

impl From<ResponseError> for Refusal {
    fn from(code: ResponseError) -> Self {
        Refusal {
            code,
            why: code.to_string(),
        }
    }
}

//! What can go wrong: at the start, and with one request.

use crate::session::ItemError;

/// Why a gateway can't be started.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// librdkafka refuses its settings.
    #[error("making the gateway's Kafka producer: {0}; look at its `kafka` settings")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A setting that can't work.
    #[error("the gateway's `{key}` is {value}; it must be at least {least}")]
    TooSmall {
        /// Which setting.
        key: &'static str,
        /// What was given.
        value: usize,
        /// The least that works.
        least: usize,
    },
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The request is wrong, and will be when it comes again.
    #[error("{0}")]
    Refused(String),
    /// Nothing in the body is of the door's format, and never will be.
    #[error("{}", first(.errors))]
    Unreadable {
        /// Items that were refused.
        rejected: usize,
        /// What was wrong with them, as in [`crate::Pushed::errors`].
        errors: Vec<ItemError>,
    },
    /// The body is longer than allowed, or what it holds than Kafka takes.
    #[error("{0}")]
    TooLarge(String),
    /// The body stopped coming before its end.
    #[error("{0}")]
    Stalled(String),
    /// A content type or encoding that this door does not take.
    #[error("{0}")]
    MediaType(String),
    /// Kafka, or we, can't take more now; the same request may work soon.
    #[error("{reason}; try again in {retry_after_s} s")]
    Unavailable {
        /// What stood in the way.
        reason: String,
        /// When to come again.
        retry_after_s: u64,
    },
}

fn first(errors: &[ItemError]) -> &str {
    errors.first().map_or("", |item| item.error.as_str())
}

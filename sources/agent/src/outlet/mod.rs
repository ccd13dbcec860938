//! The two ways out: Kafka, and a gateway over HTTP.

mod http;
mod kafka;

use std::time::Duration;

use crate::error::AgentError;
use crate::settings::{AgentSettings, Destination};
use crate::spool::Entry;

/// A way out.
pub(crate) enum Outlet {
    Kafka(kafka::Kafka),
    Http(http::Http),
}

/// How far a delivery came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many entries, from the first, are settled.
    pub(crate) settled: usize,
    /// How many samples of those were refused for good.
    pub(crate) refused_samples: u64,
    /// Why it went no further.
    pub(crate) failure: Option<Failure>,
}

impl Outcome {
    /// Ends the delivery for now.
    fn fail(&mut self, reason: String) {
        self.failure = Some(Failure {
            reason,
            retry_after: None,
        });
    }
}

/// Something that may go away by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// How long the other side asks us to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Outlet {
    pub(crate) fn open(settings: &AgentSettings, instance: &str) -> Result<Self, AgentError> {
        Ok(match settings.destination()? {
            Destination::Kafka(brokers) => {
                Self::Kafka(kafka::Kafka::open(settings, &brokers, instance)?)
            }
            Destination::Http(url) => Self::Http(http::Http::open(settings, url)?),
        })
    }

    /// Delivers entries in order, until one fails.
    pub(crate) async fn deliver(&mut self, entries: &[Entry]) -> Outcome {
        match self {
            Self::Kafka(kafka) => kafka.deliver(entries).await,
            Self::Http(http) => http.deliver(entries).await,
        }
    }
}

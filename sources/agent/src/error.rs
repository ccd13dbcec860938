//! Why an agent can't be started.

use crate::settings::SettingsError;
use crate::spool::SpoolError;

/// Why an agent can't be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The buffer can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// librdkafka refuses its settings.
    #[error("making a Kafka producer: {0}; look at the agent's `kafka` settings")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// No HTTP client.
    #[error(
        "making an HTTP client: {0}; look at this machine's TLS certificates and proxy variables"
    )]
    Http(#[from] reqwest::Error),
    /// No thread.
    #[error("starting the agent's threads: {0}; look at this user's limits")]
    Thread(#[from] std::io::Error),
}

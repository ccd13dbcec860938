//! What can go wrong with a Kafka source as a whole.

use tidegauge_decode::RelabelError;

use crate::verdict::Loss;

/// Why a source could not start, or could not go on. Nothing here is about a single bad record:
/// those become rejects.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// A setting that cannot be.
    #[error("kafka setting `{setting}`: {reason}")]
    Setting {
        /// Which.
        setting: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// The relabel rules of a topic cannot work.
    #[error("kafka setting `topics`, entry `{topic}`: {reason}")]
    Relabel {
        /// The entry's name or regex.
        topic: String,
        /// What the rule lacks.
        reason: String,
    },
    /// A key of `kafka.librdkafka` that the library does not take.
    #[error("kafka setting `librdkafka.{key}`: {reason}")]
    Property {
        /// The key.
        key: String,
        /// The library's words, without the value where it is secret.
        reason: String,
    },
    /// The client could not be made.
    #[error("creating the Kafka client: {reason}; check `kafka.librdkafka`")]
    Client {
        /// The library's words.
        reason: String,
    },
    /// The client broke for good.
    #[error("the Kafka client can't go on: {reason}; restart to continue from the last commit")]
    Fatal {
        /// The library's words.
        reason: String,
    },
    /// A topic could not be opened.
    #[error("reading topic `{topic}`: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// The library's words.
        reason: String,
    },
    /// Records that were never read are gone.
    #[error(
        "{0}. To go on without what is lost, set `kafka.on_lost = \"continue\"`; the loss is then \
         recorded in the table `rejects`"
    )]
    Lost(Loss),
    /// A thread of the source could not be started.
    #[error("starting a thread of the Kafka source: {reason}")]
    Thread {
        /// The system's words.
        reason: String,
    },
}

impl SourceError {
    pub(crate) fn relabel(topic: &str, error: &RelabelError) -> Self {
        Self::Relabel {
            topic: topic.to_owned(),
            reason: error.to_string(),
        }
    }
}

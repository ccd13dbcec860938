//! What a Kafka source is told.

use serde::{Deserialize, Serialize};
use tidegauge_model::{HOUR_MS, Limits};

use crate::error::SourceError;
use crate::native::Client;
use crate::properties::Properties;
use crate::topic_settings::TopicSettings;

/// Settings of the Kafka source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Brokers to ask first, each `host:port`.
    pub brokers: Vec<String>,
    /// What is read. A topic belongs to the first entry that fits it.
    pub topics: Vec<TopicSettings>,
    /// librdkafka's own properties, passed through (TLS, SASL).
    pub librdkafka: Properties,
    /// Limits on records, names and labels.
    pub limits: Limits,
    /// Where a partition that no commit knows begins when the source starts. Partitions that
    /// appear later begin with their first record, whatever is set here.
    pub start: StartAt,
    /// What to do when records that were not yet read are gone: retention has passed them, or
    /// their topic was deleted and made anew.
    pub on_lost: OnLost,
    /// How often topics and partitions are looked for, in milliseconds; a third of the smallest
    /// lateness at most.
    pub refresh_ms: u64,
    /// How often a partition without new records is asked for its end, in milliseconds; a third of
    /// the topic's lateness at most.
    pub idle_proof_ms: u64,
    /// How far behind the clock samples are stale, in milliseconds; a partition that has brought no other
    /// for as long is asked for its end as well.
    pub stale_ms: u64,
    /// How long brokers may take to answer such a question before the partition counts as blocked,
    /// in milliseconds.
    pub request_timeout_ms: u64,
    /// How long a start waits for brokers to say which partitions there are and for the last
    /// records read to be compared, in milliseconds. Afterwards it goes on in the background.
    pub start_wait_ms: u64,
    /// How long a topic must be missing before its partitions are withdrawn, in milliseconds.
    pub gone_after_ms: u64,
    /// How much the client fetches ahead, in KiB, for all partitions of one worker.
    pub queue_kib: u32,
    /// How many samples one poll round takes before it hands over.
    pub round_samples: usize,
    /// How many bytes of records one poll round takes before it hands over.
    pub round_bytes: usize,
    /// How long whoever takes the chunks remembers a silent series at least, in milliseconds: no decoder
    /// uses a series' number after that. Set by the program.
    #[serde(skip)]
    pub remembered_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topics: vec![TopicSettings {
                name: Some("metrics".into()),
                ..Default::default()
            }],
            librdkafka: Properties::default(),
            limits: Limits::default(),
            start: StartAt::Earliest,
            on_lost: OnLost::Stop,
            refresh_ms: 5_000,
            idle_proof_ms: 1_000,
            stale_ms: 300_000,
            request_timeout_ms: 3_000,
            start_wait_ms: 10_000,
            gone_after_ms: 10_000,
            queue_kib: 32 << 10,
            round_samples: 64 << 10,
            round_bytes: 4 << 20,
            remembered_ms: HOUR_MS,
        }
    }
}

/// Where reading begins without a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// With the first record that is still there.
    #[default]
    Earliest,
    /// With what comes after the start.
    Latest,
}

/// What happens when records are gone before they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLost {
    /// The source stops and says what is lost.
    #[default]
    Stop,
    /// Reading goes on with the first record that is there, and the loss is recorded as a reject.
    Continue,
}

impl Settings {
    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// If a value is impossible; the error names the setting.
    pub fn check(&self) -> Result<(), SourceError> {
        let bad = |setting: &str, reason: &str| {
            Err(SourceError::Setting {
                setting: setting.into(),
                reason: reason.into(),
            })
        };
        if self.brokers.is_empty() || self.brokers.iter().any(String::is_empty) {
            return bad("brokers", "name at least one broker as `host:port`");
        }
        if self.topics.is_empty() {
            return bad("topics", "name at least one topic");
        }
        for (setting, value) in [
            ("refresh_ms", self.refresh_ms),
            ("idle_proof_ms", self.idle_proof_ms),
            ("stale_ms", self.stale_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("queue_kib", u64::from(self.queue_kib)),
            ("round_samples", self.round_samples as u64),
            ("round_bytes", self.round_bytes as u64),
        ] {
            if value == 0 {
                return bad(setting, "must be at least 1");
            }
        }
        if let Some((key, reason)) = self.librdkafka.reserved() {
            return bad(
                &format!("librdkafka.{key}"),
                &format!("can't be set here: {reason}"),
            );
        }
        Client::check(&self.properties())?;
        crate::topics::Topics::new(&self.topics).map(drop)
    }

    /// What librdkafka is given, in order; the user's keys override defaults, never promises.
    pub(crate) fn properties(&self) -> Vec<(String, String)> {
        let queue_kib = self.queue_kib.to_string();
        let refresh_ms = self.refresh_ms().to_string();
        let defaults = [
            ("client.id", "tidegauge"),
            // A poll round takes all that is there, so wait for little and take much.
            ("fetch.wait.max.ms", "100"),
            ("fetch.min.bytes", "1"),
            ("fetch.error.backoff.ms", "100"),
            ("fetch.message.max.bytes", "4194304"),
            ("fetch.max.bytes", "16777216"),
            ("receive.message.max.bytes", "134217728"),
            ("fetch.queue.backoff.ms", "20"),
            ("socket.keepalive.enable", "true"),
            ("reconnect.backoff.ms", "100"),
            ("reconnect.backoff.max.ms", "2000"),
            ("log.connection.close", "false"),
        ];
        let promises = [
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("queued.min.messages", "1000000"),
            ("queued.max.messages.kbytes", &queue_kib),
            ("topic.metadata.refresh.interval.ms", &refresh_ms),
        ];
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let user = self
            .librdkafka
            .0
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        std::iter::once(("bootstrap.servers".to_owned(), self.brokers.join(",")))
            .chain(defaults.iter().map(own))
            .chain(user)
            .chain(promises.iter().map(own))
            .collect()
    }

    /// How often topics are looked for: never less than thrice in the smallest lateness.
    pub(crate) fn refresh_ms(&self) -> u64 {
        let smallest = self
            .topics
            .iter()
            .map(|topic| topic.lateness_ms)
            .min()
            .unwrap_or(0);
        self.refresh_ms.min(third(smallest))
    }

    /// How often a quiet partition with that lateness is asked for its end.
    pub(crate) fn idle_proof_ms(&self, lateness_ms: i64) -> i64 {
        i64::try_from(self.idle_proof_ms.min(third(lateness_ms))).unwrap_or(i64::MAX)
    }
}

/// A third of a lateness, but never so little that brokers are flooded.
fn third(lateness_ms: i64) -> u64 {
    u64::try_from(lateness_ms / 3).unwrap_or(0).max(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Result<Settings, String> {
        toml::from_str(toml).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_has_a_default_and_unknown_keys_are_refused() {
        let read = settings("brokers = ['a:9092']").expect("valid");
        assert_eq!(read.topics[0].name.as_deref(), Some("metrics"));
        assert!(read.check().is_ok());
        let error = settings("broker = 'a:9092'").expect_err("unknown");
        assert!(
            error.contains("`broker`") && error.contains("`brokers`"),
            "{error}"
        );
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        for (toml, named) in [
            ("brokers = []", "brokers"),
            ("brokers = ['a:1']\ntopics = []", "topics"),
            ("brokers = ['a:1']\ntopics = [{}]", "topics"),
            (
                "brokers = ['a:1']\ntopics = [{name = 'a', regex = 'b'}]",
                "topics",
            ),
            ("brokers = ['a:1']\ntopics = [{regex = '('}]", "topics"),
            (
                "brokers = ['a:1']\ntopics = [{name = 'a', lateness_ms = -1}]",
                "topics",
            ),
            (
                "brokers = ['a:1']\ntopics = [{name = 'a'}, {name = 'a'}]",
                "topics",
            ),
            ("brokers = ['a:1']\nround_bytes = 0", "round_bytes"),
            (
                "brokers = ['a:1']\nlibrdkafka = {'group.id' = 'g'}",
                "librdkafka.group.id",
            ),
        ] {
            let error = settings(toml)
                .expect("readable")
                .check()
                .expect_err(toml)
                .to_string();
            assert!(error.contains(&format!("`{named}`")), "{toml}: {error}");
        }
    }

    #[test]
    fn what_librdkafka_does_not_take_is_refused_by_its_key() {
        for pair in ["'bogus.prop' = 'x'", "'security.protocol' = 'telepathy'"] {
            let read = settings(&format!("brokers = ['a:1']\nlibrdkafka = {{{pair}}}"));
            let error = read.expect("readable").check().expect_err(pair);
            assert!(
                matches!(&error, SourceError::Property { key, .. } if pair.contains(key)),
                "{error}"
            );
        }
    }

    #[test]
    fn the_user_overrides_defaults_but_not_promises() {
        let read = settings("brokers = ['a:1']\nlibrdkafka = {'fetch.wait.max.ms' = '7'}");
        let properties = read.expect("valid").properties();
        let last = |key: &str| {
            properties
                .iter()
                .rev()
                .find(|pair| pair.0 == key)
                .map(|pair| pair.1.clone())
        };
        assert_eq!(last("fetch.wait.max.ms").as_deref(), Some("7"));
        assert_eq!(last("auto.offset.reset").as_deref(), Some("error"));
    }

    #[test]
    fn the_refresh_follows_the_smallest_lateness() {
        let read = settings("topics = [{name = 'a', lateness_ms = 3000}, {name = 'b'}]");
        assert_eq!(read.expect("valid").refresh_ms(), 1000);
    }
}

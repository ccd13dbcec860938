//! librdkafka's own settings, passed through with their secrets kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands for a secret value wherever settings are shown.
const HIDDEN: &str = "[hidden]";

/// Keys that decide what the source promises; they are set here and nowhere else.
const OURS: [(&str, &str); 12] = [
    ("bootstrap.servers", "write it as `kafka.brokers`"),
    ("metadata.broker.list", "write it as `kafka.brokers`"),
    (
        "group.id",
        "partitions are assigned by worker, not by group",
    ),
    ("auto.offset.reset", "see `kafka.on_lost`"),
    (
        "enable.partition.eof",
        "it is needed to prove that a partition is idle",
    ),
    ("enable.auto.commit", "offsets are committed with the data"),
    (
        "enable.auto.offset.store",
        "offsets are committed with the data",
    ),
    (
        "allow.auto.create.topics",
        "topics are never created by reading",
    ),
    (
        "topic.metadata.refresh.interval.ms",
        "see `kafka.refresh_ms`",
    ),
    ("queued.max.messages.kbytes", "see `kafka.queue_kib`"),
    ("enabled_events", "it belongs to the program"),
    ("log_cb", "it belongs to the program"),
];

/// librdkafka properties by key (`security.protocol`, `sasl.mechanism`, `ssl.ca.location`, …).
/// Neither `Debug` nor serializing shows the values of secret keys.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, String>);

/// Whether the value of that key must never be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "secret",
        "jaas",
        "oauthbearer",
        "ssl.key",
        ".pem",
        "token",
    ]
    .iter()
    .any(|word| key.contains(word))
        && !key.ends_with(".location")
}

impl Properties {
    /// The first key that is not the user's to set, and what to do instead.
    pub(crate) fn reserved(&self) -> Option<(&str, &'static str)> {
        self.0.keys().find_map(|key| {
            let ours = OURS.iter().find(|ours| ours.0 == key)?;
            Some((key.as_str(), ours.1))
        })
    }

    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| {
            (
                key.as_str(),
                if is_secret(key) {
                    HIDDEN
                } else {
                    value.as_str()
                },
            )
        })
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        Properties(
            pairs
                .iter()
                .map(|&(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn secrets_are_not_shown() {
        let all = properties(&[
            ("sasl.password", "one-x"),
            ("ssl.key.password", "two-x"),
            ("ssl.key.pem", "three-x"),
            ("sasl.oauthbearer.client.secret", "four-x"),
            ("sasl.jaas.config", "five-x"),
            ("ssl.keystore.password", "six-x"),
            ("sasl.username", "shown"),
            ("ssl.key.location", "/path"),
        ]);
        let (debug, json) = (
            format!("{all:?}"),
            serde_json::to_string(&all).expect("a map"),
        );
        for text in [debug, json] {
            assert!(!text.contains("-x"), "{text}");
            assert!(text.contains("shown") && text.contains("/path"), "{text}");
        }
    }

    #[test]
    fn keys_that_carry_promises_are_refused() {
        assert_eq!(properties(&[("sasl.username", "u")]).reserved(), None);
        let reserved = properties(&[("auto.offset.reset", "latest")]);
        assert_eq!(reserved.reserved().expect("refused").0, "auto.offset.reset");
    }
}

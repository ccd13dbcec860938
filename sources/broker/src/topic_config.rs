//! A topic's configuration, under Kafka's own key names.

use std::collections::BTreeMap;

use crate::settings::Settings;

/// What the log of a topic obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    /// Drop old segments.
    pub(crate) delete: bool,
    /// Keep only the newest record of each key.
    pub(crate) compact: bool,
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_ms: i64,
    pub(crate) max_message_bytes: u32,
    /// How long a tombstone stays readable after it was first compacted.
    pub(crate) delete_retention_ms: i64,
    /// Share of bytes not yet compacted, in percent, from which compaction is worth it.
    pub(crate) min_dirty_percent: u32,
    pub(crate) log_append_time: bool,
    /// The keys that were set on the topic itself, as they were given.
    pub(crate) given: BTreeMap<String, String>,
}

/// Keys that other brokers know and that change nothing here. They are shown where they are set, so
/// that a tool that sets them finds what it has set.
const WITHOUT_EFFECT: [(&str, ValueKind); 14] = [
    ("file.delete.delay.ms", ValueKind::Long),
    ("flush.messages", ValueKind::Long),
    ("flush.ms", ValueKind::Long),
    ("follower.replication.throttled.replicas", ValueKind::List),
    ("index.interval.bytes", ValueKind::Int),
    ("leader.replication.throttled.replicas", ValueKind::List),
    ("max.compaction.lag.ms", ValueKind::Long),
    ("message.downconversion.enable", ValueKind::Boolean),
    ("message.timestamp.after.max.ms", ValueKind::Long),
    ("message.timestamp.before.max.ms", ValueKind::Long),
    ("min.compaction.lag.ms", ValueKind::Long),
    ("preallocate", ValueKind::Boolean),
    ("segment.index.bytes", ValueKind::Int),
    ("segment.jitter.ms", ValueKind::Long),
];

/// A key of the configuration as `DescribeConfigs` shows it.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) kind: ValueKind,
}

/// Kafka's numbers for the types of configuration values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

impl TopicConfig {
    /// The configuration of a topic on which `given` was set.
    pub(crate) fn new(
        settings: &Settings,
        given: BTreeMap<String, String>,
    ) -> Result<TopicConfig, String> {
        let mut config = TopicConfig {
            delete: true,
            compact: false,
            retention_ms: settings.retention_ms,
            retention_bytes: settings.retention_bytes,
            segment_bytes: settings.segment_bytes,
            segment_ms: settings.segment_ms,
            max_message_bytes: settings.max_message_bytes,
            delete_retention_ms: 24 * 3_600_000,
            min_dirty_percent: 50,
            log_append_time: false,
            given: BTreeMap::new(),
        };
        for (key, value) in &given {
            config
                .set(key, value)
                .map_err(|why| format!("{key}={value}: {why}"))?;
        }
        config.max_message_bytes = config.max_message_bytes.min(settings.max_request_bytes);
        config.given = given;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "cleanup.policy" => {
                (self.delete, self.compact) = (false, false);
                for policy in items(value) {
                    match policy {
                        "delete" => self.delete = true,
                        "compact" => self.compact = true,
                        _ => return Err("must be delete, compact or both".to_owned()),
                    }
                }
            }
            "retention.ms" => self.retention_ms = number(value, -1, i64::MAX)?,
            "retention.bytes" => self.retention_bytes = number(value, -1, i64::MAX)?,
            "segment.bytes" => self.segment_bytes = number(value, 1 << 10, 1 << 30)? as u32,
            "segment.ms" => self.segment_ms = number(value, 1, i64::MAX)?,
            "max.message.bytes" => self.max_message_bytes = number(value, 0, 1 << 30)? as u32,
            "delete.retention.ms" => self.delete_retention_ms = number(value, 0, i64::MAX)?,
            "min.cleanable.dirty.ratio" => match value.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => {
                    self.min_dirty_percent = (share * 100.0).round() as u32;
                }
                _ => return Err("must be between 0 and 1".to_owned()),
            },
            "message.timestamp.type" => match value {
                "CreateTime" => self.log_append_time = false,
                "LogAppendTime" => self.log_append_time = true,
                _ => return Err("must be CreateTime or LogAppendTime".to_owned()),
            },
            "compression.type" if value == "producer" => {}
            "compression.type" => {
                return Err("this broker stores batches as they come: producer".to_owned());
            }
            "min.insync.replicas" if value == "1" => {}
            "min.insync.replicas" => return Err("this broker has no replicas: 1".to_owned()),
            "unclean.leader.election.enable" | "remote.storage.enable" if value == "false" => {}
            known if WITHOUT_EFFECT.iter().any(|(key, _)| *key == known) => {}
            _ => return Err("unknown topic configuration".to_owned()),
        }
        Ok(())
    }

    /// Every key and its value in effect, and those without effect that were set.
    pub(crate) fn describe(&self) -> Vec<Described> {
        let given = self.given.get("cleanup.policy");
        let policy: Vec<_> = items(given.map_or("delete", String::as_str)).collect();
        let stamp = if self.log_append_time {
            "LogAppendTime"
        } else {
            "CreateTime"
        };
        // As it was given: what is kept of it are whole percents.
        let dirty_ratio = self.given.get("min.cleanable.dirty.ratio").cloned();
        let of = |name, value: String, kind| Described { name, value, kind };
        let mut all = vec![
            of("cleanup.policy", policy.join(","), ValueKind::List),
            of("compression.type", "producer".to_owned(), ValueKind::String),
            of(
                "delete.retention.ms",
                self.delete_retention_ms.to_string(),
                ValueKind::Long,
            ),
            of(
                "max.message.bytes",
                self.max_message_bytes.to_string(),
                ValueKind::Int,
            ),
            of(
                "message.timestamp.type",
                stamp.to_owned(),
                ValueKind::String,
            ),
            of(
                "min.cleanable.dirty.ratio",
                dirty_ratio
                    .unwrap_or_else(|| (f64::from(self.min_dirty_percent) / 100.0).to_string()),
                ValueKind::Double,
            ),
            of("min.insync.replicas", "1".to_owned(), ValueKind::Int),
            of(
                "retention.bytes",
                self.retention_bytes.to_string(),
                ValueKind::Long,
            ),
            of(
                "retention.ms",
                self.retention_ms.to_string(),
                ValueKind::Long,
            ),
            of(
                "segment.bytes",
                self.segment_bytes.to_string(),
                ValueKind::Int,
            ),
            of("segment.ms", self.segment_ms.to_string(), ValueKind::Long),
            of(
                "unclean.leader.election.enable",
                "false".to_owned(),
                ValueKind::Boolean,
            ),
        ];
        let remote = ("remote.storage.enable", ValueKind::Boolean);
        for (name, kind) in WITHOUT_EFFECT.into_iter().chain([remote]) {
            all.extend(
                self.given
                    .get(name)
                    .map(|value| of(name, value.clone(), kind)),
            );
        }
        all
    }
}

/// The items of a list, as a value holds it.
pub(crate) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn number(value: &str, min: i64, max: i64) -> Result<i64, String> {
    match value.trim().parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number in {min}..={max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<TopicConfig, String> {
        let given = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        TopicConfig::new(&Settings::default(), given)
    }

    #[test]
    fn keys_are_kafkas_own() {
        let config =
            config(&[("cleanup.policy", "compact, delete"), ("retention.ms", "5")]).unwrap();
        assert!(config.compact && config.delete);
        assert_eq!(config.retention_ms, 5);
        let shown = config.describe();
        let policy = shown
            .iter()
            .find(|key| key.name == "cleanup.policy")
            .unwrap();
        assert_eq!(policy.value, "compact,delete");
    }

    #[test]
    fn what_was_set_is_shown_as_it_was_set() {
        let given = [
            ("min.cleanable.dirty.ratio", "0.29"),
            ("flush.messages", "7"),
            ("remote.storage.enable", "false"),
        ];
        let config = config(&given).unwrap();
        assert_eq!(config.min_dirty_percent, 29);
        let shown = config.describe();
        for (key, value) in given {
            let found: Vec<_> = shown.iter().filter(|one| one.name == key).collect();
            assert_eq!(found.len(), 1, "{key}");
            assert_eq!(found[0].value, value, "{key}");
        }
        assert!(!shown.iter().any(|one| one.name == "preallocate"));
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        for pair in [
            ("retention", "5"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "burn"),
        ] {
            let why = config(&[pair]).unwrap_err();
            assert!(
                why.starts_with(&format!("{}={}: ", pair.0, pair.1)),
                "{why}"
            );
        }
    }
}

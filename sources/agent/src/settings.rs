//! What an agent is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::collect::{self, Collector};

/// Settings of the host agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Milliseconds between two looks at the machine.
    pub interval_ms: u64,
    /// Where samples go: Kafka brokers as `HOST:PORT,…`, or the `http://` or `https://` address of
    /// a gateway.
    pub to: String,
    /// The Kafka topic to produce into.
    pub topic: String,
    /// The tenant to write as; none leaves it to the topic or the gateway.
    pub tenant: Option<String>,
    /// The directory that holds what is not yet delivered. Only one agent can use it.
    pub buffer_dir: PathBuf,
    /// How many bytes it may hold (compressed; a scrape has about 5 KB). Beyond that the oldest
    /// are dropped and counted in `tidegauge_agent_dropped_samples_total`.
    pub buffer_bytes: u64,
    /// The label `instance`; the machine's hostname unless given.
    pub instance: Option<String>,
    /// The label `job`.
    pub job: String,
    /// Which collectors run, by name; all if empty.
    pub collectors: Vec<String>,
    /// More labels for every sample.
    pub labels: BTreeMap<String, String>,
    /// librdkafka's own properties, as for TLS and SASL.
    pub kafka: BTreeMap<String, String>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            interval_ms: 1000,
            to: "127.0.0.1:9092".into(),
            topic: "metrics".into(),
            tenant: None,
            buffer_dir: "tidegauge-agent".into(),
            buffer_bytes: 256 << 20,
            instance: None,
            job: "tidegauge-agent".into(),
            collectors: Vec::new(),
            labels: BTreeMap::new(),
            kafka: BTreeMap::new(),
        }
    }
}

/// Why settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No destination of a known form.
    #[error(
        "`to` is {to:?}: {problem}; give Kafka brokers as HOST:PORT,… or a gateway as http://HOST:PORT"
    )]
    Destination {
        /// What was given.
        to: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A collector that does not exist.
    #[error("`collectors` names `{name}`, which does not exist; there are {known}")]
    Collector {
        /// What was given.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// A number out of range.
    #[error("`{key}` is {value}; it must be at least {least}")]
    TooSmall {
        /// Which setting.
        key: &'static str,
        /// What was given.
        value: u64,
        /// The least that works.
        least: u64,
    },
}

/// Where samples go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// `HOST:PORT,…`
    Kafka(String),
    /// Where to post.
    Http(Url),
}

const INTERVAL_MS_LEAST: u64 = 10;
const BUFFER_BYTES_LEAST: u64 = 1 << 20;

impl AgentSettings {
    /// Checks everything that can be checked without doing anything.
    ///
    /// # Errors
    /// If a value can't be used, saying which and what would do.
    ///
    /// ```
    /// use tidegauge_agent::AgentSettings;
    /// let mut settings = AgentSettings::default();
    /// assert!(settings.check().is_ok());
    /// settings.to = "ftp://files".into();
    /// assert!(settings.check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), SettingsError> {
        self.destination()?;
        self.collectors()?;
        at_least("interval_ms", self.interval_ms, INTERVAL_MS_LEAST)?;
        at_least("buffer_bytes", self.buffer_bytes, BUFFER_BYTES_LEAST)
    }

    pub(crate) fn destination(&self) -> Result<Destination, SettingsError> {
        let to = self.to.trim();
        let refuse = |problem: &str| SettingsError::Destination {
            to: to.into(),
            problem: problem.into(),
        };
        if to.starts_with("http://") || to.starts_with("https://") {
            let mut url = Url::parse(to).map_err(|error| refuse(&error.to_string()))?;
            let base = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{base}/api/v1/metrics"));
            return Ok(Destination::Http(url));
        }
        if to.contains("://") {
            return Err(refuse("the scheme is not known"));
        }
        for broker in to.split(',') {
            let (host, port) = broker
                .trim()
                .rsplit_once(':')
                .ok_or_else(|| refuse("no port"))?;
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(refuse("not a host and a port"));
            }
        }
        Ok(Destination::Kafka(to.to_owned()))
    }

    pub(crate) fn collectors(&self) -> Result<Vec<Collector>, SettingsError> {
        if self.collectors.is_empty() {
            return Ok(collect::ALL.to_vec());
        }
        let find = |name: &String| {
            let known = collect::ALL.iter().find(|collector| collector.name == name);
            known.copied().ok_or_else(|| SettingsError::Collector {
                name: name.clone(),
                known: collect::ALL.map(|collector| collector.name).join(", "),
            })
        };
        self.collectors.iter().map(find).collect()
    }
}

fn at_least(key: &'static str, value: u64, least: u64) -> Result<(), SettingsError> {
    if value < least {
        return Err(SettingsError::TooSmall { key, value, least });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(to: &str) -> Result<Destination, SettingsError> {
        AgentSettings {
            to: to.into(),
            ..AgentSettings::default()
        }
        .destination()
    }

    #[test]
    fn destinations_are_told_apart() {
        assert_eq!(to("a:1,b:2"), Ok(Destination::Kafka("a:1,b:2".into())));
        assert_eq!(
            to("[::1]:9092"),
            Ok(Destination::Kafka("[::1]:9092".into()))
        );
        let url = |text| Ok(Destination::Http(Url::parse(text).expect("a URL")));
        assert_eq!(
            to("http://gate:7070"),
            url("http://gate:7070/api/v1/metrics")
        );
        assert_eq!(
            to("https://gate/tide/"),
            url("https://gate/tide/api/v1/metrics")
        );
        for wrong in [
            "",
            "host",
            "host:",
            ":1",
            "host:99999",
            "s3://bucket",
            "http://",
            "a:1,,b:2",
        ] {
            assert!(to(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn unknown_keys_and_collectors_are_refused_with_those_that_exist() {
        let error = serde_json::from_str::<AgentSettings>(r#"{"intervall_ms": 1}"#)
            .expect_err("a key that does not exist");
        assert!(error.to_string().contains("interval_ms"), "{error}");
        let settings = AgentSettings {
            collectors: vec!["cpus".into()],
            ..AgentSettings::default()
        };
        let error = settings
            .check()
            .expect_err("a collector that does not exist")
            .to_string();
        assert!(
            error.contains("`cpus`") && error.contains("meminfo"),
            "{error}"
        );
    }
}

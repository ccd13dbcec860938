//! The configuration: one TOML file, the environment above it, the command line above both.
//!
//! [`Config`] only composes the settings of the parts, which live beside what they configure.
//! [`load`] merges the layers and finds everything that is wrong with them; [`Config::show`] writes the
//! effective configuration in the form of the shipped, annotated file.

mod env;
mod faults;
mod layers;
mod load;
mod path;
mod problem;
mod secret;
mod sections;
mod template;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegauge_agent::AgentSettings;
use tidegauge_gateway::GatewaySettings;
use tidegauge_lake::{EncodeSettings, LogSettings, StoreSettings, UpkeepSettings};
use tidegauge_queries::EngineSettings;

pub use load::{Fault, Flag, Inputs, Problems, load};
pub use path::{KeyPath, Step};
pub use problem::{Place, Problem, nearest};
pub use secret::{HIDDEN, is_secret, mask_url};
pub use sections::Http;
pub use template::SHIPPED;

/// Everything that can be set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory for everything kept on this machine.
    pub data: PathBuf,
    /// What is logged: a level, or `target=level` pairs as in `RUST_LOG`.
    pub log: String,
    /// Whether `up` also watches this machine.
    pub host_agent: bool,
    /// `[http]`.
    pub http: Http,
    /// `[kafka]`: where samples come from. Without brokers, from the embedded one.
    pub kafka: tidegauge_kafka::Settings,
    /// `[broker]`: the embedded broker.
    pub broker: tidegauge_broker::Settings,
    /// `[gateway]`: the HTTP doors.
    pub gateway: GatewaySettings,
    /// `[agent]`: the host agent.
    pub agent: AgentSettings,
    /// `[stream]`: epochs, commits, watermarks.
    pub stream: tidegauge_dataflow::Settings,
    /// `[cluster]`: workers and processes.
    pub cluster: tidegauge_dataflow::Cluster,
    /// `[store]`: where the lake lies.
    pub store: StoreSettings,
    /// `[lake_log]`: how the lake's log is kept.
    pub lake_log: LogSettings,
    /// `[upkeep]`: repair, compaction, retention.
    pub upkeep: UpkeepSettings,
    /// `[encode]`: how files are written.
    pub encode: EncodeSettings,
    /// `[sql]`: bounds of queries.
    pub sql: EngineSettings,
}

impl Default for Config {
    fn default() -> Self {
        let within = |below: &str| Path::new(Self::DATA).join(below);
        Self {
            data: Self::DATA.into(),
            log: "info".into(),
            host_agent: true,
            http: Http::default(),
            kafka: tidegauge_kafka::Settings::default(),
            broker: tidegauge_broker::Settings {
                dir: within("kafka"),
                topic_partitions: [("metrics".to_owned(), 4)].into(),
                ..tidegauge_broker::Settings::default()
            },
            gateway: GatewaySettings::default(),
            agent: AgentSettings {
                buffer_dir: within("agent"),
                ..AgentSettings::default()
            },
            stream: tidegauge_dataflow::Settings::default(),
            cluster: tidegauge_dataflow::Cluster::default(),
            store: StoreSettings::default(),
            lake_log: LogSettings::default(),
            upkeep: UpkeepSettings::default(),
            encode: EncodeSettings::default(),
            sql: EngineSettings::default(),
        }
    }
}

impl Config {
    /// Where everything is kept unless said otherwise.
    const DATA: &'static str = "tidegauge-data";

    /// Keys that follow the data directory unless they are set, and what they are below it.
    const WITHIN_DATA: [(&'static [&'static str], &'static str); 2] = [
        (&["broker", "dir"], "kafka"),
        (&["agent", "buffer_dir"], "agent"),
    ];

    /// Whether samples come from the embedded broker.
    #[must_use]
    pub fn embeds_broker(&self) -> bool {
        self.kafka.brokers.is_empty()
    }

    /// Whether `to` is the embedded broker's configured address: the host agent follows it to the
    /// port that it really has.
    #[must_use]
    pub fn embeds_broker_at(&self, to: &str) -> bool {
        to == Self::default().agent.to || to == self.broker.listen.to_string()
    }

    /// Where the lake lies, as a URL: `store.url`, or the folder `lake` of the data directory. A
    /// plain path is taken as a folder.
    ///
    /// # Errors
    /// If the current directory, which a relative path starts from, can't be told.
    pub fn store_url(&self) -> std::io::Result<String> {
        let given = self.store.url.as_str();
        if given.contains("://") {
            return Ok(given.to_owned());
        }
        let folder = if given.is_empty() {
            self.data.join("lake")
        } else {
            given.into()
        };
        folder_url(&folder)
    }

    /// The whole configuration as values, secrets hidden.
    ///
    /// # Panics
    /// Never: settings are plain data with text keys.
    #[must_use]
    pub fn masked(&self) -> toml::Table {
        let mut value = toml::Value::try_from(self).expect("settings are plain data");
        secret::mask(&mut value);
        match value {
            toml::Value::Table(table) => table,
            _ => unreachable!("a struct is a table"),
        }
    }

    /// The effective configuration with the comments of the shipped file, secrets hidden.
    #[must_use]
    pub fn show(&self) -> String {
        template::fill(SHIPPED, &self.masked())
    }
}

/// A folder as a `file://` URL, absolute.
///
/// # Errors
/// If the current directory can't be told.
pub fn folder_url(folder: &Path) -> std::io::Result<String> {
    let folder = std::path::absolute(folder)?;
    let url = url::Url::from_directory_path(&folder);
    let url = url.map_err(|()| std::io::Error::other("the path is not absolute"))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Shows no secret, as nothing here does.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().to_string())
    }
}

//! The command line: what can be asked for, and which settings its flags stand for.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Flag, folder_url};

/// Streaming metrics: Kafka in, Parquet tiers and SQL out.
#[derive(Debug, Parser)]
#[command(
    name = "tidegauge",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What is logged: error, warn, info, debug, trace, or target=level,… (RUST_LOG goes above it).
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// The configuration file (TOML); the shipped one shows every key.
    #[arg(long, global = true, value_name = "FILE", env = "TIDEGAUGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in this process: broker (unless --kafka), stream, lake, SQL, host agent.
    Up(UpArgs),
    /// Answer SQL from the tiers alone, or through a running server.
    Sql(SqlArgs),
    /// Watch this machine and send its metrics elsewhere.
    Agent(AgentArgs),
    /// Look at the configuration.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// `tidegauge up`.
#[derive(Clone, Debug, Default, Args)]
pub struct UpArgs {
    /// The directory for everything kept on this machine [default: tidegauge-data].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Kafka brokers to read, instead of starting the embedded one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', value_parser = NonEmpty::new())]
    pub kafka: Option<Vec<String>>,
    /// Where the lake lies: file:///folder, s3://bucket/prefix or a path [default: DIR/lake].
    #[arg(long, value_name = "URL", value_parser = NonEmpty::new())]
    pub store: Option<String>,
    /// The address of HTTP [default: 127.0.0.1:7070].
    #[arg(long, value_name = "ADDR", value_parser = NonEmpty::new())]
    pub listen: Option<String>,
    /// The address of the embedded broker [default: 127.0.0.1:9092].
    #[arg(long, value_name = "ADDR", value_parser = NonEmpty::new())]
    pub kafka_listen: Option<String>,
    /// Dataflow workers of this process [default: 1].
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Do not watch this machine.
    #[arg(long)]
    pub no_agent: bool,
}

/// `tidegauge sql`.
#[derive(Clone, Debug, Default, Args)]
pub struct SqlArgs {
    /// The query. Without one: a prompt on a terminal, else statements from standard input.
    pub query: Option<String>,
    /// The data directory whose lake is read [default: tidegauge-data].
    #[arg(long, value_name = "DIR", conflicts_with_all = ["store", "server"])]
    pub data: Option<PathBuf>,
    /// The lake to read: file:///folder, s3://bucket/prefix or a path.
    #[arg(long, value_name = "URL", conflicts_with = "server", value_parser = NonEmpty::new())]
    pub store: Option<String>,
    /// Ask a running server instead, such as http://127.0.0.1:7070.
    #[arg(long, value_name = "URL", value_parser = NonEmpty::new())]
    pub server: Option<String>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: AnswerFormat,
    /// The tenant to read [default: sql.tenant of the configuration].
    #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
    pub tenant: Option<String>,
}

/// The forms an answer can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// Drawn with lines.
    #[default]
    Table,
    /// A head line and a line a row.
    Csv,
    /// An array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
}

/// `tidegauge agent`.
#[derive(Clone, Debug, Default, Args)]
pub struct AgentArgs {
    /// Kafka brokers as HOST:PORT,… or a gateway as http://HOST:PORT.
    #[arg(long, value_name = "HOST:PORT|URL", value_parser = NonEmpty::new())]
    pub to: Option<String>,
    /// The topic to produce into [default: metrics].
    #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
    pub topic: Option<String>,
    /// The tenant to write as [default: the topic's].
    #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
    pub tenant: Option<String>,
    /// Milliseconds between two looks at the machine [default: 1000].
    #[arg(long, value_name = "MS")]
    pub interval_ms: Option<u64>,
    /// Where samples wait that can't be delivered [default: tidegauge-agent].
    #[arg(long, value_name = "DIR")]
    pub buffer: Option<PathBuf>,
}

/// `tidegauge config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List everything that is wrong with a file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the configuration in effect with its comments, secrets hidden.
    Show,
}

fn text(value: &std::path::Path) -> toml::Value {
    value.to_string_lossy().into_owned().into()
}

fn flag(name: &'static str, key: &'static str, value: Option<toml::Value>) -> Option<Flag> {
    value.map(|value| Flag { name, key, value })
}

/// A store as flags give it: a plain path becomes a folder's URL, relative to where we are.
fn store_value(store: &str) -> toml::Value {
    let url = if store.contains("://") {
        None
    } else {
        folder_url(store.as_ref()).ok()
    };
    url.unwrap_or_else(|| store.to_owned()).into()
}

impl UpArgs {
    /// The settings that the flags stand for.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let brokers = self.kafka.as_ref().map(|brokers| {
            let given = brokers.iter().map(|broker| broker.trim().to_owned());
            toml::Value::from(given.collect::<Vec<_>>())
        });
        let workers = self.workers.map(|workers| i64::from(workers).into());
        [
            flag("--data", "data", self.data.as_deref().map(text)),
            flag("--kafka", "kafka.brokers", brokers),
            flag(
                "--store",
                "store.url",
                self.store.as_deref().map(store_value),
            ),
            flag(
                "--listen",
                "http.listen",
                self.listen.clone().map(Into::into),
            ),
            flag(
                "--kafka-listen",
                "broker.listen",
                self.kafka_listen.clone().map(Into::into),
            ),
            flag("--workers", "cluster.workers", workers),
            flag(
                "--no-agent",
                "host_agent",
                self.no_agent.then(|| false.into()),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl SqlArgs {
    /// The settings that the flags stand for.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        // A data directory that is named means its own lake, whatever the file says.
        let of_data = self.data.as_ref().map(|data| text(&data.join("lake")));
        let of_data = of_data.and_then(|lake| lake.as_str().map(store_value));
        [
            flag("--data", "data", self.data.as_deref().map(text)),
            flag("--data", "store.url", of_data),
            flag(
                "--store",
                "store.url",
                self.store.as_deref().map(store_value),
            ),
            flag(
                "--tenant",
                "sql.tenant",
                self.tenant.clone().map(Into::into),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl AgentArgs {
    /// The settings that the flags stand for.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let interval = self
            .interval_ms
            .and_then(|ms| i64::try_from(ms).ok())
            .map(Into::into);
        [
            flag("--to", "agent.to", self.to.clone().map(Into::into)),
            flag("--topic", "agent.topic", self.topic.clone().map(Into::into)),
            flag(
                "--tenant",
                "agent.tenant",
                self.tenant.clone().map(Into::into),
            ),
            flag("--interval-ms", "agent.interval_ms", interval),
            flag(
                "--buffer",
                "agent.buffer_dir",
                self.buffer.as_deref().map(text),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Inputs, load};
    use clap::CommandFactory;

    fn up(line: &str) -> Result<Config, String> {
        let words = ["tidegauge", "up"]
            .into_iter()
            .chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Up(args) = cli.command else {
            panic!("up is up")
        };
        let inputs = Inputs {
            flags: args.flags(),
            ..Inputs::default()
        };
        load(&inputs).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bare_up_means_the_defaults() {
        assert_eq!(up(""), Ok(Config::default()));
    }

    #[test]
    fn each_flag_of_up_sets_its_key() {
        let line = "--data /d --kafka a:1,b:2 --store s3://b/p --listen 0.0.0.0:80 \
            --kafka-listen 0.0.0.0:9000 --workers 4 --no-agent";
        let config = up(line).expect("good");
        assert_eq!(config.data, PathBuf::from("/d"));
        assert_eq!(config.broker.dir, PathBuf::from("/d/kafka"));
        assert_eq!(config.kafka.brokers, ["a:1", "b:2"]);
        assert_eq!(config.store.url, "s3://b/p");
        assert_eq!(config.http.listen.to_string(), "0.0.0.0:80");
        assert_eq!(config.broker.listen.to_string(), "0.0.0.0:9000");
        assert_eq!((config.cluster.workers, config.host_agent), (4, false));
    }

    #[test]
    fn wrong_flags_are_named() {
        assert!(
            up("--listen nowhere")
                .expect_err("wrong")
                .starts_with("flag --listen: ")
        );
        assert!(
            up("--workers 0")
                .expect_err("wrong")
                .starts_with("flag --workers: ")
        );
        assert!(
            up("--kafka nowhere")
                .expect_err("wrong")
                .contains("is not `host:port`")
        );
        assert!(up("--kafak a:1").expect_err("wrong").contains("--kafka"));
    }

    #[test]
    fn an_empty_flag_is_not_one_that_is_left_out() {
        // As a shell leaves them of variables that are not set.
        for flag in [
            "up --kafka",
            "up --store",
            "up --listen",
            "up --kafka-listen",
            "up --data",
            "sql --store",
            "sql --server",
            "sql --tenant",
            "sql --data",
            "agent --to",
            "agent --topic",
        ] {
            let words = ["tidegauge"].into_iter().chain(flag.split(' '));
            let error = Cli::try_parse_from(words.chain([""])).expect_err(flag);
            let says = error.to_string();
            let (_, name) = flag.split_once(' ').expect("two words");
            assert!(
                says.contains("a value is required") && says.contains(name),
                "{flag}: {says}"
            );
        }
        let words = ["tidegauge", "up", "--kafka", " "];
        let Command::Up(args) = Cli::try_parse_from(words).expect("words").command else {
            panic!("up is up")
        };
        let inputs = Inputs {
            flags: args.flags(),
            ..Inputs::default()
        };
        let said = load(&inputs).expect_err("no broker").to_string();
        assert!(said.starts_with("flag --kafka: "), "{said}");
    }

    #[test]
    fn sql_reads_one_place_only() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert!(parse("tidegauge sql q --data a --server http://x").is_err());
        assert!(parse("tidegauge sql q --store a --server http://x").is_err());
        let cli = parse("tidegauge sql q --data /d --format arrow").expect("good");
        let Command::Sql(args) = cli.command else {
            panic!("sql is sql")
        };
        assert_eq!(args.format, AnswerFormat::Arrow);
        let inputs = Inputs {
            flags: args.flags(),
            ..Inputs::default()
        };
        assert_eq!(load(&inputs).expect("good").store.url, "file:///d/lake");
    }
}

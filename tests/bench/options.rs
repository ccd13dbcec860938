//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures `tidegauge up` from Kafka to committed Parquet, next to VictoriaMetrics.
#[derive(Debug, Parser)]
#[command(name = "stream")]
pub(crate) struct Options {
    /// Which parts are run; all unless named.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Part>,
    /// How often each throughput is measured, program and peer alternating; the best counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Copies of the recorded hour (1,825,200 samples, 507 series) for remote write; OTLP, Influx
    /// and JSON arrays take a third of them, one-sample JSON messages a tenth.
    #[arg(long, default_value_t = 10)]
    pub(crate) hosts: u32,
    /// Days of `noise`: 144,000 samples each; 365 make the year that is quoted elsewhere.
    #[arg(long, default_value_t = 30)]
    pub(crate) noise_days: u32,
    /// Days of commits 10 s apart; a few minutes each.
    #[arg(long, default_value_t = 7)]
    pub(crate) week_days: i64,
    /// Seconds of live load for the delay.
    #[arg(long, default_value_t = 60)]
    pub(crate) delay_s: u32,
    /// How many series `series` has.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) series: u32,
    /// Seconds of its load.
    #[arg(long, default_value_t = 150)]
    pub(crate) series_s: u32,
    /// Dataflow workers of the program.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u32,
    /// A broker to use instead of the embedded one; topics are made there and left behind.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,
    /// The VictoriaMetrics binary.
    #[arg(long, value_name = "PATH", default_value = "victoria-metrics")]
    pub(crate) peer: PathBuf,
    /// Where data is kept while running.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Settings of the program, as KEY=VALUE with the names of environment variables.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Throughput of remote write.
    RemoteWrite,
    /// Throughput of OTLP protobuf.
    Otlp,
    /// Throughput of Influx lines.
    Influx,
    /// Throughput of JSON arrays, one a scrape.
    Json,
    /// Throughput of JSON messages of one sample.
    JsonOne,
    /// VictoriaMetrics, fed what remote write and noise hold.
    Peer,
    /// What upkeep costs and what the tiers weigh before and after it.
    Upkeep,
    /// The same of noisy gauges and counters.
    Noise,
    /// Time from a sample's production to its answer by SQL.
    Delay,
    /// Time from start to live after a clean stop and after a kill.
    Restart,
    /// Very many series: memory, and what else goes with them.
    Series,
    /// Files and query times over a week of commits 10 s apart, made fast by injected time.
    Week,
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// What is set besides what a part sets itself.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|set| {
            set.split_once('=')
                .unwrap_or_else(|| panic!("--set takes KEY=VALUE, not {set}"))
        })
    }
}

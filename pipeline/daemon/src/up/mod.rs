//! `tidegauge up`: everything in one process, in the order in which one part needs another.
//!
//! Broker, lake, stream, queries, doors, agent. It ends in the reverse order, so that what the
//! agent has still to say is taken and what was taken is committed.

mod lake;
mod report;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_agent::Agent;
use tidegauge_broker::Broker;
use tidegauge_gateway::Gateway;
use tidegauge_kafka::KafkaSource;
use tidegauge_lake::{Clock, SystemClock};
use tidegauge_queries::Engine;
use tidegauge_stream::{Parts, Stream};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::{serve, status};
use lake::Lake;
use report::Reporter;

/// How often it is looked whether the stream still runs.
const WATCH: Duration = Duration::from_millis(500);

/// Runs everything until `end` is cancelled or a part fails.
///
/// # Errors
/// If a part can't start, or the stream stops by itself.
pub fn run(config: Config, end: CancellationToken) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegauge")
        .build()
        .context("starting threads; check the limits of this user")?;
    let outcome = runtime.block_on(everything(config, end));
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

async fn everything(mut config: Config, end: CancellationToken) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started_at = clock.now_ms();
    let mut rng = SmallRng::seed_from_u64(seed(started_at));
    let listener = serve::bind(config.http.listen).await?;
    let http_address = listener.local_addr()?.to_string();

    let broker = start_broker(&mut config, &clock).await?;
    // What can't run must not claim the lake: it would end a writer that does.
    check_kafka(&config).await?;
    let gateway = start_gateway(&config, &clock)?;
    let opened = end
        .run_until_cancelled(Lake::open(&mut config, &clock, &mut rng))
        .await;
    let Some(lake) = opened.transpose()? else {
        return Ok(());
    };
    let stream = Arc::new(
        Stream::start(parts(&config, &lake, &clock))
            .await
            .context("starting the stream")?,
    );
    let engine = Arc::new(Engine::new(
        config.sql.clone(),
        lake.role.newest(),
        Arc::clone(&lake.store.objects),
        "",
    )?);
    let agent = start_agent(&config, &clock, &mut rng)?;

    let reporter = Reporter {
        started_at,
        clock: Arc::clone(&clock),
        settings: config.stream.clone(),
        stream: Arc::clone(&stream),
        health: Arc::clone(&lake.store.health),
        upkeep: lake.upkeep(),
        gateway: gateway.clone(),
        engine: Arc::clone(&engine),
        agent: agent.clone(),
    };
    let stats: crate::stats::StatsSource = Arc::new(move || reporter.stats());
    let doors = vec![
        tidegauge_queries::http::router(Arc::clone(&engine)),
        tidegauge_gateway::router(gateway),
    ];
    let routes = serve::router(Arc::clone(&stats), &config.http, doors);
    let serving = CancellationToken::new();
    let served = tokio::spawn(serve::serve(listener, routes, serving.clone()));
    let broker_address = broker
        .as_ref()
        .map(|broker| broker.local_addr().to_string());
    let place = status::banner(
        &config,
        &http_address,
        broker_address.as_deref(),
        &config.store.url,
    );
    println!("{place}");
    let shown = tokio::spawn(status::show(Arc::clone(&stats), serving.clone()));

    let outcome = until_the_end(&stream, &end).await;

    // Whoever adds to the work goes first.
    if let Some(agent) = &agent {
        agent.stop();
    }
    serving.cancel();
    let _ = shown.await;
    served.await.context("serving HTTP")??;
    drop(stats);
    lake.rest();
    let stopped = stop_stream(stream).await;
    lake.close().await;
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    outcome.and(stopped)
}

/// Two processes that start at the same instant must not draw alike.
fn seed(now_ms: i64) -> u64 {
    now_ms.unsigned_abs() ^ u64::from(std::process::id()).rotate_left(32)
}

/// The embedded broker, unless brokers are named; then everyone produces to it.
async fn start_broker(
    config: &mut Config,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Broker>> {
    if !config.embeds_broker() {
        return Ok(None);
    }
    let clock = Arc::clone(clock);
    let broker = Broker::start(config.broker.clone(), Arc::new(move || clock.now_ms()))
        .await
        .context("starting the embedded broker (its address: --kafka-listen; brokers of your own: --kafka HOST:PORT)")?;
    config.kafka.brokers = vec![broker.local_addr().to_string()];
    for topic in config
        .kafka
        .topics
        .iter()
        .filter_map(|topic| topic.name.as_deref())
    {
        let partitions = config.broker.topic_partitions.get(topic);
        let partitions = partitions
            .copied()
            .unwrap_or(config.broker.default_partitions);
        broker.create_topic(topic, partitions, &std::collections::BTreeMap::new())?;
    }
    Ok(Some(broker))
}

async fn check_kafka(config: &Config) -> anyhow::Result<()> {
    let settings = config.kafka.clone();
    // A client that goes waits for its threads.
    let checked = tokio::task::spawn_blocking(move || KafkaSource::check(&settings));
    checked.await?.context("making a Kafka client")
}

fn parts(config: &Config, lake: &Lake, clock: &Arc<dyn Clock>) -> Parts {
    Parts {
        kafka: config.kafka.clone(),
        dataflow: config.stream.clone(),
        cluster: config.cluster.clone(),
        encode: config.encode.clone(),
        store: Arc::clone(&lake.store.objects),
        role: lake.role.clone(),
        clock: Arc::clone(clock),
    }
}

fn start_gateway(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Gateway> {
    let clock = Arc::clone(clock);
    Gateway::new(
        &config.kafka.brokers.join(","),
        config.gateway.clone(),
        config.kafka.limits.clone(),
        Arc::new(move || clock.now_ms()),
    )
    .context("starting the HTTP doors")
}

/// An agent that several may ask and one may stop.
#[derive(Clone)]
pub(crate) struct SharedAgent(Arc<std::sync::Mutex<Option<Agent>>>);

impl SharedAgent {
    fn agent(&self) -> std::sync::MutexGuard<'_, Option<Agent>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn stop(&self) {
        if let Some(agent) = self.agent().take() {
            agent.stop();
        }
    }
}

fn start_agent(
    config: &Config,
    clock: &Arc<dyn Clock>,
    rng: &mut SmallRng,
) -> anyhow::Result<Option<SharedAgent>> {
    if !config.host_agent {
        return Ok(None);
    }
    let mut settings = config.agent.clone();
    if config.embeds_broker_at(&settings.to) {
        settings.to = config.kafka.brokers.join(",");
    }
    let clock = Arc::clone(clock);
    let agent = Agent::start(
        settings,
        Arc::new(move || clock.now_ms()),
        SmallRng::from_rng(rng),
    )
    .context("starting the host agent (or do without: --no-agent)")?;
    Ok(Some(SharedAgent(Arc::new(std::sync::Mutex::new(Some(
        agent,
    ))))))
}

async fn until_the_end(stream: &Stream, end: &CancellationToken) -> anyhow::Result<()> {
    loop {
        // Looked at first: a dataflow that fails says why before it ends.
        let ended = stream.ended();
        if let Some(error) = stream.failed() {
            return Err(anyhow!("{}", chain(&*error)));
        }
        if ended {
            tracing::info!("process 0 has stopped the cluster");
            return Ok(());
        }
        if end
            .run_until_cancelled(tokio::time::sleep(WATCH))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}

async fn stop_stream(stream: Arc<Stream>) -> anyhow::Result<()> {
    let stopped = tokio::task::spawn_blocking(move || stream.stop()).await?;
    stopped.map_err(|error| anyhow!("{}", chain(&*error)))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

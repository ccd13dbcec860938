//! A running agent against a Kafka cluster made up by librdkafka, and against a small HTTP server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::Value;
use tidegauge_agent::{Agent, AgentSettings, Clock};

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(to: &str, dir: &Path) -> AgentSettings {
    AgentSettings {
        interval_ms: 20,
        to: to.into(),
        buffer_dir: dir.into(),
        instance: Some("host-1".into()),
        labels: BTreeMap::from([("dc".into(), "lab".into())]),
        tenant: Some("acme".into()),
        collectors: vec!["loadavg".into(), "time".into()],
        kafka: BTreeMap::from([("message.timeout.ms".into(), "300".into())]),
        ..AgentSettings::default()
    }
}

/// A clock that goes on by one with each look.
fn clock(from: i64) -> Clock {
    let now = AtomicI64::new(from);
    Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
}

fn start(settings: AgentSettings, from: i64) -> Agent {
    Agent::start(settings, clock(from), SmallRng::seed_from_u64(1)).expect("an agent")
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The times of all samples named `name`.
fn times(bodies: &[Vec<u8>], name: &str) -> Vec<i64> {
    let mut times = Vec::new();
    for body in bodies {
        let samples: Vec<Value> = serde_json::from_slice(body).expect("an array of samples");
        let named = samples.iter().filter(|sample| sample["name"] == name);
        times.extend(named.map(|sample| sample["timestamp"].as_i64().expect("a time")));
    }
    times
}

/// All records of the topic, from its four partitions.
fn consume(brokers: &str) -> Vec<rdkafka::message::OwnedMessage> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", "test");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..4 {
        let ends = consumer.fetch_watermarks("metrics", partition, PATIENCE);
        left += ends.expect("the ends of the partition").1;
        let added = assignment.add_partition_offset("metrics", partition, Offset::Beginning);
        added.expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut messages = Vec::new();
    while left > 0 {
        let message = consumer
            .poll(PATIENCE)
            .expect("a record in time")
            .expect("a record");
        messages.push(message.detach());
        left -= 1;
    }
    messages
}

#[test]
fn scrapes_arrive_in_kafka_under_one_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("metrics", 4, 1).expect("a topic");
    let agent = start(
        settings(&cluster.bootstrap_servers(), dir.path()),
        1_700_000_000_000,
    );
    wait("delivery", || agent.stats().delivered_samples > 50);
    let stats = agent.stop();
    assert_eq!(
        (
            stats.buffered_samples,
            stats.dropped_samples,
            stats.refused_samples
        ),
        (0, 0, 0)
    );

    let messages = consume(&cluster.bootstrap_servers());
    assert_eq!(
        messages
            .iter()
            .map(Message::partition)
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );
    let bodies: Vec<_> = messages
        .iter()
        .map(|message| message.payload().expect("a body").to_vec())
        .collect();
    let loads = times(&bodies, "node_load1");
    assert_eq!(loads.len() as u64, stats.scrapes);
    assert_eq!(loads[0], 1_700_000_000_000);
    assert!(loads.is_sorted_by(|a, b| a < b), "{loads:?}");
    let first = &messages[0];
    assert_eq!(first.key(), Some(&b"host-1"[..]));
    let headers: BTreeMap<_, _> = first
        .headers()
        .expect("headers")
        .iter()
        .map(|header| (header.key, header.value.expect("a value")))
        .collect();
    assert_eq!(headers["content-type"], b"application/json");
    assert_eq!(headers["tenant"], b"acme");
    let samples: Vec<Value> = serde_json::from_slice(&bodies[0]).expect("JSON");
    let labels = serde_json::json!({"dc": "lab", "instance": "host-1", "job": "tidegauge-agent"});
    assert_eq!(samples[0]["labels"], labels);
    assert_eq!(samples[0]["type"], "gauge");
}

#[test]
fn what_no_broker_took_goes_out_with_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let agent = start(settings(&nowhere, dir.path()), 1000);
    wait("buffering", || {
        agent.stats().scrapes >= 20 && agent.stats().delivery_failures > 0
    });
    let started = Instant::now();
    let stats = agent.stop();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(stats.delivered_samples, 0);
    assert!(stats.buffered_samples > 0);

    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("metrics", 4, 1).expect("a topic");
    let agent = start(
        settings(&cluster.bootstrap_servers(), dir.path()),
        1_000_000,
    );
    wait("delivery", || {
        agent.stats().delivered_samples > stats.buffered_samples
    });
    agent.stop();
    let bodies: Vec<_> = consume(&cluster.bootstrap_servers())
        .iter()
        .map(|message| message.payload().expect("a body").to_vec())
        .collect();
    let seen: BTreeSet<i64> = times(&bodies, "node_load1").into_iter().collect();
    let expected: BTreeSet<i64> =
        (1000..1000 + i64::try_from(stats.scrapes).expect("few")).collect();
    assert!(expected.is_subset(&seen), "{expected:?} {seen:?}");
}

#[test]
fn what_is_too_large_for_kafka_is_counted_and_does_not_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("metrics", 4, 1).expect("a topic");
    // Refused in a batch, the first record is sent alone, and refused for good. The next goes through.
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large, too_large]);
    let agent = start(settings(&cluster.bootstrap_servers(), dir.path()), 1000);
    wait("delivery", || agent.stats().delivered_samples > 50);
    let stats = agent.stop();
    assert!(stats.refused_samples > 0);
    assert_eq!(stats.buffered_samples, 0);
    let bodies: Vec<_> = consume(&cluster.bootstrap_servers())
        .iter()
        .map(|message| message.payload().expect("a body").to_vec())
        .collect();
    let seen: BTreeSet<i64> = times(&bodies, "node_load1").into_iter().collect();
    let expected = 1001..1000 + i64::try_from(stats.scrapes).expect("few");
    assert_eq!(seen, expected.collect());
}

#[test]
fn what_is_too_large_for_the_producer_is_counted_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("metrics", 4, 1).expect("a topic");
    let mut settings = settings(&cluster.bootstrap_servers(), dir.path());
    settings
        .kafka
        .insert("message.max.bytes".into(), "1000".into());
    let agent = start(settings, 1000);
    wait("refusal", || agent.stats().refused_samples > 50);
    let stats = agent.stop();
    assert_eq!((stats.delivered_samples, stats.buffered_samples), (0, 0));
}

const TAKEN: &str = r#"{"status":"ok","accepted":1,"rejected":0,"errors":[]}"#;
const UNREADABLE: &str = r#"{"status":"error","accepted":0,"rejected":1,"errors":[]}"#;
/// Of a tenant that the gateway does not take, too.
const UNSEEN: &str = r#"{"status":"error","accepted":0,"rejected":0,"errors":[]}"#;

/// Answers each request with what `say` says for its number, and keeps what was taken.
/// Redirections lead to a page that has never heard of samples.
fn gateway(
    say: impl Fn(usize) -> (StatusCode, &'static str) + Send + Sync + 'static,
) -> (tokio::runtime::Runtime, String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (kept, number, say) = (
        Arc::clone(&taken),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(say),
    );
    let handler = move |headers: HeaderMap, body: Bytes| {
        let (status, body_told) = say(number.fetch_add(1, Ordering::Relaxed));
        assert_eq!(
            (&headers["content-encoding"], &headers["tenant"]),
            (
                &"zstd".parse().expect("text"),
                &"acme".parse().expect("text")
            )
        );
        if body_told == TAKEN {
            let json = zstd::decode_all(&*body).expect("zstd");
            kept.lock().expect("not poisoned").push(json);
        }
        async move {
            let headers = [("retry-after", "0"), ("location", "/moved")];
            (status, headers, body_told)
        }
    };
    let app = axum::Router::new()
        .route("/api/v1/metrics", axum::routing::post(handler))
        .route("/moved", axum::routing::any(async || "please log in"));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async move { axum::serve(listener, app).await });
    (runtime, url, taken)
}

#[test]
fn a_gateway_that_is_busy_at_first_gets_everything_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_runtime, url, taken) = gateway(|number| {
        if number < 3 {
            (StatusCode::SERVICE_UNAVAILABLE, UNSEEN)
        } else {
            (StatusCode::ACCEPTED, TAKEN)
        }
    });
    let agent = start(settings(&url, dir.path()), 1000);
    wait("delivery", || agent.stats().delivered_samples > 50);
    let stats = agent.stop();
    assert_eq!(stats.delivery_failures, 3);
    let taken = taken.lock().expect("not poisoned");
    let loads = times(&taken, "node_load1");
    let expected: Vec<i64> = (1000..1000 + i64::try_from(stats.scrapes).expect("few")).collect();
    assert_eq!(loads, expected);
}

#[test]
fn what_a_gateway_refuses_is_counted_and_does_not_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_runtime, url, taken) = gateway(|number| {
        if number == 1 {
            (StatusCode::BAD_REQUEST, UNREADABLE)
        } else {
            (StatusCode::ACCEPTED, TAKEN)
        }
    });
    let agent = start(settings(&url, dir.path()), 1000);
    wait("delivery", || agent.stats().delivered_samples > 50);
    let stats = agent.stop();
    assert!(stats.refused_samples > 0);
    assert_eq!(stats.delivery_failures, 0);
    let loads = times(&taken.lock().expect("not poisoned"), "node_load1");
    assert_eq!(loads.len() as u64, stats.scrapes - 1);
    assert!(!loads.contains(&1001), "{loads:?}");
}

#[test]
fn what_no_gateway_has_taken_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_runtime, url, taken) = gateway(|number| match number {
        0 => (StatusCode::OK, "please log in"),
        1 => (StatusCode::FOUND, ""),
        2 => (StatusCode::TEMPORARY_REDIRECT, ""),
        3 => (StatusCode::BAD_REQUEST, UNSEEN),
        4 => (StatusCode::BAD_REQUEST, "Bad Request"),
        _ => (StatusCode::ACCEPTED, TAKEN),
    });
    let agent = start(settings(&url, dir.path()), 1000);
    wait("delivery", || agent.stats().delivered_samples > 50);
    let stats = agent.stop();
    assert_eq!((stats.delivery_failures, stats.refused_samples), (5, 0));
    let loads = times(&taken.lock().expect("not poisoned"), "node_load1");
    let expected: Vec<i64> = (1000..1000 + i64::try_from(stats.scrapes).expect("few")).collect();
    assert_eq!(loads, expected);
}

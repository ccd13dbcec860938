//! Kafka in trouble under the whole pipeline: the broker is another one than the program's own, and
//! what it does is seen by the program as any Kafka's doing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::util::Timeout;
use serde_json::Value;
use tidegauge_broker::{Broker, Settings};
use tidegauge_model::{Limits, Series};
use tokio::runtime::Runtime;

use crate::crash::produce;
use crate::lake::Lake;
use crate::node::{Place, drain, now_ms};
use crate::oracle::{Samples, add};

/// Samples that count as "some have come".
const SOME: u64 = 2_000;

/// A Kafka that can go away and come back.
struct Kafka {
    runtime: Runtime,
    settings: Settings,
    broker: Option<Broker>,
}

impl Kafka {
    /// With a topic `metrics` of `partitions` partitions.
    fn new(dir: &Path, partitions: i32) -> Self {
        let settings = Settings {
            dir: dir.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Settings::default()
        };
        let mut kafka = Self {
            runtime: Runtime::new().expect("a runtime"),
            settings,
            broker: None,
        };
        kafka.come();
        let broker = kafka.broker.as_ref().expect("it came");
        kafka.settings.listen = broker.local_addr();
        let made = broker.create_topic("metrics", partitions, &Default::default());
        made.expect("a topic");
        kafka
    }

    fn come(&mut self) {
        let start = Broker::start(self.settings.clone(), Arc::new(now_ms));
        self.broker = Some(self.runtime.block_on(start).expect("a broker"));
    }

    fn go(&mut self) {
        let broker = self.broker.take().expect("it is here");
        self.runtime.block_on(broker.shutdown());
    }

    /// Gives `metrics` more partitions.
    fn grow(&self, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let grown = NewPartitions::new("metrics", partitions);
        let options = AdminOptions::new();
        let answer = admin.create_partitions([&grown], &options);
        let answer = self.runtime.block_on(answer).expect("an answer");
        answer[0].as_ref().expect("grown");
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.settings.listen.to_string());
        config
    }

    /// A node that reads this Kafka and starts at the end of what it does not know.
    fn place(&self, data: &Path) -> Place {
        let brokers = self.settings.listen.to_string();
        Place::new(
            data,
            &[
                ("TIDEGAUGE_KAFKA__BROKERS", &brokers),
                ("TIDEGAUGE_KAFKA__START", "latest"),
                ("TIDEGAUGE_KAFKA__REFRESH_MS", "500"),
                ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
                ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
            ],
        )
    }
}

fn partitions(queue: &Value) -> usize {
    queue["partitions"].as_array().map_or(0, Vec::len)
}

fn samples(stream: &Value) -> u64 {
    stream["counts"]["samples"].as_u64().unwrap_or(0)
}

/// Puts `numbers` into `metrics`, one to each partition in turn.
fn put(kafka: &Kafka, partitions: usize, numbers: std::ops::Range<i64>, produced: &mut Samples) {
    let producer: BaseProducer = kafka.client().create().expect("a producer");
    let base = now_ms() - 600_000;
    for number in numbers {
        let index = number as usize % partitions;
        let shown = index.to_string();
        let (time, value) = (base + number * 100, number as f64);
        let body = format!(
            r#"{{"name":"grown","labels":{{"partition":"{shown}"}},"timestamp":{time},"value":{value}}}"#
        );
        let record = BaseRecord::<(), str>::to("metrics").partition(index as i32);
        let queued = producer.send(record.payload(&body));
        queued.map_err(|(error, _)| error).expect("queued");
        let mut labels = vec![("partition", shown.as_str())];
        let series = Series::new("default", "grown", &mut labels, &Limits::default());
        add(produced, series.expect("valid").id(), time, value);
    }
    producer.flush(Timeout::Never).expect("acknowledged");
}

#[test]
fn a_partition_added_while_running_is_read_from_its_first_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::new(&folder.path().join("kafka"), 2);
    let place = kafka.place(&folder.path().join("data"));
    let mut node = place.start();
    node.wait("/api/v1/stats/queue", "two partitions", |queue| {
        partitions(queue) == 2
    });
    let mut produced = Samples::new();
    put(&kafka, 2, 0..1_000, &mut produced);
    node.wait("/api/v1/stats/stream", "the first samples", |stream| {
        samples(stream) == 1_000
    });
    kafka.grow(5);
    put(&kafka, 5, 1_000..3_000, &mut produced);
    node.wait("/api/v1/stats/queue", "five partitions", |queue| {
        partitions(queue) == 5
    });
    let newest = produced.keys().map(|key| key.1).max().expect("samples");
    drain(&mut node, newest);
    node.stop();
    let lake = Lake::read(&place.data);
    assert_eq!(lake.state.counts.samples, 3_000);
    lake.check_clean(&produced);
}

#[test]
fn a_broker_that_is_away_for_a_while_costs_nothing_and_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kafka = Kafka::new(&folder.path().join("kafka"), 4);
    let place = kafka.place(&folder.path().join("data"));
    let mut node = place.start();
    node.wait("/api/v1/stats/queue", "four partitions", |queue| {
        partitions(queue) == 4
    });
    node.wait("/ready", "being ready", |ready| ready["status"] == "ready");
    let done = Arc::new(AtomicBool::new(false));
    let (addr, ends) = (kafka.settings.listen, Arc::clone(&done));
    // Not a scoped thread: if the test fails while the broker is away, nobody waits for this one.
    let producer = std::thread::spawn(move || produce(addr, 11, &ends));
    let mut so_far = 0;
    for _ in 0..3 {
        node.wait("/api/v1/stats/stream", "samples", |stream| {
            samples(stream) > so_far + SOME
        });
        kafka.go();
        node.wait("/ready", "telling that Kafka is away", |ready| {
            let reasons = ready["reasons"].to_string();
            reasons.contains("Kafka can't be reached") && reasons.contains("metrics/3")
        });
        // Away for longer than a request takes to fail.
        std::thread::sleep(Duration::from_secs(4));
        kafka.come();
        node.wait("/ready", "being ready again", |ready| {
            ready["status"] == "ready"
        });
        so_far = samples(&node.get("/api/v1/stats/stream").expect("an answer"));
    }
    done.store(true, Ordering::Relaxed);
    let (produced, sent) = producer.join().expect("the producer");
    let newest = produced.keys().map(|key| key.1).max().expect("samples");
    drain(&mut node, newest);
    node.stop();
    let lake = Lake::read(&place.data);
    assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
    lake.check_clean(&produced);
}

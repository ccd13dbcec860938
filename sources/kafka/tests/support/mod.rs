//! A Kafka of librdkafka's own mock kind, and a reader of the source's events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders, ToBytes};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tidegauge_kafka::{
    Clock, KafkaSource, Settings, SourceError, TopicSettings, Trouble, WorkerShare,
};
use tidegauge_model::{Chunk, NextOffset, Partition, PartitionCut, SourceEvent};

/// How long a condition may take to come true before a test fails: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(90);

/// A mock cluster and a producer to it.
pub(crate) struct Kafka {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Kafka {
    /// With a topic `m` of `partitions` partitions.
    pub(crate) fn new(partitions: i32) -> Self {
        Self::of(1, partitions)
    }

    /// The same, of several brokers.
    pub(crate) fn of(brokers: i32, partitions: i32) -> Self {
        let cluster = MockCluster::new(brokers).expect("a mock cluster");
        cluster.create_topic("m", partitions, 1).expect("a topic");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("message.max.bytes", "4000000")
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        Self { cluster, producer }
    }

    /// Produces to a partition and waits until it is acknowledged.
    pub(crate) fn put(&self, topic: &str, index: i32, value: &[u8]) {
        self.send(BaseRecord::to(topic).partition(index).payload(value));
    }

    /// The same, with headers.
    pub(crate) fn put_with<V: ToBytes + ?Sized>(
        &self,
        topic: &str,
        index: i32,
        value: &[u8],
        headers: &[(&str, &V)],
    ) {
        let mut all = OwnedHeaders::new();
        for &(key, value) in headers {
            all = all.insert(Header {
                key,
                value: Some(value),
            });
        }
        self.send(
            BaseRecord::to(topic)
                .partition(index)
                .payload(value)
                .headers(all),
        );
    }

    /// A record without a value.
    pub(crate) fn put_tombstone(&self, topic: &str, index: i32) {
        self.send(BaseRecord::to(topic).partition(index));
    }

    fn send(&self, record: BaseRecord<'_, str, [u8]>) {
        self.producer
            .send(record.key("k"))
            .map_err(|failed| failed.0)
            .expect("queued");
        self.producer.flush(PATIENCE).expect("acknowledged");
    }

    /// `count` samples, one a record, to partition 0 of `m`; values count up from `from`.
    pub(crate) fn put_samples(&self, from: usize, count: usize) {
        for value in from..from + count {
            self.put("m", 0, sample(value).as_bytes());
        }
    }
}

/// One sample as JSON.
pub(crate) fn sample(value: usize) -> String {
    let time = 1_700_000_000_000_u64 + value as u64;
    format!(r#"{{"name":"up","labels":{{"host":"a"}},"timestamp":{time},"value":{value}}}"#)
}

/// A source under test and everything it has said.
pub(crate) struct Reading {
    pub(crate) source: KafkaSource,
    pub(crate) seen: Vec<SourceEvent>,
    /// Ticks on each reading, so that moments can be told apart.
    pub(crate) clock: Clock,
    events: Receiver<SourceEvent>,
}

/// Settings for the mock cluster: quick where a test would wait.
pub(crate) fn settings(kafka: &Kafka) -> Settings {
    Settings {
        brokers: kafka
            .cluster
            .bootstrap_servers()
            .split(',')
            .map(str::to_owned)
            .collect(),
        topics: vec![TopicSettings {
            name: Some("m".into()),
            ..TopicSettings::default()
        }],
        refresh_ms: 200,
        idle_proof_ms: 200,
        stale_ms: 1_000,
        request_timeout_ms: 2_000,
        gone_after_ms: 600,
        start_wait_ms: 60_000,
        ..Settings::default()
    }
}

impl Reading {
    /// Starts the only worker from the beginning.
    pub(crate) fn start(settings: Settings) -> Self {
        Self::resume(settings, &[]).expect("the source starts")
    }

    /// Starts the only worker from cuts.
    pub(crate) fn resume(settings: Settings, cuts: &[PartitionCut]) -> Result<Self, SourceError> {
        let resume: HashMap<_, _> = cuts
            .iter()
            .map(|cut| (cut.partition.clone(), cut.clone()))
            .collect();
        // One place only: every test also shows that a full channel loses nothing.
        let (send, events) = bounded(1);
        let tick = AtomicI64::new(1_700_000_000_000);
        let clock: Clock = Arc::new(move || tick.fetch_add(1, Ordering::SeqCst));
        let share = WorkerShare { index: 0, peers: 1 };
        let source = KafkaSource::start(
            settings,
            share,
            resume,
            send,
            Arc::new(|| {}),
            Arc::clone(&clock),
        )?;
        Ok(Self {
            source,
            seen: Vec::new(),
            clock,
            events,
        })
    }

    /// Listens until what was seen satisfies `done`.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&[SourceEvent]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.seen) {
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.seen.push(event);
            }
            if let Some(error) = self.source.failed() {
                panic!("waiting for {what}: {error}");
            }
            assert!(
                Instant::now() < deadline,
                "waiting for {what}; saw {:#?}",
                self.seen
            );
        }
    }

    /// Listens until what keeps the source from reading is as wanted.
    pub(crate) fn until_trouble(&mut self, what: &str, done: impl Fn(&Trouble) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.source.trouble()) {
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.seen.push(event);
            }
            let trouble = self.source.trouble();
            assert!(Instant::now() < deadline, "waiting for {what}: {trouble:?}");
        }
    }

    /// Listens until the source has failed.
    pub(crate) fn failure(&mut self) -> SourceError {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(error) = self.source.failed() {
                return error;
            }
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.seen.push(event);
            }
            assert!(
                Instant::now() < deadline,
                "waiting for a failure; saw {:#?}",
                self.seen
            );
        }
    }

    /// Listens until `count` samples have come.
    pub(crate) fn until_samples(&mut self, count: usize) {
        self.until(&format!("{count} samples"), |seen| {
            samples(seen).len() >= count
        });
    }

    /// How far each partition was taken, as a commit would keep it.
    pub(crate) fn cuts(&self) -> Vec<PartitionCut> {
        let mut cuts: HashMap<Partition, PartitionCut> = HashMap::new();
        for event in &self.seen {
            match event {
                SourceEvent::Chunk(chunk) => {
                    let partition = chunk.partition.clone();
                    let before = cuts.get(&partition);
                    let mark = chunk.mark.or_else(|| before.and_then(|cut| cut.mark));
                    assert!(before.is_none_or(|cut| cut.next <= chunk.next), "{chunk:?}");
                    cuts.insert(
                        partition.clone(),
                        PartitionCut {
                            partition,
                            next: chunk.next,
                            mark,
                        },
                    );
                }
                SourceEvent::Withdrawn { partition, .. } => {
                    cuts.remove(partition);
                }
                SourceEvent::Registered { .. } | SourceEvent::Blocked { .. } => {}
            }
        }
        cuts.into_values().collect()
    }

    /// Stops the source and returns the cuts.
    pub(crate) fn stop(mut self) -> Vec<PartitionCut> {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
        let cuts = self.cuts();
        self.source.stop();
        cuts
    }
}

/// The chunks among events.
pub(crate) fn chunks(seen: &[SourceEvent]) -> impl Iterator<Item = &Chunk> {
    seen.iter().filter_map(|event| match event {
        SourceEvent::Chunk(chunk) => Some(chunk),
        _ => None,
    })
}

/// The values of all samples, in order.
pub(crate) fn samples(seen: &[SourceEvent]) -> Vec<f64> {
    chunks(seen)
        .flat_map(|chunk| chunk.samples.value.iter().copied())
        .collect()
}

/// The values that [`Kafka::put_samples`] puts.
pub(crate) fn values(from: usize, count: usize) -> Vec<f64> {
    (from..from + count).map(|value| value as f64).collect()
}

/// Partition 0 of `m`.
pub(crate) fn m0() -> Partition {
    Partition {
        topic: "m".into(),
        index: 0,
    }
}

/// A cut of partition 0 of `m` at which nothing was read.
pub(crate) fn bare_cut(next: i64) -> PartitionCut {
    PartitionCut {
        partition: m0(),
        next: NextOffset(next),
        mark: None,
    }
}

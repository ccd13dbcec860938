//! The broker, its topics, and producing into them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::util::Timeout;
use tidegauge_broker::{Broker, Fsync, Settings};
use tokio::runtime::Runtime;

use crate::load::{Load, PARTITIONS};
use crate::machine::now_ms;

/// Starts the embedded broker in this process.
pub(crate) fn start(runtime: &Runtime, dir: &Path) -> Broker {
    let settings = Settings {
        dir: dir.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        fsync: Fsync::Never,
        ..Settings::default()
    };
    let broker = runtime.block_on(Broker::start(settings, Arc::new(now_ms)));
    broker.unwrap_or_else(|error| panic!("starting the embedded broker: {error}"))
}

/// Makes a topic at whatever broker is used.
pub(crate) fn create_topic(runtime: &Runtime, brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("an admin client");
    let partitions = i32::try_from(PARTITIONS).expect("few partitions");
    let topics = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
    let made = runtime.block_on(admin.create_topics(&topics, &AdminOptions::new()));
    for made in made.unwrap_or_else(|error| panic!("making topic {topic} at {brokers}: {error}")) {
        made.unwrap_or_else(|(topic, error)| panic!("making topic {topic}: {error}"));
    }
}

/// A producer with large batches, not compressed: the messages of most formats are already.
pub(crate) struct Producer(BaseProducer);

impl Producer {
    pub(crate) fn new(brokers: &str, linger_ms: u32) -> Self {
        let made = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", linger_ms.to_string())
            .set("batch.size", "900000")
            .set("queue.buffering.max.messages", "2000000")
            .set("queue.buffering.max.kbytes", "262144")
            .create();
        Self(made.expect("a producer"))
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, content_type: &str, body: &[u8]) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "content-type",
            value: Some(content_type),
        });
        let mut record = BaseRecord::<(), [u8]>::to(topic)
            .partition(partition)
            .payload(body)
            .headers(headers);
        while let Err((error, back)) = self.0.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "producing to {topic}");
            self.0.poll(Duration::from_millis(10));
            record = back;
        }
        self.0.poll(Duration::ZERO);
    }

    pub(crate) fn flush(&self) {
        self.0.flush(Timeout::Never).expect("acknowledged");
    }
}

/// Produces the whole load.
pub(crate) fn produce(brokers: &str, topic: &str, load: &Load) {
    let producer = Producer::new(brokers, 20);
    for (partition, body) in &load.records {
        producer.send(topic, *partition, load.wire.content_type(), body);
    }
    producer.flush();
}

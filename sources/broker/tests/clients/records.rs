//! Records of every codec come back as they were sent: keys, headers, times, also after a crash.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::process::{PATIENCE, Process};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const COUNT: i64 = 500;
const FIRST_MS: i64 = 1_700_000_000_000;

fn value(n: i64) -> String {
    format!("the value of {n}").repeat(20)
}

fn produce(broker: &Process, codec: &str) {
    let producer: BaseProducer = broker
        .client()
        .set("compression.type", codec)
        .set("linger.ms", "20")
        .create()
        .unwrap();
    for n in 0..COUNT {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "content-type",
                value: Some("text"),
            })
            .insert(Header {
                key: "none",
                value: None::<&str>,
            });
        let (key, value) = (format!("key {n}"), value(n));
        let record = BaseRecord::to(codec)
            .key(&key)
            .payload(&value)
            .timestamp(FIRST_MS + n * 1_000)
            .headers(headers);
        producer.send(record).map_err(|(failed, _)| failed).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn check(broker: &Process, codec: &str) {
    let found = broker.read_all(codec, 1).remove(0);
    assert_eq!(found.len() as i64, COUNT, "{codec}");
    for (n, message) in found.iter().enumerate() {
        assert_eq!(message.offset(), n as i64, "{codec}");
        assert_eq!(message.key(), Some(format!("key {n}").as_bytes()));
        assert_eq!(message.payload(), Some(value(n as i64).as_bytes()));
        let time = message.timestamp().to_millis();
        assert_eq!(time, Some(FIRST_MS + n as i64 * 1_000));
        let headers = message.headers().unwrap();
        assert_eq!(headers.get(0).value, Some(&b"text"[..]));
        assert_eq!((headers.get(1).key, headers.get(1).value), ("none", None));
    }
}

/// The offset of the first record at or after `time_ms`.
fn offset_at(consumer: &BaseConsumer, topic: &str, time_ms: i64) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked
        .add_partition_offset(topic, 0, Offset::Offset(time_ms))
        .unwrap();
    let found = consumer.offsets_for_times(asked, PATIENCE).unwrap();
    found.find_partition(topic, 0).unwrap().offset()
}

#[test]
fn records_of_every_codec_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), 1);
    for codec in CODECS {
        produce(&broker, codec);
        check(&broker, codec);
    }
    broker.crash(dir.path(), 1);
    let consumer: BaseConsumer = broker.client().set("group.id", "g").create().unwrap();
    for codec in CODECS {
        check(&broker, codec);
        let between = offset_at(&consumer, codec, FIRST_MS + 250_500);
        assert_eq!(between, Offset::Offset(251), "{codec}");
        assert_eq!(offset_at(&consumer, codec, 0), Offset::Offset(0), "{codec}");
        let after = offset_at(&consumer, codec, FIRST_MS + COUNT * 1_000);
        assert_eq!(after, Offset::End, "{codec}");
    }
}

//! What the broker does not do, it refuses at once and by the protocol's own error.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::process::{PATIENCE, Process};

#[test]
fn transactions_are_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start(dir.path(), 1);
    let producer: FutureProducer = broker
        .client()
        .set("transactional.id", "t")
        .create()
        .unwrap();
    let refused = producer.init_transactions(PATIENCE).unwrap_err();
    let code = refused.rdkafka_error_code();
    assert_eq!(code, Some(Code::TransactionalIdAuthorizationFailed));
    assert!(refused.to_string().contains("no transactions"), "{refused}");
}

#[test]
fn the_newer_group_protocol_is_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start(dir.path(), 1);
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "g")
        .set("group.protocol", "consumer")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let polled = consumer.poll(PATIENCE).expect("nothing came");
    let refused = polled.map(drop).unwrap_err();
    let fatal = KafkaError::MessageConsumptionFatal(Code::UnsupportedVersion);
    assert_eq!(refused, fatal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_too_large_is_refused_and_the_next_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start(dir.path(), 1);
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1)).set("max.message.bytes", "10000");
    let made = admin.create_topics([&topic], &AdminOptions::new()).await;
    made.unwrap().remove(0).unwrap();
    let producer: FutureProducer = broker
        .client()
        .set("message.max.bytes", "1000000")
        .create()
        .unwrap();
    for (len, refused) in [(20_000, Some(Code::MessageSizeTooLarge)), (5_000, None)] {
        let payload = vec![7; len];
        let record = FutureRecord::<(), [u8]>::to("t").payload(&payload);
        let sent = producer.send(record, PATIENCE).await;
        let code = sent.err().map(|(failed, _)| match failed {
            KafkaError::MessageProduction(code) => code,
            other => panic!("{other}"),
        });
        assert_eq!(code, refused, "{len} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_refused_and_deleted_topics_come_back_empty() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start(dir.path(), 1);
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let options = AdminOptions::new();
    let three = NewTopic::new("t", 1, TopicReplication::Fixed(3));
    let refused = admin.create_topics([&three], &options).await.unwrap();
    let code = refused[0].as_ref().unwrap_err().1;
    assert_eq!(code, Code::InvalidReplicationFactor);
    let one = NewTopic::new("t", 2, TopicReplication::Fixed(1));
    let producer: FutureProducer = broker.client().create().unwrap();
    for _ in 0..2 {
        let made = admin.create_topics([&one], &options).await.unwrap();
        made[0].as_ref().unwrap();
        let record = FutureRecord::<(), str>::to("t").partition(1).payload("x");
        let offset = producer.send(record, PATIENCE).await.unwrap().offset;
        assert_eq!(offset, 0, "the topic is a new one");
        let gone = admin.delete_topics(&["t"], &options).await.unwrap();
        gone[0].as_ref().unwrap();
    }
}

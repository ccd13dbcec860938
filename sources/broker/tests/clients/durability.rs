//! What is acknowledged is there, once and in order, over `kill -9` under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::process::{PATIENCE, Process, wait_until};

const PARTITIONS: i32 = 3;
const KILLS: u64 = 6;
const ACKS_PER_LIFE: u64 = 4_000;

/// Counts what was acknowledged; nothing may fail.
#[derive(Default)]
struct Acks(AtomicU64);

struct Counting(Arc<Acks>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        result.as_ref().expect("an idempotent producer tries again");
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn send(producer: &ThreadedProducer<Counting>, number: u64) {
    let payload = number.to_string();
    let partition = (number % PARTITIONS as u64) as i32;
    loop {
        let record = BaseRecord::<(), str>::to("t")
            .partition(partition)
            .payload(&payload);
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                std::thread::yield_now();
            }
            Err((failed, _)) => panic!("sending {number}: {failed}"),
        }
    }
}

#[test]
fn an_idempotent_producer_loses_and_doubles_nothing_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), PARTITIONS);
    let acks = Arc::new(Acks::default());
    let producer: ThreadedProducer<Counting> = broker
        .client()
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("queue.buffering.max.messages", "2000")
        .set("message.timeout.ms", "0")
        .create_with_context(Counting(Arc::clone(&acks)))
        .unwrap();
    let mut sent = 0;
    for life in 1..=KILLS {
        while acks.0.load(Ordering::SeqCst) < life * ACKS_PER_LIFE {
            send(&producer, sent);
            sent += 1;
        }
        broker.crash(dir.path(), PARTITIONS);
    }
    producer.flush(PATIENCE).unwrap();
    wait_until("all acknowledged", || acks.0.load(Ordering::SeqCst) == sent);
    broker.crash(dir.path(), PARTITIONS);
    for (partition, found) in broker.read_all("t", PARTITIONS).iter().enumerate() {
        let numbers = found.iter().map(|message| {
            let payload = message.payload().unwrap();
            str::from_utf8(payload).unwrap().parse::<u64>().unwrap()
        });
        let expected = (partition as u64..sent).step_by(PARTITIONS as usize);
        assert!(numbers.eq(expected), "partition {partition}");
    }
}

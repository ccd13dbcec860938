//! Consumer groups under stress: members come and go while records arrive, and the broker dies.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::process::{PATIENCE, Process, wait_until};

const PARTITIONS: i32 = 8;
const MEMBERS: usize = 3;
const ROUNDS: u64 = 4;
const RECORDS_PER_ROUND: u64 = 1_500;

fn produce(broker: &Process, numbers: std::ops::Range<u64>) {
    let producer: BaseProducer = broker
        .client()
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for number in numbers {
        let record = BaseRecord::<(), str>::to("t").partition((number % PARTITIONS as u64) as i32);
        let payload = number.to_string();
        let sent = producer.send(record.payload(&payload));
        sent.map_err(|(failed, _)| failed).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn member_config(broker: &Process, strategy: &str) -> ClientConfig {
    let mut config = broker.client();
    config
        .set("group.id", strategy)
        .set("partition.assignment.strategy", strategy)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("heartbeat.interval.ms", "100");
    config
}

/// One after the other, consumers that each read for a while, commit what they saw and leave.
fn come_and_go(
    config: &ClientConfig,
    records_per_life: usize,
    seen: &Mutex<HashSet<u64>>,
    done: &AtomicBool,
) {
    while !done.load(Ordering::SeqCst) {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        let mut read = 0;
        while read < records_per_life && !done.load(Ordering::SeqCst) {
            let Some(polled) = consumer.poll(Duration::from_millis(50)) else {
                continue;
            };
            // While the broker is away there are errors; the library goes on by itself.
            let Ok(message) = polled else { continue };
            let payload = str::from_utf8(message.payload().unwrap()).unwrap();
            seen.lock().unwrap().insert(payload.parse().unwrap());
            read += 1;
            // Refused where the partition was taken away meanwhile: another reads it again.
            let _ = consumer.commit_message(&message, CommitMode::Async);
        }
    }
}

/// The offsets that the group has committed.
fn committed(config: &ClientConfig) -> Vec<Offset> {
    let consumer: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range("t", 0, PARTITIONS - 1);
    let found = consumer.committed_offsets(asked, PATIENCE).unwrap();
    found.elements().iter().map(|one| one.offset()).collect()
}

fn stress(dir: &Path, strategy: &str) {
    let mut broker = Process::start(dir, PARTITIONS);
    produce(&broker, 0..RECORDS_PER_ROUND);
    let config = member_config(&broker, strategy);
    let seen = Mutex::new(HashSet::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for member in 0..MEMBERS {
            let (config, seen, done) = (&config, &seen, &done);
            scope.spawn(move || come_and_go(config, 150 + 100 * member, seen, done));
        }
        for round in 1..=ROUNDS {
            let so_far = round * RECORDS_PER_ROUND;
            wait_until("every record was seen", || {
                seen.lock().unwrap().len() as u64 == so_far
            });
            if round < ROUNDS {
                if round == ROUNDS / 2 {
                    broker.crash(dir, PARTITIONS);
                }
                produce(&broker, so_far..so_far + RECORDS_PER_ROUND);
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let last: BaseConsumer = config.create().unwrap();
    last.subscribe(&["t"]).unwrap();
    let end = Offset::Offset((ROUNDS * RECORDS_PER_ROUND) as i64 / i64::from(PARTITIONS));
    // What the last commits of those who left missed is read again by one that stays.
    wait_until("all is committed", || {
        // Refused where there is nothing new, or the group is still finding together.
        if last.poll(Duration::from_millis(50)).is_none() {
            let _ = last.commit_consumer_state(CommitMode::Sync);
        }
        committed(&config).iter().all(|offset| *offset == end)
    });
    drop(last);
    broker.crash(dir, PARTITIONS);
    assert!(committed(&config).iter().all(|offset| *offset == end));
}

#[test]
fn an_eager_group_sees_every_record_while_members_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    stress(dir.path(), "range");
}

#[test]
fn a_cooperative_group_sees_every_record_while_members_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    stress(dir.path(), "cooperative-sticky");
}

/// Commits the end of the topic for the group; the offsets that it has committed then.
fn commit_end(config: &ClientConfig) -> Vec<Offset> {
    let consumer: BaseConsumer = config.create().unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let offset = Offset::Offset(1);
        ends.add_partition_offset("t", partition, offset).unwrap();
    }
    consumer.commit(&ends, CommitMode::Sync).unwrap();
    committed(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_begins_anew_on_a_topic_that_was_deleted_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), PARTITIONS);
    let config = member_config(&broker, "range");
    let nothing = vec![Offset::Invalid; PARTITIONS as usize];
    let everything = vec![Offset::Offset(1); PARTITIONS as usize];

    produce(&broker, 0..PARTITIONS as u64);
    assert_eq!(commit_end(&config), everything);
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let gone = admin.delete_topics(&["t"], &AdminOptions::new()).await;
    gone.unwrap()[0].as_ref().unwrap();
    assert_eq!(committed(&config), nothing);
    produce(&broker, 0..PARTITIONS as u64);
    assert_eq!(committed(&config), nothing);
    broker.crash(dir.path(), PARTITIONS);
    assert_eq!(committed(&config), nothing);

    // Killed in the middle of a deletion: the topic is gone, its offsets are not.
    assert_eq!(commit_end(&config), everything);
    std::fs::remove_dir_all(dir.path().join("topics/t")).unwrap();
    broker.crash(dir.path(), PARTITIONS);
    produce(&broker, 0..PARTITIONS as u64);
    assert_eq!(committed(&config), nothing);
}

//! What is scarce: file descriptors, and the patience for clients that do nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::process::{PATIENCE, Process};

async fn create(broker: &Process, partitions: i32) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let topic = NewTopic::new("t", partitions, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await;
    made.unwrap()
        .remove(0)
        .map(drop)
        .map_err(|(_, code)| code.to_string())
}

fn partitions(broker: &Process) -> usize {
    let consumer: BaseConsumer = broker.client().create().unwrap();
    let known = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let found = known.topics().iter().find(|topic| topic.name() == "t");
    found.map_or(0, |topic| topic.partitions().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_for_which_there_are_too_few_files_is_refused_and_leaves_nothing() {
    const FILES: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start_with_files(dir.path(), FILES);
    create(&broker, 1_000).await.unwrap_err();
    assert_eq!(partitions(&broker), 0);
    drop(broker);
    let broker = Process::start_with_files(dir.path(), FILES);
    create(&broker, 1_000).await.unwrap_err();
    create(&broker, 3).await.unwrap();
    drop(broker);
    let broker = Process::start_with_files(dir.path(), FILES);
    assert_eq!(partitions(&broker), 3);
}

#[test]
fn only_connections_on_which_nothing_moves_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start_with(dir.path(), r#"{"connection_idle_ms": 300}"#);
    let connect = || {
        let stream = TcpStream::connect(&broker.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (mut idle, mut busy) = (connect(), connect());
    // Fetch, version 4, of no topic: it waits two seconds for a byte that can't come.
    let mut fetch = vec![0, 1, 0, 4, 0, 0, 0, 7, 0, 0];
    for field in [-1, 2_000, 1, 1_000] {
        fetch.extend_from_slice(&i32::to_be_bytes(field));
    }
    fetch.extend_from_slice(&[0, 0, 0, 0, 0]);
    busy.write_all(&(fetch.len() as i32).to_be_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    busy.write_all(&fetch).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "the idle one is closed");
    let mut answer = [0; 8];
    busy.set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let early = busy.read(&mut answer).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock, "it is waited for");
    busy.set_read_timeout(Some(PATIENCE)).unwrap();
    busy.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4..], [0, 0, 0, 7]);
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_client_that_does_not_read_its_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start_with(dir.path(), r#"{"connection_idle_ms": 300}"#);
    let mut deaf = TcpStream::connect(&broker.addr).unwrap();
    // ApiVersions, version 0, until the buffers on both sides are full.
    let ask = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0].repeat(1_000);
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    let closed = loop {
        if let Err(closed) = deaf.write_all(&ask) {
            break closed.kind();
        }
    };
    assert!(
        matches!(closed, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{closed}"
    );
}

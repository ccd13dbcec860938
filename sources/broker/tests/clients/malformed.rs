//! Bytes that are no requests: they cost their connection and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::process::{PATIENCE, Process};

/// Above what the broker needs by far, and far below what the counts announce.
const MEMORY_KIB: u64 = 300 << 10;
/// Higher than every API and version that there is.
const APIS: i16 = 75;
const VERSIONS: i16 = 18;

/// Seeded, so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}

fn send(broker: &Process, announced: i32, frame: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&broker.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The broker may close before it has read everything.
    let _ = stream.write_all(&announced.to_be_bytes());
    let _ = stream.write_all(frame);
    stream
}

/// Sends one frame and reads until the broker closes the connection.
fn throw(broker: &Process, announced: i32, frame: &[u8]) {
    let mut stream = send(broker, announced, frame);
    let _ = stream.shutdown(Shutdown::Write);
    let mut chunk = [0; 4_096];
    while !matches!(stream.read(&mut chunk), Ok(0) | Err(_)) {}
}

fn header(api: i16, version: i16, has_tags: bool) -> Vec<u8> {
    let mut frame = api.to_be_bytes().to_vec();
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 7, 0, 1, b'c']);
    frame.extend_from_slice(&[0][..usize::from(has_tags)]);
    frame
}

fn check_alive(broker: &mut Process) {
    assert!(broker.lives());
    let consumer: BaseConsumer = broker.client().create().unwrap();
    consumer.fetch_metadata(None, PATIENCE).unwrap();
    let most = broker.most_memory_kib();
    assert!(most < MEMORY_KIB, "{most} KiB");
}

#[test]
fn counts_that_cannot_be_true_claim_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), 1);
    let bodies: [&[u8]; 5] = [
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0],
        &[0xff; 40],
        &[0x7f; 40],
        &[0, 2, b'a', b'b', 0x7f, 0xff, 0xff, 0xff],
    ];
    for api in 0..APIS {
        for version in 0..VERSIONS {
            for (n, body) in bodies.iter().enumerate() {
                let frame = [&header(api, version, n % 2 == 1), *body].concat();
                throw(&broker, frame.len() as i32, &frame);
            }
        }
    }
    check_alive(&mut broker);
}

#[test]
fn random_bytes_end_their_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), 1);
    let mut dice = Dice(0x5eed_cafe);
    for _ in 0..3_000 {
        let frame = if dice.below(10) == 0 {
            dice.bytes(200)
        } else {
            let (api, version) = (dice.below(APIS as u64), dice.below(VERSIONS as u64));
            let mut frame = header(api as i16, version as i16, dice.below(2) == 0);
            for _ in 0..dice.below(12) {
                match dice.below(4) {
                    0 => frame.extend_from_slice(&(dice.next() as u32 >> 1).to_be_bytes()),
                    1 => frame.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, dice.next() as u8]),
                    2 => frame.push(dice.below(4) as u8),
                    _ => frame.extend(dice.bytes(20)),
                }
            }
            frame
        };
        let announced = match dice.below(20) {
            0 => i32::MAX,
            1 => -1,
            2 => 90 << 20,
            3 => frame.len() as i32 + 100,
            _ => frame.len() as i32,
        };
        throw(&broker, announced, &frame);
    }
    check_alive(&mut broker);
}

#[test]
fn half_a_request_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), 1);
    let halves: Vec<_> = (0..50)
        .map(|_| send(&broker, 90 << 20, &[1, 2, 3]))
        .collect();
    check_alive(&mut broker);
    for mut half in halves {
        half.set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let waits = half.read(&mut [0]).unwrap_err();
        assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock, "not closed");
    }
}

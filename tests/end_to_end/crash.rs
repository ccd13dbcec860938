//! `kill -9` at random moments, with the producer running.
//!
//! `E2E_KILLS` sets how many (50 unless set; 1000 for a long night), and
//! `E2E_SEED` the seed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_model::{Limits, Series};

use crate::lake::Lake;
use crate::node::Place;
use crate::oracle::{Samples, add};
use crate::producer::Producer;

const HOSTS: u32 = 16;

/// Event time begins three hours ago and moves as records are made, so that hours close too.
const STEP_MS: i64 = 120;

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_doubled() {
    let (kills, seed) = (setting("E2E_KILLS", 50), setting("E2E_SEED", 7));
    println!("seed {seed}, {kills} kills");
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(
        &folder.path().join("data"),
        &[
            ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
            ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
        ],
    );
    let done = AtomicBool::new(false);
    let (produced, sent) = std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(place.kafka, seed, &done));
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..kills {
            let node = place.start();
            std::thread::sleep(Duration::from_millis(rng.random_range(50..1_500)));
            node.kill();
        }
        let mut node = place.start();
        done.store(true, Ordering::Relaxed);
        let (produced, sent) = producer.join().expect("the producer");
        let newest = produced.keys().map(|key| key.1).max().expect("samples");
        drain(&mut node, newest);
        node.stop();
        (produced, sent)
    });
    let lake = Lake::read(&place.data);
    println!(
        "{sent} records, {} commits, {:?}",
        lake.state.version.unwrap_or(0),
        lake.state.counts
    );
    assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
    lake.check(&produced);
}

/// Waits until everything is read and every window that holds a sample is closed.
pub(crate) fn drain(node: &mut crate::node::Node<'_>, newest: i64) {
    node.wait("/api/v1/stats/queue", "empty queue", |queue| {
        let partitions = queue["partitions"].as_array();
        queue["lag"] == 0 && partitions.is_some_and(|partitions| !partitions.is_empty())
    });
    node.wait("/api/v1/stats/stream", "closed windows", |stream| {
        stream["watermark"]
            .as_i64()
            .is_some_and(|watermark| watermark > newest + 60_000)
    });
}

/// Produces until told to end, at some thousand records a second; a tenth is late, some come twice.
pub(crate) fn produce(broker: SocketAddr, seed: u64, done: &AtomicBool) -> (Samples, u64) {
    let producer = Producer::new(broker);
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xfeed);
    let mut produced = Samples::new();
    let start = now_ms() - 3 * 3_600_000;
    let series: Vec<Series> = (0..HOSTS)
        .map(|host| {
            let host = format!("web-{host:02}");
            Series::new(
                "default",
                "cpu.load",
                &mut vec![("host", &host)],
                &Limits::default(),
            )
            .expect("valid")
        })
        .collect();
    let mut sent = 0;
    for step in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let host = rng.random_range(0..HOSTS);
        let late = if rng.random_bool(0.1) {
            rng.random_range(0..7_200_000)
        } else {
            0
        };
        let time = (start + step * STEP_MS - late).min(now_ms());
        let value = f64::from(rng.random_range(0..1_000)) / 8.0;
        let body = format!(
            r#"{{"name":"cpu.load","labels":{{"host":"web-{host:02}"}},"timestamp":{time},"value":{value}}}"#
        );
        let copies = if rng.random_bool(0.05) { 2 } else { 1 };
        for _ in 0..copies {
            producer.send(
                "metrics",
                &host.to_string(),
                "default",
                "application/json",
                body.as_bytes(),
            );
            sent += 1;
        }
        add(&mut produced, series[host as usize].id(), time, value);
        if step % 20 == 19 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    producer.flush();
    (produced, sent)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test runs by the same clock"
)]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292 million")
}

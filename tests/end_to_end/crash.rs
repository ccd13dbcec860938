//! `kill -9` at random moments, with the producer running.
//!
//! `E2E_KILLS` sets how many (50 unless set; 1000 for a long night), and
//! `E2E_SEED` the seed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_model::{HOUR_MS, Limits, Series, floor};

use crate::lake::Lake;
use crate::node::{Place, drain, now_ms, setting};
use crate::oracle::{Expected, Samples, add};
use crate::producer::Producer;

const HOSTS: u32 = 16;

/// Event time goes through the twelve hours up to the last full one as records are made, so that
/// hours close too; what comes after their end is late.
const STEP_MS: i64 = 120;
const SPAN_MS: i64 = 12 * HOUR_MS;
const LATEST_MS: i64 = 2 * HOUR_MS;

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
            ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "200"),
            ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "0"),
            ("TIDEGAUGE_UPKEEP__SMALL_FILES", "3"),
        ],
    );
    let done = AtomicBool::new(false);
    let (expected, sent) = std::thread::scope(|scope| {
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
        let expected = Expected::new(produced);
        drain(&mut node, expected.end());
        Lake::wait_for_upkeep(&mut node, expected.end());
        node.stop();
        (expected, sent)
    });
    let lake = Lake::read(&place.data);
    println!(
        "{sent} records, {} commits, {:?}",
        lake.state.version.unwrap_or(0),
        lake.state.counts
    );
    assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
    lake.check(&expected, expected.end());
}

/// Produces until told to end, at some thousand records a second; a tenth is late, some come twice.
pub(crate) fn produce(broker: SocketAddr, seed: u64, done: &AtomicBool) -> (Samples, u64) {
    let producer = Producer::new(broker);
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xfeed);
    let mut produced = Samples::new();
    let end = floor(now_ms(), HOUR_MS);
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
        let on_time = (end - SPAN_MS + step * STEP_MS).min(end);
        let time = if on_time == end || rng.random_bool(0.1) {
            on_time - rng.random_range(1..LATEST_MS)
        } else {
            on_time
        };
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

//! Delta sums of OTLP: totals go on over restarts, however the program ended and however long their
//! series was silent, and what came too late for them is told.

use std::path::Path;

use serde_json::json;
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, floor};

use crate::node::{Node, Place, drain, now_ms};
use crate::producer::Producer;

const SECOND_MS: i64 = 1_000;

#[test]
fn totals_go_on_after_a_kill() {
    totals_go_on(|node| node.kill());
}

#[test]
fn totals_go_on_after_a_stop() {
    totals_go_on(|node| node.stop());
}

fn totals_go_on(end: fn(Node<'_>)) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = hasty(folder.path());
    // Far enough back that its windows close at once.
    let now = now_ms() - 3 * MINUTE_MS;
    // Its hour is closed when the first life ends, so that of `silent` no window is open.
    let past = floor(now, HOUR_MS) - 2 * HOUR_MS;
    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let producer = Producer::new(place.kafka);
    send(&producer, "silent", past, 10);
    send(&producer, "silent", past + MINUTE_MS, 10);
    send(&producer, "steady", now - 3 * SECOND_MS, 1);
    settle(&mut node, &producer, now);
    send(&producer, "steady", now - 2 * SECOND_MS, 2);
    settle(&mut node, &producer, now);
    // Older than the total before it, which is written again with it.
    send(&producer, "steady", now - MINUTE_MS, 4);
    // Its clock is a year ahead: there is no total that it could be added to.
    send(&producer, "steady", now + 365 * DAY_MS, 8);
    // Only late, and its life ends before upkeep has made rows of it.
    send(&producer, "unrepaired", past, 10);
    send(&producer, "unrepaired", past + MINUTE_MS, 10);
    settle(&mut node, &producer, now);
    let rejects = node.sql("default", "SELECT reason FROM rejects ORDER BY reason");
    assert_eq!(rejects, ["future_delta", "late_delta"]);
    let counted = node.get("/api/v1/stats/stream").expect("stats")["counts"]["rejected"].as_u64();
    assert_eq!(counted, Some(2));
    end(node);

    let mut node = place.start();
    let producer = Producer::new(place.kafka);
    send(&producer, "silent", now, 10);
    send(&producer, "steady", now, 16);
    send(&producer, "unrepaired", now, 10);
    // Nothing is known of it, so none of its deltas is late, though the watermark has passed them.
    send(&producer, "fresh", past, 100);
    send(&producer, "fresh", past + MINUTE_MS, 100);
    settle(&mut node, &producer, now);
    let totals = node.sql(
        "default",
        "SELECT name, value FROM samples ORDER BY name, time",
    );
    let expected = [
        "fresh_total,100.0",
        "fresh_total,200.0",
        "silent_total,10.0",
        "silent_total,20.0",
        "silent_total,30.0",
        "steady_total,1.0",
        "steady_total,7.0",
        "steady_total,23.0",
        "unrepaired_total,10.0",
        "unrepaired_total,20.0",
        "unrepaired_total,30.0",
    ];
    assert_eq!(totals, expected);
    node.stop();
}

/// A service that is set to send totals where it sent deltas, and two that send both at once.
#[test]
fn absolute_values_set_the_total() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = hasty(folder.path());
    let now = now_ms() - 3 * MINUTE_MS;
    let at = |step: i64| now + step * SECOND_MS;
    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let producer = Producer::new(place.kafka);
    for step in 0..3 {
        send(&producer, "changed", at(step), 1);
    }
    settle(&mut node, &producer, at(2));
    for step in 3..6 {
        send_sum(&producer, "changed", 2, at(step), 100 + step as i32);
    }
    for step in 0..3 {
        send(&producer, "both", at(2 * step), 1);
        send_sum(&producer, "both", 2, at(2 * step + 1), 50 + step as i32);
    }
    settle(&mut node, &producer, at(5));
    send(&producer, "changed", at(6), 1);
    settle(&mut node, &producer, at(6));
    let totals = node.sql(
        "default",
        "SELECT name, value FROM samples ORDER BY name, time",
    );
    let both =
        [1.0, 50.0, 51.0, 51.0, 52.0, 52.0].map(|total: f64| format!("both_total,{total:?}"));
    let changed = [1.0, 2.0, 3.0, 103.0, 104.0, 105.0, 106.0];
    let changed = changed.map(|total: f64| format!("changed_total,{total:?}"));
    assert_eq!(totals, [&both[..], &changed[..]].concat());
    node.stop();
}

/// A program that commits several times a second.
fn hasty(folder: &Path) -> Place {
    Place::new(
        &folder.join("data"),
        &[
            ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
            ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
        ],
    )
}

/// Waits until all that was sent in this life, a sample a record, is committed. Neither the queue nor the
/// watermark tells by itself: the one may not know the end yet, the other may have passed it.
fn settle(node: &mut Node<'_>, producer: &Producer, newest: i64) {
    producer.flush();
    drain(node, newest);
    node.wait("/api/v1/stats/stream", "everything committed", |stream| {
        let taken = stream["counts"]["samples"].as_u64();
        taken.is_some_and(|taken| taken >= producer.queued()) && stream["in_flight"] == 0
    });
}

/// One delta as the Collector's `otlp_json` writes it.
fn send(producer: &Producer, name: &str, time: i64, delta: i32) {
    send_sum(producer, name, 1, time, delta);
}

/// One point of a sum whose temporality is 1 (delta) or 2 (cumulative).
fn send_sum(producer: &Producer, name: &str, temporality: i32, time: i64, value: i32) {
    let point = json!({"timeUnixNano": format!("{time}000000"), "asDouble": value});
    let sum =
        json!({"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [point]});
    let metrics = json!([{"name": name, "sum": sum}]);
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    producer.send_to("metrics", 0, "default", "application/json", body.as_bytes());
}

//! The recorded hour of a node_exporter, 1,825,200 samples, in all four formats at once.
//!
//! Each format comes under its own tenant on its own partition, and must give the series that were
//! recorded: Influx by a measurement and a field that make the name, OTLP as gauges, which the
//! compatibility rules rename in nothing. The recording holds neither NaN nor infinities, which
//! Influx can't carry, so nothing is left out of any copy; OTLP as JSON is a slice, each tenth
//! scrape. By SQL, all rollups of all tenants are compared, and the raw rows of three minutes;
//! file by file, everything.

use serde_json::json;
use tidegauge_model::{HOUR_MS, Limits, MINUTE_MS, SeriesId, floor};

use crate::encode::{self, Row};
use crate::keep::{Sent, keep};
use crate::lake::Lake;
use crate::node::{Place, drain};
use crate::oracle::{Expected, Samples};
use crate::producer::Producer;
use crate::recording::{Point, Recording, SAMPLES, Scrape};
use crate::sql;

/// Each format: its tenant, content type, and every how manieth scrape it brings.
const FORMATS: [(&str, &str, usize); 5] = [
    ("json", "application/json", 1),
    ("influx", "text/plain", 1),
    ("remote", "application/x-protobuf", 1),
    ("otlp", "application/x-protobuf", 1),
    ("otlp-json", "application/json", 10),
];

#[test]
fn an_hour_of_a_real_node_is_there_to_the_last_bit() {
    let (recording, moved_ms) = Recording::of_the_day_before_yesterday();
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::on_any_kafka(
        &folder.path().join("data"),
        &[
            // What is still to read when a partition is taken for idle becomes late.
            ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "500"),
            ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "0"),
        ],
    );
    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let sent = send(&Producer::new(place.kafka), &recording);
    assert_eq!(sent, 4 * SAMPLES + SAMPLES / 10, "the whole recording");
    let newest = recording.scrapes.last().expect("scrapes").time;
    drain(&mut node, newest);
    let closed = floor(newest, HOUR_MS) + HOUR_MS;
    Lake::wait_for_upkeep(&mut node, closed);
    let expected = FORMATS.map(|(tenant, _, every)| {
        let samples = samples(&recording, tenant, every);
        (tenant, Expected::new(samples))
    });
    let some = newest - 30 * MINUTE_MS..newest - 27 * MINUTE_MS;
    for (tenant, expected) in &expected {
        sql::check_rollups(&node, tenant, expected, closed);
        sql::check_samples(&node, tenant, expected, some.clone());
    }
    node.stop();
    let lake = Lake::read(&place.data);
    let counts = lake.state.counts;
    assert_eq!((counts.samples, counts.rejected), (sent, 0));
    let mut all = Expected::default();
    expected.into_iter().for_each(|it| all.append(it.1));
    lake.check(&all, closed);
    let tenants = FORMATS.map(|(tenant, _, every)| (tenant, every));
    keep(
        "hour",
        &place,
        &lake,
        &Sent::Recording {
            tenants: &tenants,
            moved_ms,
        },
    );
}

/// Produces every scrape in every format; returns how many samples that were.
fn send(producer: &Producer, recording: &Recording) -> u64 {
    let heads: Vec<String> = recording
        .series
        .iter()
        .map(|(name, labels)| {
            let labels: serde_json::Map<_, _> = labels
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            format!(r#"{{"name":{},"labels":{},"#, json!(name), json!(labels))
        })
        .collect();
    let mut sent = 0;
    for (at, scrape) in recording.scrapes.iter().enumerate() {
        let rows = rows(recording, scrape);
        for (place, (tenant, content_type, every)) in FORMATS.into_iter().enumerate() {
            if at % every != 0 {
                continue;
            }
            let body = match tenant {
                "json" => json_as_recorded(scrape, &heads),
                "influx" => encode::influx(&rows),
                "remote" => encode::snappy(&encode::write_request(&rows)),
                "otlp" => encode::otlp_gauges(&rows),
                _ => otlp_json(&rows),
            };
            let partition = i32::try_from(place % 4).expect("few");
            producer.send_to("metrics", partition, tenant, content_type, &body);
            sent += rows.len() as u64;
        }
    }
    producer.flush();
    sent
}

fn rows(recording: &Recording, scrape: &Scrape) -> Vec<Row> {
    let row = |point: &Point| {
        let (name, labels) = recording.series[point.series].clone();
        let (time, value) = (scrape.time, point.value);
        Row {
            name,
            labels,
            time,
            value,
        }
    };
    scrape.points.iter().map(row).collect()
}

/// An array, with the values in the recording's own words.
fn json_as_recorded(scrape: &Scrape, heads: &[String]) -> Vec<u8> {
    let time = scrape.time;
    let sample = |point: &Point| {
        let (head, value) = (&heads[point.series], &point.text);
        format!(r#"{head}"timestamp":{time},"value":{value}}}"#)
    };
    let samples: Vec<String> = scrape.points.iter().map(sample).collect();
    format!("[{}]", samples.join(",")).into_bytes()
}

/// A request of gauges as the Collector's `otlp_json` writes it.
fn otlp_json(rows: &[Row]) -> Vec<u8> {
    let metric = |row: &Row| {
        let attribute =
            |(key, value): &(String, String)| json!({"key": key, "value": {"stringValue": value}});
        let attributes: Vec<_> = row.labels.iter().map(attribute).collect();
        let time = (i128::from(row.time) * 1_000_000).to_string();
        let point = json!({"attributes": attributes, "timeUnixNano": time, "asDouble": row.value});
        json!({"name": row.name, "gauge": {"dataPoints": [point]}})
    };
    let metrics: Vec<_> = rows.iter().map(metric).collect();
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    request.to_string().into_bytes()
}

/// What one tenant must have.
fn samples(recording: &Recording, tenant: &str, every: usize) -> Samples {
    let id = |(name, labels): &(String, Vec<(String, String)>)| -> SeriesId {
        let mut labels = labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        tidegauge_model::Series::new(tenant, name, &mut labels, &Limits::default())
            .expect("a real series")
            .id()
    };
    let ids: Vec<SeriesId> = recording.series.iter().map(id).collect();
    let scrapes = recording.scrapes.iter().step_by(every);
    let rows = scrapes.flat_map(|scrape| {
        let row = |point: &Point| ((ids[point.series], scrape.time), point.value);
        scrape.points.iter().map(row)
    });
    rows.collect()
}

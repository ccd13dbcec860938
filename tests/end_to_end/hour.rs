//! The recorded hour of a node_exporter, 1,825,200 samples, in two formats at once.

use std::path::Path;

use tidegauge_decode::{SeriesSamples, encode_remote_write};
use tidegauge_model::{Limits, Series};

use crate::crash::drain;
use crate::lake::Lake;
use crate::node::Place;
use crate::oracle::{Samples, add};
use crate::producer::Producer;

/// A sample's name, labels and value, as text.
type Line = (String, Vec<(String, String)>, String);

/// One scrape: its time and every sample.
struct Scrape {
    time: i64,
    samples: Vec<Line>,
}

#[test]
fn an_hour_of_a_real_node_is_there_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    // The recording ages; what it holds must not expire meanwhile.
    let forever = [("TIDEGAUGE_UPKEEP__RETENTION__RAW_MS", "9000000000000000")];
    let place = Place::new(&folder.path().join("data"), &forever);
    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let producer = Producer::new(place.kafka);
    let mut produced = Samples::new();
    let mut sent = 0;
    for scrape in scrapes() {
        let json = send_json(&producer, &scrape);
        let (series, bodies) = remote_write(&scrape);
        producer.send("metrics", "node", "wire", "application/x-protobuf", &bodies);
        for ((name, labels, value), wire) in scrape.samples.iter().zip(&series) {
            let value: f64 = value.parse().expect("a number");
            let value = tidegauge_model::normal(value);
            add(&mut produced, wire.id(), scrape.time, value);
            add(
                &mut produced,
                make("plain", name, labels).id(),
                scrape.time,
                value,
            );
        }
        sent += json + series.len() as u64;
    }
    producer.flush();
    assert_eq!(sent, 2 * 1_825_200, "the whole recording, twice");
    let newest = produced.keys().map(|key| key.1).max().expect("samples");
    drain(&mut node, newest);
    node.stop();
    let lake = Lake::read(&place.data);
    assert_eq!(
        (lake.state.counts.samples, lake.state.counts.rejected),
        (sent, 0)
    );
    lake.check(&produced);
}

fn make(tenant: &str, name: &str, labels: &[(String, String)]) -> Series {
    let mut labels = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Series::new(tenant, name, &mut labels, &Limits::default()).expect("a real series")
}

fn send_json(producer: &Producer, scrape: &Scrape) -> u64 {
    let samples: Vec<String> = scrape
        .samples
        .iter()
        .map(|(name, labels, value)| {
            let labels: serde_json::Map<_, _> = labels
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            let value = match value.as_str() {
                "NaN" | "+Inf" | "-Inf" => format!("\"{value}\""),
                number => number.to_owned(),
            };
            let (name, labels) = (serde_json::json!(name), serde_json::Value::from(labels));
            format!(
                r#"{{"name":{name},"labels":{labels},"timestamp":{},"value":{value}}}"#,
                scrape.time
            )
        })
        .collect();
    let body = format!("[{}]", samples.join(","));
    producer.send(
        "metrics",
        "node",
        "plain",
        "application/json",
        body.as_bytes(),
    );
    samples.len() as u64
}

fn remote_write(scrape: &Scrape) -> (Vec<Series>, Vec<u8>) {
    let series: Vec<Series> = scrape
        .samples
        .iter()
        .map(|(name, labels, _)| make("wire", name, labels))
        .collect();
    let points: Vec<[(i64, f64); 1]> = scrape
        .samples
        .iter()
        .map(|(_, _, value)| [(scrape.time, value.parse().expect("a number"))])
        .collect();
    let groups: Vec<SeriesSamples<'_>> = series
        .iter()
        .zip(&points)
        .map(|(series, samples)| SeriesSamples {
            series,
            samples,
            metadata: None,
        })
        .collect();
    let body = encode_remote_write(&groups);
    (series, body)
}

/// Reads the recording: a line `#T <ms>` opens a scrape, the rest is Prometheus' text format.
fn scrapes() -> Vec<Scrape> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/node_exporter_1h_1s.txt.zst");
    let packed = std::fs::read(path).expect("the recording");
    let text = zstd::decode_all(&*packed).expect("zstd");
    let text = String::from_utf8(text).expect("text");
    let mut scrapes: Vec<Scrape> = Vec::new();
    for line in text.lines() {
        if let Some(time) = line.strip_prefix("#T ") {
            scrapes.push(Scrape {
                time: time.parse().expect("milliseconds"),
                samples: Vec::new(),
            });
        } else if !line.starts_with('#') && !line.is_empty() {
            scrapes
                .last_mut()
                .expect("a scrape is open")
                .samples
                .push(sample(line));
        }
    }
    scrapes
}

fn sample(line: &str) -> Line {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), Vec::new(), value.to_owned());
    };
    let mut rest = labels.strip_suffix('}').expect("closed labels");
    let mut labels = Vec::new();
    while let Some((label, tail)) = rest.split_once("=\"") {
        let (text, tail) = unquote(tail);
        labels.push((label.trim_start_matches(',').to_owned(), text));
        rest = tail;
    }
    (name.to_owned(), labels, value.to_owned())
}

/// The text up to the closing quote, unescaped, and what follows.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match chars.next().expect("an escaped character").1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    panic!("no closing quote in {quoted}");
}

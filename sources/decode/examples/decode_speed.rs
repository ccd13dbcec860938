//! Prints what decoding costs, per format, on messages as `node_exporter` makes them.
//!
//! ```text
//! cargo run --release -p tidegauge-decode --example decode_speed [-- FILE.txt.zst [FORMAT]]
//! ```
//!
//! FILE is a recording of scrapes: a line `#T <ms>` opens each, the rest is Prometheus text. Without
//! one, label sets of the same shape are made up. The messages of 300 scrapes are decoded in 50 chunks,
//! with all series known; a figure is the sum of each chunk's best of 15 passes, so that what else the
//! machine does shows little, and includes decompression.

#![allow(dead_code, reason = "the encoders are shared with the tests")]

#[path = "../tests/common/encode.rs"]
mod encode;

use std::hint::black_box;
use std::time::{Duration, Instant};

use encode::{Row, influx, json, json_lines, otlp_gauges, snappy, write_request};
use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
use tidegauge_model::{Limits, Partition};

const SCRAPES: usize = 300;
const PASSES: usize = 15;
const CHUNKS: usize = 50;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scrapes = arguments
        .next()
        .map_or_else(made_up, |path| recorded(&path));
    let only = arguments.next();
    let samples: usize = scrapes.iter().map(Vec::len).sum();
    println!("{samples} samples in {} scrapes", scrapes.len());
    let each = |encode: fn(&[Row]) -> Vec<u8>| -> Vec<Vec<u8>> {
        scrapes.iter().map(|rows| encode(rows)).collect()
    };
    let array =
        |rows: &[Row]| format!("[{}]", rows.iter().map(json).collect::<Vec<_>>().join(",")).into();
    let one_sample = || {
        scrapes
            .iter()
            .flatten()
            .map(|row| json(row).into_bytes())
            .collect()
    };
    type Make<'m> = Box<dyn Fn() -> Vec<Vec<u8>> + 'm>;
    let forms: [(&str, Format, Make<'_>); 7] = [
        (
            "remote-write",
            Format::RemoteWrite,
            Box::new(|| each(write_request)),
        ),
        (
            "remote-write-snappy",
            Format::RemoteWrite,
            Box::new(|| each(|rows| snappy(&write_request(rows)))),
        ),
        ("json-one", Format::Json, Box::new(one_sample)),
        ("json-lines", Format::Json, Box::new(|| each(json_lines))),
        ("json-array", Format::Json, Box::new(|| each(array))),
        ("influx", Format::Influx, Box::new(|| each(influx))),
        ("otlp", Format::Otlp, Box::new(|| each(otlp_gauges))),
    ];
    for (name, format, make) in &forms {
        if only.as_deref().is_none_or(|only| only == *name) {
            measure(name, *format, &make(), samples);
        }
    }
}

fn measure(name: &str, format: Format, bodies: &[Vec<u8>], samples: usize) {
    let partition = Partition {
        topic: "metrics".into(),
        index: 0,
    };
    let mut decoder = Decoder::new(partition, format, Limits::default(), Relabel::default());
    let mut out = Decoded::default();
    let mut run = |bodies: &[Vec<u8>]| {
        let started = Instant::now();
        for body in bodies {
            let record = Record {
                tenant: "default",
                content_type: None,
                content_encoding: None,
                delta: false,
                timestamp: 1_700_000_000_000,
                received_at: 1_700_000_000_000,
                offset: 0,
                value: body,
            };
            decoder.decode(&record, &mut out);
        }
        let taken = started.elapsed();
        (taken, clear(&mut out))
    };
    let chunk = bodies.len().div_ceil(CHUNKS);
    let chunks = || bodies.chunks(chunk);
    let decoded: usize = chunks().map(|bodies| run(bodies).1).sum();
    assert_eq!(decoded, samples, "{name}: all samples are taken");
    let mut best: Vec<_> = chunks().map(|bodies| run(bodies).0).collect();
    for _ in 1..PASSES {
        for (bodies, best) in chunks().zip(&mut best) {
            *best = run(bodies).0.min(*best);
        }
    }
    let best: Duration = best.iter().sum();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    println!(
        "{name:20} {:7.1} ns a sample {:6.1} B on the wire, {} series, {} B each",
        best.as_nanos() as f64 / samples as f64,
        bytes as f64 / samples as f64,
        decoder.series(),
        decoder.heap_bytes() / decoder.series().max(1),
    );
}

fn clear(out: &mut Decoded) -> usize {
    let taken = black_box(&*out).samples.len();
    out.samples.series.clear();
    out.samples.time.clear();
    out.samples.value.clear();
    out.definitions.clear();
    out.rejects.clear();
    taken
}

/// Reads the first scrapes of a recording.
fn recorded(path: &str) -> Vec<Vec<Row>> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let text = zstd::decode_all(&*file).unwrap_or_else(|error| panic!("unpacking {path}: {error}"));
    let text = String::from_utf8(text).expect("a recording is text");
    let mut scrapes: Vec<Vec<Row>> = Vec::new();
    let mut time = 0;
    for line in text.lines() {
        if let Some(at) = line.strip_prefix("#T ") {
            if scrapes.len() == SCRAPES {
                break;
            }
            time = at.parse().expect("a time in milliseconds");
            scrapes.push(Vec::new());
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels
                .trim_end_matches('}')
                .split("\",")
                .filter_map(|label| label.split_once("=\""))
                .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()))
                .collect();
            let value = value.parse().expect("a number");
            let row = Row {
                name: name.to_owned(),
                labels,
                time,
                value,
            };
            scrapes.last_mut().expect("a scrape is open").push(row);
        }
    }
    scrapes
}

/// Per-core, per-disk and plain metrics in about the proportions of a real exporter.
fn made_up() -> Vec<Vec<Row>> {
    let label = |name: &str, value: String| (name.to_owned(), value);
    let mut series = Vec::new();
    for cpu in 0..8 {
        for mode in [
            "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
        ] {
            let labels = vec![label("cpu", cpu.to_string()), label("mode", mode.into())];
            series.push(("node_cpu_seconds_total".to_owned(), labels));
        }
    }
    for device in 0..20 {
        for number in 0..12 {
            let name = format!("node_disk_operation_number_{number}_total");
            series.push((name, vec![label("device", format!("sd{device}"))]));
        }
    }
    for number in 0..200 {
        series.push((format!("node_memory_Field{number}_bytes"), Vec::new()));
    }
    let scrape = |at: usize| {
        let row = |(place, (name, labels)): (usize, &(String, Vec<_>))| Row {
            name: name.clone(),
            labels: labels.clone(),
            time: 1_700_000_000_000 + 1000 * at as i64,
            value: (place * 1000 + at * (place % 17)) as f64 / 100.0,
        };
        series.iter().enumerate().map(row).collect()
    };
    (0..SCRAPES).map(scrape).collect()
}

//! What the tests of this crate share: one way in, and results as plain rows.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod encode;

use std::collections::HashMap;

use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
use tidegauge_model::{Definition, Limits, Partition, RejectReason, Series};

/// When every record of the tests was read: 2024-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_704_067_200_000;

/// A record with nothing but bytes.
pub(crate) fn record(value: &[u8]) -> Record<'_> {
    Record {
        tenant: "t",
        content_type: None,
        content_encoding: None,
        delta: false,
        timestamp: 1_000_000,
        received_at: NOW,
        offset: 7,
        value,
    }
}

pub(crate) fn partition() -> Partition {
    Partition {
        topic: "metrics".into(),
        index: 3,
    }
}

pub(crate) fn decoder(format: Format) -> Decoder {
    Decoder::new(partition(), format, Limits::default(), Relabel::default())
}

/// Runs what would take minutes, were its cost not in proportion to the input.
pub(crate) fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let running = std::thread::spawn(move || {
        test();
        done.send(()).expect("somebody waits");
    });
    match wait.recv_timeout(std::time::Duration::from_secs(20)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it goes on and on"),
        _ => running.join().expect("no failure"),
    }
}

/// Decodes each record with one decoder.
pub(crate) fn decode(format: Format, records: &[Record<'_>]) -> Decoded {
    let mut decoder = decoder(format);
    let mut out = Decoded::default();
    for record in records {
        decoder.decode(record, &mut out);
    }
    out
}

/// `name{label="value",…}`, labels sorted.
pub(crate) fn show(series: &Series) -> String {
    let labels: Vec<String> = series.labels().map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{}{{{}}}", series.name(), labels.join(","))
}

/// The latest definition of each number.
pub(crate) fn definitions(out: &Decoded) -> HashMap<u32, &Definition> {
    out.definitions
        .iter()
        .map(|definition| (definition.local, definition))
        .collect()
}

/// Samples as (series, time, bits of the value), in their order.
pub(crate) fn rows(out: &Decoded) -> Vec<(String, i64, u64)> {
    let definitions = definitions(out);
    let samples = &out.samples;
    (0..samples.len())
        .map(|row| {
            let series = show(&definitions[&samples.series[row]].series);
            (series, samples.time[row], samples.value[row].to_bits())
        })
        .collect()
}

/// One record's samples as `series @time value` and its rejects' reasons with their items.
pub(crate) fn one(
    format: Format,
    value: &[u8],
) -> (Vec<String>, Vec<(RejectReason, Option<usize>)>) {
    let out = decode(format, &[record(value)]);
    for reject in &out.rejects {
        assert_eq!(
            (&*reject.tenant, reject.offset, reject.time),
            ("t", 7, 1_000_000)
        );
        assert_eq!(reject.bytes, value[..value.len().min(1024)]);
    }
    let shown = rows(&out);
    let lines = shown
        .iter()
        .map(|(series, time, bits)| format!("{series} @{time} {}", f64::from_bits(*bits)));
    let reasons = out.rejects.iter().map(|reject| reject.reason);
    (
        lines.collect(),
        reasons.zip(out.reject_items.iter().copied()).collect(),
    )
}

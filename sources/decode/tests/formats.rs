//! All formats against each other, and against bytes that nobody meant to send.

mod common;

use std::collections::BTreeSet;

use common::encode::{Row, influx, json, json_lines, otlp_gauges, snappy, write_request};
use common::{NOW, decode, decoder, definitions, record, rows};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tidegauge_decode::{Decoded, Format, Record, SeriesSamples, encode_remote_write};
use tidegauge_model::{is_stale, normal};

/// Names and labels that every format can carry unchanged.
fn series(rng: &mut SmallRng) -> Vec<(String, Vec<(String, String)>)> {
    let values = [
        "",
        "web-01",
        "a,b=c d",
        "zwölf",
        "\\x",
        "0",
        "a much longer value than all the others",
    ];
    (0..rng.random_range(1..40))
        .map(|number| {
            let name = format!("m{}_{}", number % 7, ["value", "total", "x9"][number % 3]);
            let mut labels = vec![("series".to_owned(), number.to_string())];
            for label in ["az", "host", "le"] {
                if rng.random_bool(0.5) {
                    labels.push((label.into(), (*values.choose(rng).expect("some")).into()));
                }
            }
            (name, labels)
        })
        .collect()
}

/// Not −0: protobuf encoders leave it out as if it were 0.
fn value(rng: &mut SmallRng) -> f64 {
    match rng.random_range(0..6) {
        0 => f64::from(rng.random_range(-1000..1000)),
        1 => f64::from(rng.random::<i32>()) / 100.0,
        2 => f64::from_bits(rng.random::<u64>() >> 2),
        3 => *[0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e22]
            .choose(rng)
            .expect("some"),
        4 => rng.random::<f64>(),
        _ => rng.random_range(0..u64::MAX) as f64,
    }
}

fn messages(rng: &mut SmallRng) -> Vec<Vec<Row>> {
    let series = series(rng);
    (0..rng.random_range(1..8))
        .map(|scrape| {
            let mut present: Vec<_> = series.iter().filter(|_| rng.random_bool(0.9)).collect();
            if rng.random_bool(0.3) {
                present.shuffle(rng);
            }
            let time = 1_700_000_000_000 + scrape * 1000 + rng.random_range(0..999);
            present
                .into_iter()
                .map(|(name, labels)| Row {
                    name: name.clone(),
                    labels: labels.clone(),
                    time,
                    value: value(rng),
                })
                .collect()
        })
        .collect()
}

fn decode_all(format: Format, bodies: &[Vec<u8>]) -> Decoded {
    let records: Vec<_> = bodies.iter().map(|body| record(body)).collect();
    decode(format, &records)
}

type Set = BTreeSet<(String, i64, u64)>;

fn set(out: &Decoded) -> Set {
    rows(out).into_iter().collect()
}

#[test]
fn the_same_samples_come_out_of_every_format() {
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut messages = messages(&mut rng);
        messages.retain(|rows| !rows.is_empty());
        let expected: Set = messages
            .iter()
            .flatten()
            .map(|row| {
                let mut labels: Vec<_> = row.labels.iter().filter(|l| !l.1.is_empty()).collect();
                labels.sort();
                let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                let series = format!("{}{{{}}}", row.name, labels.join(","));
                (series, row.time, normal(row.value).to_bits())
            })
            .collect();
        type Encode = fn(&[Row]) -> Vec<u8>;
        let encoders: [(Format, &str, Encode); 7] = [
            (Format::Json, "lines", json_lines),
            (Format::Json, "array", |rows| {
                format!("[{}]", rows.iter().map(json).collect::<Vec<_>>().join(", ")).into()
            }),
            (Format::Influx, "lines", influx),
            (Format::RemoteWrite, "plain", write_request),
            (Format::RemoteWrite, "snappy", |rows| {
                snappy(&write_request(rows))
            }),
            (Format::RemoteWrite, "zstd", |rows| {
                zstd::encode_all(&*write_request(rows), 1).expect("memory")
            }),
            (Format::Otlp, "protobuf", otlp_gauges),
        ];
        for (format, form, encode) in encoders {
            let bodies: Vec<_> = messages.iter().map(|rows| encode(rows)).collect();
            for format in [format, Format::Auto] {
                let out = decode_all(format, &bodies);
                assert_eq!(out.rejects, [], "seed {seed}, {format:?} {form}");
                assert_eq!(set(&out), expected, "seed {seed}, {format:?} {form}");
                let locals: Vec<_> = out.definitions.iter().map(|d| d.local).collect();
                assert!(
                    locals.iter().copied().eq(0..locals.len() as u32),
                    "dense, in order"
                );
            }
        }
    }
}

#[test]
fn what_is_encoded_again_decodes_to_the_same() {
    for seed in 0..50 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let bodies: Vec<_> = messages(&mut rng)
            .iter()
            .map(|rows| write_request(rows))
            .collect();
        let out = decode_all(Format::RemoteWrite, &bodies);
        let known = definitions(&out);
        let samples: Vec<_> = out
            .samples
            .time
            .iter()
            .copied()
            .zip(out.samples.value.iter().copied())
            .collect();
        let groups: Vec<_> = (0..samples.len())
            .map(|row| SeriesSamples {
                series: &known[&out.samples.series[row]].series,
                samples: &samples[row..=row],
                metadata: None,
            })
            .collect();
        let again = decode_all(Format::RemoteWrite, &[encode_remote_write(&groups)]);
        assert_eq!(rows(&again), rows(&out), "seed {seed}");
    }
}

fn mutate(rng: &mut SmallRng, body: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..4) {
        if body.is_empty() {
            return;
        }
        let at = rng.random_range(0..body.len());
        match rng.random_range(0..6) {
            0 => body[at] = rng.random(),
            1 => body[at] ^= 1 << rng.random_range(0..8),
            2 => body.truncate(at),
            3 => {
                let end = rng.random_range(at..=body.len());
                body.drain(at..end);
            }
            4 => {
                let from = rng.random_range(0..=other.len());
                let piece = other[from..].iter().take(rng.random_range(0..40)).copied();
                body.splice(at..at, piece);
            }
            _ => body.insert(at, *b"\n\\\",={}[]: \x00\xff0eN".choose(rng).expect("some")),
        }
    }
}

/// What must hold for any bytes.
fn check_any(out: &Decoded, context: &str) {
    let samples = &out.samples;
    assert_eq!(samples.series.len(), samples.len(), "{context}");
    assert_eq!(samples.value.len(), samples.len(), "{context}");
    assert_eq!(out.rejects.len(), out.reject_items.len(), "{context}");
    let known = definitions(out);
    for row in 0..samples.len() {
        assert!(
            known.contains_key(&samples.series[row]),
            "{context}: undefined series"
        );
        assert!(
            (-62_135_596_800_000..253_402_300_800_000).contains(&samples.time[row]),
            "{context}"
        );
        let value = samples.value[row];
        assert!(
            is_stale(value) || normal(value).to_bits() == value.to_bits(),
            "{context}"
        );
    }
}

/// Decodes `body` with a decoder that has seen `before`, and with one that has not: what was
/// expected must not show.
fn check_warm_and_cold(format: Format, before: &[u8], body: &[u8], context: &str) {
    let mut warm = decoder(format);
    let mut out = Decoded::default();
    warm.decode(&record(before), &mut out);
    warm.decode(&record(before), &mut out);
    let (samples, rejects) = (out.samples.len(), out.rejects.len());
    warm.decode(&record(body), &mut out);
    check_any(&out, context);
    let cold = decode(format, &[record(body)]);
    check_any(&cold, context);
    assert_eq!(rows(&out)[samples..], rows(&cold), "{context}");
    assert_eq!(out.rejects[rejects..], cold.rejects, "{context}");
    assert_eq!(out.reject_items[rejects..], cold.reject_items, "{context}");
}

#[test]
fn no_bytes_break_a_decoder_and_expectation_never_shows() {
    for seed in 0..4000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let rows = messages(&mut rng).concat();
        let rows = &rows[..rows.len().min(12)];
        let bodies = [
            (Format::Json, json_lines(rows)),
            (Format::Influx, influx(rows)),
            (Format::RemoteWrite, write_request(rows)),
            (Format::RemoteWrite, snappy(&write_request(rows))),
            (Format::Otlp, otlp_gauges(rows)),
        ];
        let other = bodies.choose(&mut rng).expect("some").1.clone();
        for (format, before) in bodies {
            let mut body = before.clone();
            mutate(&mut rng, &mut body, &other);
            for format in [format, Format::Auto] {
                let context = format!("seed {seed}, {format:?}");
                check_warm_and_cold(format, &before, &body, &context);
            }
        }
    }
}

#[test]
fn noise_is_rejected_not_fatal() {
    let mut rng = SmallRng::seed_from_u64(9);
    for _ in 0..4000 {
        let mut bytes = vec![0u8; rng.random_range(0..200)];
        rng.fill(&mut bytes[..]);
        for format in [
            Format::Auto,
            Format::Json,
            Format::Influx,
            Format::RemoteWrite,
            Format::Otlp,
        ] {
            let out = decode(format, &[record(&bytes)]);
            check_any(&out, "noise");
        }
    }
}

#[test]
fn the_same_records_give_the_same_result() {
    let mut rng = SmallRng::seed_from_u64(3);
    let rows = messages(&mut rng);
    let bodies: Vec<_> = rows.iter().map(|rows| otlp_gauges(rows)).collect();
    assert_eq!(
        decode_all(Format::Auto, &bodies),
        decode_all(Format::Auto, &bodies)
    );
}

#[test]
fn a_series_silent_for_long_gets_a_new_number() {
    let body = br#"{"name":"a","value":1}"#;
    let other = br#"{"name":"b","value":1}"#;
    let minute = 60_000;
    for (silent, expected) in [(59 * minute, vec![0, 1, 0]), (62 * minute, vec![0, 1, 2])] {
        let mut decoder = decoder(Format::Json).forget_after_ms(60 * minute);
        let mut out = Decoded::default();
        for (at, value) in [
            (NOW, &body[..]),
            (NOW + silent / 2, other),
            (NOW + silent, body),
        ] {
            decoder.decode(
                &Record {
                    received_at: at,
                    ..record(value)
                },
                &mut out,
            );
        }
        assert_eq!(out.samples.series, expected);
        assert_eq!(decoder.series(), 2);
        assert_eq!(definitions(&out)[&out.samples.series[2]].series.name(), "a");
    }
}

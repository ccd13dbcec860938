use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
use tidegauge_model::{Limits, MetricType, Partition};

use super::*;

fn known(name: &str, number: usize, delta: bool) -> Known {
    let number = number.to_string();
    let series = Series::new("t", name, &mut vec![("n", &number)], &Limits::default());
    let metadata = Metadata {
        metric_type: MetricType::Gauge,
        unit: String::new(),
        help: format!("Help of {name}."),
    };
    let series = series.expect("a valid series");
    Known {
        series,
        metadata: Arc::new(metadata),
        delta,
        describe: true,
    }
}

/// What a reader of one record sees: series, time, value's bits, and names with help.
fn read(outgoing: &Outgoing) -> (Vec<(Series, i64, u64)>, Vec<String>) {
    let partition = Partition {
        topic: "t".into(),
        index: outgoing.partition,
    };
    let mut decoder = Decoder::new(
        partition,
        Format::RemoteWrite,
        Limits::default(),
        Relabel::default(),
    );
    let mut out = Decoded::default();
    let record = Record {
        tenant: "t",
        content_type: None,
        content_encoding: Some("snappy"),
        delta: outgoing.delta,
        timestamp: 0,
        received_at: 0,
        offset: 0,
        value: &outgoing.body,
    };
    decoder.decode(&record, &mut out);
    assert_eq!(out.rejects, [], "what we write can be read");
    let mut series: Vec<Option<Series>> = Vec::new();
    let mut described = Vec::new();
    for definition in out.definitions {
        let at = definition.local as usize;
        series.resize(series.len().max(at + 1), None);
        if !definition.metadata.help.is_empty() {
            described.push(definition.series.name().to_owned());
        }
        assert_eq!(definition.delta, outgoing.delta);
        series[at] = Some(definition.series);
    }
    let rows = (0..out.samples.len()).map(|at| {
        let local = out.samples.series[at] as usize;
        let series = series[local].clone().expect("defined before use");
        (
            series,
            out.samples.time[at],
            out.samples.value[at].to_bits(),
        )
    });
    (rows.collect(), described)
}

/// Everything that went in comes out once, in its series' partition, in time order, in records of
/// bounded length.
#[test]
fn nothing_is_lost_moved_or_out_of_order() {
    for seed in 0..30 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let known: Vec<Known> = (0..rng.random_range(1..60))
            .map(|n| known(["a", "b", "c"][n % 3], n, n % 5 == 0))
            .collect();
        let mut rows: Vec<(u32, i64, f64)> = (0..rng.random_range(1..3000))
            .map(|at| (rng.random_range(0..known.len()) as u32, at, rng.random()))
            .collect();
        rows.shuffle(&mut rng);
        let mut samples = Columns::default();
        rows.iter()
            .for_each(|&(series, time, value)| samples.push(series, time, value));
        let partitions = rng.random_range(1..6);
        let record_bytes = rng.random_range(300..20_000);
        let records = cut(&samples, &known, partitions, record_bytes);

        let mut found: Vec<(Series, i64, u64)> = Vec::new();
        for record in &records {
            let unpacked = snap::raw::decompress_len(&record.body).expect("snappy");
            assert!(
                unpacked <= record_bytes,
                "seed {seed}: {unpacked} > {record_bytes}"
            );
            for (series, time, value) in read(record).0 {
                assert_eq!(
                    record.partition,
                    partition_of(series.id(), partitions),
                    "seed {seed}"
                );
                let last = found.iter().rev().find(|(other, ..)| *other == series);
                assert!(
                    last.is_none_or(|&(_, before, _)| before < time),
                    "seed {seed}"
                );
                found.push((series, time, value));
            }
        }
        let order = |row: &(Series, i64, u64)| (row.0.id(), row.1);
        let mut expected: Vec<_> = rows
            .iter()
            .map(|&(at, time, value)| (known[at as usize].series.clone(), time, value.to_bits()))
            .collect();
        expected.sort_by_key(order);
        found.sort_by_key(order);
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn metadata_goes_once_a_record_and_only_if_asked_for() {
    let mut all = vec![
        known("a", 0, false),
        known("a", 1, false),
        known("b", 2, false),
    ];
    all[2].describe = false;
    let mut samples = Columns::default();
    (0..3).for_each(|series| samples.push(series, 1, 1.0));
    let records = cut(&samples, &all, 1, 10_000);
    let [record] = &records[..] else {
        panic!("one record, not {}", records.len())
    };
    let mut described = read(record).1;
    described.dedup();
    assert_eq!(described, ["a"]);
    let unpacked = snap::raw::Decoder::new()
        .decompress_vec(&record.body)
        .expect("snappy");
    let times = unpacked
        .windows(9)
        .filter(|window| window == b"Help of a")
        .count();
    assert_eq!(times, 1);
}

#[test]
fn a_series_stays_where_it_is() {
    let place = |id, partitions| partition_of(SeriesId(id), partitions);
    assert_eq!(
        (
            place(0, 4),
            place(7, 4),
            place(u64::MAX, 4),
            place(u64::MAX, 1)
        ),
        (0, 3, 3, 0)
    );
}

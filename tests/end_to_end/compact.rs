//! The compact form of values: whatever double is sent comes back bit for bit, from files of commits
//! and from those that upkeep has folded; and other engines get it by their own arithmetic
//! (`tests/foreign/check.py`).

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_model::{DAY_MS, HOUR_MS, Limits, Series, floor, normal, stale};

use crate::encode::{self, Row};
use crate::keep::{Sent, keep};
use crate::lake::Lake;
use crate::node::{Place, drain, now_ms, setting};
use crate::oracle::{Expected, Samples, add};
use crate::producer::Producer;
use crate::sql;

const TENANT: &str = "default";
/// Samples a series, and how far they are apart.
const SAMPLES: i64 = 600;
const STEP_MS: i64 = 10_000;

/// Kinds of values, as a run of each is one series. Sums are compared to 1e-12, so none cancels out.
type Kind = (&'static str, fn(&mut SmallRng, i64) -> f64);
const KINDS: [Kind; 10] = [
    ("two_decimals", |rng, _| {
        f64::from(rng.random_range(-99_999..100_000)) / 100.0
    }),
    ("a_large_counter", |_, at| {
        (3_000_000_000_000_000 + at * 17) as f64
    }),
    ("beyond_exact_integers", |_, at| {
        9_007_199_254_740_992.0 + (at * 2) as f64
    }),
    ("no_decimals", |rng, _| rng.random()),
    ("decimals_of_any_length", |rng, at| {
        let digits = i32::try_from(at % 18).expect("few");
        f64::from(rng.random_range(0..1_000_000)) / 10_f64.powi(digits)
    }),
    ("tiny", |rng, _| f64::from_bits(rng.random_range(1..1_000))),
    ("huge", |rng, _| rng.random_range(1e299..1e300)),
    (
        "zeros_of_both_signs",
        |_, at| {
            if at % 3 == 0 { -0.0 } else { 0.0 }
        },
    ),
    ("not_finite", |rng, at| match at % 5 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        _ => f64::from(rng.random_range(0..100)),
    }),
    ("with_stale_markers", |rng, at| match at % 7 {
        0 => stale(),
        _ => f64::from(rng.random_range(0..100)) / 10.0,
    }),
];

#[test]
fn compact_values_come_back_bit_for_bit() {
    let seed = setting("E2E_SEED", 5);
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut place = Place::new(
        &folder.path().join("data"),
        &[
            ("TIDEGAUGE_ENCODE__VALUES", "compact"),
            ("TIDEGAUGE_UPKEEP__ENABLED", "false"),
            ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "200"),
            ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "0"),
            ("TIDEGAUGE_STREAM__EPOCH_MS", "100"),
            ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "500"),
        ],
    );
    // On a day that is over, so that upkeep folds it.
    let start = floor(now_ms(), DAY_MS) - DAY_MS - 3 * HOUR_MS;
    let rows = rows(&mut SmallRng::seed_from_u64(seed), start);
    let newest = start + (SAMPLES - 1) * STEP_MS;
    let closed = floor(newest, HOUR_MS) + HOUR_MS;
    let expected = Expected::new(samples(&rows));

    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let producer = Producer::new(place.kafka);
    for scrape in rows.chunks(KINDS.len()) {
        // As protobuf 3 writes a field, -0 is left out as 0 is; OTLP's gauges are written always.
        let (zeros, others): (Vec<Row>, Vec<Row>) =
            scrape.iter().cloned().partition(|row| row.value == 0.0);
        let body = encode::otlp_gauges(&zeros);
        producer.send_to("metrics", 0, TENANT, "application/x-protobuf", &body);
        let body = encode::snappy(&encode::write_request(&others));
        producer.send_to("metrics", 0, TENANT, "application/x-protobuf", &body);
    }
    producer.flush();
    drain(&mut node, newest);
    node.wait("/api/v1/stats/stream", "everything committed", |stream| {
        stream["in_flight"] == 0
    });
    sql::check_samples(&node, TENANT, &expected, start..closed);
    node.stop();

    place.set("TIDEGAUGE_UPKEEP__ENABLED", "true");
    let mut node = place.start();
    Lake::wait_for_upkeep(&mut node, closed);
    sql::check_samples(&node, TENANT, &expected, start..closed);
    sql::check_rollups(&node, TENANT, &expected, closed);
    node.stop();

    let lake = Lake::read(&place.data);
    assert_eq!(lake.state.counts.samples, rows.len() as u64);
    lake.check(&expected, closed);
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| (TENANT.to_owned(), row))
        .collect();
    keep("compact", &place, &lake, &Sent::Rows(&rows));
}

/// Samples of all kinds, by time.
fn rows(rng: &mut SmallRng, start: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for at in 0..SAMPLES {
        for (name, value) in KINDS {
            rows.push(Row {
                name: name.to_owned(),
                labels: vec![("host".to_owned(), "web-01".to_owned())],
                time: start + at * STEP_MS,
                value: value(rng, at),
            });
        }
    }
    rows
}

fn samples(rows: &[Row]) -> Samples {
    let mut samples = Samples::new();
    for row in rows {
        let mut labels = row
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let series = Series::new(TENANT, &row.name, &mut labels, &Limits::default());
        add(
            &mut samples,
            series.expect("valid").id(),
            row.time,
            normal(row.value),
        );
    }
    samples
}

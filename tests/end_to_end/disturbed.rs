//! Input as bad as it gets, in one run: shuffled, a tenth late by up to two hours, one in twenty
//! sent twice, half of those with another value for the same time; counters that reset, stale
//! markers, a clock a year ahead, a clock a minute ahead, a partition that falls silent, and records
//! that nobody can read in between.
//!
//! Nothing waits for ever, every sample is in `samples` or `rejects`, and SQL gives what the oracle
//! gives: at once, while windows are dirty, and again after upkeep, when the files do too.
//!
//! The three hours lie two days back, so that their day is over and upkeep can fold it; the clock
//! that is ahead is ahead of the wall clock. All else follows from `E2E_SEED`.

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tidegauge_model::{DAY_MS, HOUR_MS, Limits, MINUTE_MS, Rollup, Series, floor, normal, stale};

use crate::encode::{self, Row};
use crate::keep::{Sent, keep};
use crate::lake::Lake;
use crate::node::{Node, Place, drain, now_ms, setting, wait_read};
use crate::oracle::{Expected, Samples, add};
use crate::producer::Producer;
use crate::sql;

/// Samples of the three hours are this far apart.
const STEP_MS: i64 = 10_000;
/// How far the order of sending strays from that of time.
const SHUFFLE_MS: i64 = 20_000;
const LATEST_MS: i64 = 2 * HOUR_MS;
const YEAR_MS: i64 = 365 * DAY_MS;

/// Falls silent in the middle.
const SILENT: i32 = 3;
/// Partition 0 is another tenant's.
const TENANTS: [&str; 4] = ["acme", "default", "default", "default"];

#[test]
fn disturbed_input_gives_the_same_rows() {
    let seed = setting("E2E_SEED", 11);
    println!("seed {seed}; E2E_SEED={seed} repeats it");
    let folder = tempfile::tempdir().expect("a folder");
    let mut place = Place::on_any_kafka(
        &folder.path().join("data"),
        &[
            ("TIDEGAUGE_UPKEEP__ENABLED", "false"),
            ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "200"),
            ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "0"),
            ("TIDEGAUGE_STREAM__EPOCH_MS", "100"),
            ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "500"),
        ],
    );
    let now = now_ms();
    let input = Input::new(seed, now);
    let newest = input.newest_on_time;
    let (start, end) = (input.start, now + YEAR_MS + DAY_MS);
    let closed = floor(newest, MINUTE_MS) + MINUTE_MS;

    let mut node = place.start();
    node.wait("/health", "health", |health| health["status"] == "ok");
    let producer = Producer::new(place.kafka);
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xfeed);
    // One part after the other, so that the watermark moves between them.
    let parts: Vec<_> = input.sent.chunks(input.sent.len().div_ceil(12)).collect();
    let (later, parts) = parts.split_last().expect("parts");
    let mut poison = 0;
    for part in parts {
        poison += send(&producer, &mut rng, part);
        wait_read(&mut node);
    }
    // The windows of the three hours close, though one partition is silent; then the rest comes.
    drain(&mut node, floor(now, DAY_MS) - DAY_MS);
    poison += send(&producer, &mut rng, later);
    drain(&mut node, newest);
    // SQL knows what is committed.
    let last = floor(newest, MINUTE_MS);
    node.wait("/api/v1/stats/stream", "everything committed", |stream| {
        stream["in_flight"] == 0
    });
    node.wait_sql(
        "default",
        &format!("SELECT 1 FROM rollup_1m WHERE time = to_timestamp_millis({last})"),
    );
    let dirty = node.get("/api/v1/stats/stream").expect("stats")["dirty_windows"].as_u64();
    assert!(dirty > Some(0), "late samples make windows dirty");
    let expected = ["acme", "default"].map(|tenant| (tenant, input.expected(tenant)));
    let check = |node: &Node<'_>| {
        for (tenant, expected) in &expected {
            sql::check_samples(node, tenant, expected, start - LATEST_MS..end);
            sql::check_rollups(node, tenant, expected, closed);
            check_metrics(node, tenant, expected, &input, closed);
        }
        let rejects = node.sql("default", "SELECT count(*) FROM rejects");
        assert_eq!(rejects, [poison.to_string()], "rows of rejects");
    };
    check(&node);
    node.stop();

    place.set("TIDEGAUGE_UPKEEP__ENABLED", "true");
    let mut node = place.start();
    drain(&mut node, newest);
    Lake::wait_for_upkeep(&mut node, closed);
    check(&node);
    node.stop();

    let lake = Lake::read(&place.data);
    let counts = lake.state.counts;
    println!("{counts:?}, {dirty:?} dirty windows before upkeep");
    assert_eq!(
        counts.samples,
        input.sent.len() as u64,
        "each sample is taken once"
    );
    assert_eq!(counts.rejected, poison, "each bad record is rejected once");
    assert_eq!(counts.quarantined, input.a_year_ahead, "a year ahead");
    assert!(
        counts.late > 0 && counts.duplicate > 0,
        "the input is disturbed"
    );
    let mut all = Expected::default();
    expected.into_iter().for_each(|it| all.append(it.1));
    lake.check(&all, closed);
    let rows: Vec<_> = input
        .sent
        .iter()
        .map(|it| (it.tenant().to_owned(), it.row.clone()))
        .collect();
    keep("disturbed", &place, &lake, &Sent::Rows(&rows));
}

/// A sample on its way.
struct Sample {
    partition: i32,
    row: Row,
}

impl Sample {
    fn tenant(&self) -> &'static str {
        TENANTS[usize::try_from(self.partition).expect("a partition")]
    }

    fn series(&self) -> Series {
        let Row { name, labels, .. } = &self.row;
        let mut labels = labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        Series::new(self.tenant(), name, &mut labels, &Limits::default()).expect("valid")
    }
}

/// All that is sent, in its order.
struct Input {
    start: i64,
    newest_on_time: i64,
    a_year_ahead: u64,
    sent: Vec<Sample>,
}

impl Input {
    fn new(seed: u64, now: i64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let end = floor(now, DAY_MS) - DAY_MS;
        let start = end - 3 * HOUR_MS;
        let mut plan = Plan {
            rng: &mut rng,
            sent: Vec::new(),
        };
        for partition in 0..4 {
            for host in 0..8 {
                plan.gauge(partition, host, start..end);
                plan.counter(partition, host, start..end);
            }
        }
        let before = plan.sent.len();
        plan.clock_ahead("year", 1, YEAR_MS, (start..end).step_by(60_000));
        let a_year_ahead = (plan.sent.len() - before) as u64;
        plan.clock_ahead(
            "minute",
            2,
            now + MINUTE_MS - end,
            (end - 2 * MINUTE_MS..=end).step_by(1_000),
        );
        let mut sent = plan.sent;
        sent.retain(|(at, sample)| sample.partition != SILENT || *at < start + 90 * MINUTE_MS);
        sent.sort_by_key(|(at, _)| *at);
        Self {
            start,
            newest_on_time: now + MINUTE_MS,
            a_year_ahead,
            sent: sent.into_iter().map(|(_, sample)| sample).collect(),
        }
    }

    fn expected(&self, tenant: &str) -> Expected {
        let mut samples = Samples::new();
        for sample in self.sent.iter().filter(|sample| sample.tenant() == tenant) {
            let Row { time, value, .. } = sample.row;
            add(&mut samples, sample.series().id(), time, normal(value));
        }
        Expected::new(samples)
    }
}

/// Samples with the time at which each is sent, by the clock of the three hours.
struct Plan<'a> {
    rng: &'a mut SmallRng,
    sent: Vec<(i64, Sample)>,
}

impl Plan<'_> {
    /// A gauge that is now and then not a number, infinite, or gone.
    fn gauge(&mut self, partition: i32, host: i32, times: std::ops::Range<i64>) {
        for time in steps(times) {
            let value = match self.rng.random_range(0..400) {
                0 => f64::NAN,
                1 => f64::NEG_INFINITY,
                2 => -0.0,
                3 | 4 => stale(),
                _ => f64::from(self.rng.random_range(-4_000..4_000)) / 7.0,
            };
            self.disturbed(partition, row("node_load", partition, host, time, value));
        }
    }

    /// A counter that begins anew now and then, sometimes with a stale marker before.
    fn counter(&mut self, partition: i32, host: i32, times: std::ops::Range<i64>) {
        let mut total = 0.0;
        for time in steps(times) {
            total += f64::from(self.rng.random_range(0..1_000)) / 8.0;
            let value = match self.rng.random_range(0..200) {
                0 => {
                    total = 0.0;
                    stale()
                }
                1 => {
                    total = 0.0;
                    0.0
                }
                _ => total,
            };
            self.disturbed(
                partition,
                row("requests_total", partition, host, time, value),
            );
        }
    }

    /// One sample: late or not, once or twice.
    fn disturbed(&mut self, partition: i32, row: Row) {
        let late = self.rng.random_bool(0.1);
        let at = row.time
            + self
                .rng
                .random_range(0..if late { LATEST_MS } else { SHUFFLE_MS });
        if self.rng.random_bool(0.05) {
            let at = row.time + self.rng.random_range(0..LATEST_MS);
            let value = if self.rng.random_bool(0.5) {
                row.value
            } else {
                f64::from(self.rng.random_range(-4_000..4_000)) / 7.0
            };
            self.sent.push((
                at,
                Sample {
                    partition,
                    row: Row {
                        value,
                        ..row.clone()
                    },
                },
            ));
        }
        self.sent.push((at, Sample { partition, row }));
    }

    /// A producer whose clock is `ahead` of that of the three hours.
    fn clock_ahead(
        &mut self,
        host: &str,
        partition: i32,
        ahead: i64,
        times: impl Iterator<Item = i64>,
    ) {
        for time in times {
            let value = self.rng.random();
            let mut row = row("node_load", partition, 0, time + ahead, value);
            row.labels[0].1 = host.to_owned();
            self.sent.push((time, Sample { partition, row }));
        }
    }
}

fn steps(times: std::ops::Range<i64>) -> impl Iterator<Item = i64> {
    times.step_by(usize::try_from(STEP_MS).expect("small"))
}

fn row(name: &str, partition: i32, host: i32, time: i64, value: f64) -> Row {
    Row {
        name: name.to_owned(),
        labels: vec![("host".to_owned(), format!("web-{partition}{host}"))],
        time,
        value,
    }
}

/// Sends samples in records of a few, in all formats, with bad records in between; returns how many
/// bad ones.
fn send(producer: &Producer, rng: &mut SmallRng, samples: &[Sample]) -> u64 {
    let mut poison = 0;
    for piece in samples.chunks(64) {
        let mut partitions = [0, 1, 2, 3];
        partitions.shuffle(rng);
        for partition in partitions {
            let rows = piece.iter().filter(|sample| sample.partition == partition);
            let rows: Vec<Row> = rows.map(|sample| sample.row.clone()).collect();
            if rows.is_empty() {
                continue;
            }
            let tenant = TENANTS[usize::try_from(partition).expect("a partition")];
            let (content_type, body) = record(rng, &rows);
            producer.send_to("metrics", partition, tenant, content_type, &body);
            if partition != 0 && rng.random_bool(0.02) {
                let (content_type, body) = *POISON.choose(rng).expect("poison");
                producer.send_to("metrics", partition, tenant, content_type, body);
                poison += 1;
            }
        }
    }
    producer.flush();
    poison
}

/// Records of which nothing can be taken, each one row of `rejects`.
const POISON: [(&str, &[u8]); 5] = [
    ("application/json", b"{\"name\":\"node_load\",\"value\":"),
    (
        "application/json",
        b"{\"name\":\"node_load\",\"timestamp\":1700000000,\"value\":\"many\"}",
    ),
    ("text/plain", b"node,host=web-01 load=1.5 yesterday"),
    (
        "application/x-protobuf",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    ("application/octet-stream", b"\x00\x01\x02\x03"),
];

fn record(rng: &mut SmallRng, rows: &[Row]) -> (&'static str, Vec<u8>) {
    // Only the binary formats carry the bits of a stale marker, and Influx nothing but numbers.
    let stale = rows.iter().any(|row| tidegauge_model::is_stale(row.value));
    let finite = rows.iter().all(|row| row.value.is_finite());
    // The encoder of remote write takes -0 for the default, which it leaves out.
    let minus = |row: &Row| row.value == 0.0 && row.value.is_sign_negative();
    match rng.random_range(0..4) {
        0 if finite => ("text/plain", encode::influx(rows)),
        1 if !stale => ("application/json", json_array(rows)),
        2 if !rows.iter().any(minus) => (
            "application/x-protobuf",
            encode::snappy(&encode::write_request(rows)),
        ),
        _ => ("application/x-protobuf", encode::otlp_gauges(rows)),
    }
}

fn json_array(rows: &[Row]) -> Vec<u8> {
    let rows: Vec<String> = rows.iter().map(encode::json).collect();
    format!("[{}]", rows.join(",")).into_bytes()
}

/// Compares the tables of single metrics: what is made of columns there, and labels.
fn check_metrics(node: &Node<'_>, tenant: &str, expected: &Expected, input: &Input, closed: i64) {
    let series: std::collections::BTreeMap<_, _> = input
        .sent
        .iter()
        .filter(|sample| sample.tenant() == tenant)
        .map(|sample| {
            let key = (sample.row.name.clone(), sample.row.labels[0].1.clone());
            (key, sample.series().id())
        })
        .collect();
    for metric in ["node_load", "requests_total"] {
        let id = |host: &str| series[&(metric.to_owned(), host.to_owned())];
        let mut found = Samples::new();
        let query = format!("SELECT host, CAST(time AS BIGINT), value FROM raw.\"{metric}\"");
        for line in node.sql(tenant, &query) {
            let fields: Vec<&str> = line.split(',').collect();
            let key = (id(fields[0]), sql::number(fields[1]));
            let value = sql::float(fields[2]).unwrap_or_else(stale);
            assert_eq!(found.insert(key, value), None, "{line} comes twice");
        }
        let ids: Vec<_> = series
            .iter()
            .filter(|(key, _)| key.0 == metric)
            .map(|it| *it.1)
            .collect();
        let own: Vec<_> = expected
            .samples
            .iter()
            .filter(|(key, _)| ids.contains(&key.0))
            .collect();
        crate::oracle::check_samples(&found, own.into_iter());
        for (tier, width, rows) in [
            ("rollup_1m", MINUTE_MS, &expected.minutes),
            ("rollup_1h", HOUR_MS, &expected.hours),
        ] {
            let query = format!(
                "SELECT host, CAST(time AS BIGINT), count, avg, increase, rate FROM {tier}.\"{metric}\" \
                 WHERE time <= to_timestamp_millis({})",
                closed - width
            );
            let lines = node.sql(tenant, &query);
            let closed_rows = rows
                .keys()
                .filter(|key| ids.contains(&key.0) && key.1 + width <= closed);
            assert_eq!(lines.len(), closed_rows.count(), "rows of {tier}.{metric}");
            for line in lines {
                let fields: Vec<&str> = line.split(',').collect();
                let row = rows[&(id(fields[0]), sql::number(fields[1]))];
                check_derived(&row, width, &fields[2..], &line);
            }
        }
    }
}

/// `avg`, `increase` and `rate` of a row, by their definitions.
fn check_derived(row: &Rollup, width_ms: i64, fields: &[&str], line: &str) {
    assert_eq!(row.count, sql::number::<u64>(fields[0]), "count in {line}");
    let increase = row.last - row.first + row.reset_adj;
    let wanted = [
        row.sum / row.count as f64,
        increase,
        increase / (width_ms as f64 / 1_000.0),
    ];
    for (field, wanted) in fields[1..].iter().zip(wanted) {
        let found = sql::float(field).unwrap_or(f64::NAN);
        let equal = found == wanted
            || (found.is_nan() && wanted.is_nan())
            || (found - wanted).abs() <= 1e-12 * found.abs().max(wanted.abs());
        assert!(equal, "{found} is not {wanted} in {line}; {row:?}");
    }
}

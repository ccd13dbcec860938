//! What the lake must hold, made the naive way.

use std::collections::BTreeMap;

use tidegauge_model::{HOUR_MS, MINUTE_MS, Rollup, SeriesId, floor, prefer};

/// Samples by series and time, settled.
pub(crate) type Samples = BTreeMap<(SeriesId, i64), f64>;

/// Rollup rows by series and window start.
pub(crate) type Rows = BTreeMap<(SeriesId, i64), Rollup>;

/// Adds a sample as the rule for equal instants has it.
pub(crate) fn add(samples: &mut Samples, series: SeriesId, time: i64, value: f64) {
    samples
        .entry((series, time))
        .and_modify(|kept| *kept = prefer(*kept, value))
        .or_insert(value);
}

/// Everything the lake must hold.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) samples: Samples,
    pub(crate) minutes: Rows,
    pub(crate) hours: Rows,
}

impl Expected {
    /// All that follows from settled samples.
    pub(crate) fn new(samples: Samples) -> Self {
        let minutes = minutes(&samples);
        let hours = hours(&minutes);
        Self {
            samples,
            minutes,
            hours,
        }
    }

    /// The end of the hour that holds the newest sample.
    pub(crate) fn end(&self) -> i64 {
        let newest = self.samples.keys().map(|key| key.1).max();
        floor(newest.expect("samples"), HOUR_MS) + HOUR_MS
    }

    /// Takes in what is expected of other series.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.samples.append(&mut other.samples);
        self.minutes.append(&mut other.minutes);
        self.hours.append(&mut other.hours);
    }
}

/// 1-minute rows, by the definition of each column.
fn minutes(samples: &Samples) -> Rows {
    let samples: Vec<_> = samples.iter().map(|(key, value)| (*key, *value)).collect();
    let key = |sample: &((SeriesId, i64), f64)| (sample.0.0, floor(sample.0.1, MINUTE_MS));
    let windows = samples.chunk_by(|a, b| key(a) == key(b));
    windows
        .map(|window| {
            let rows: Vec<_> = window.iter().map(|(at, value)| (at.1, *value)).collect();
            (key(&window[0]), naive(&rows))
        })
        .collect()
}

/// 1-hour rows: of 1-minute rows, as the design says.
fn hours(minutes: &Rows) -> Rows {
    let mut hours = Rows::new();
    for (&(series, start), row) in minutes {
        hours
            .entry((series, floor(start, HOUR_MS)))
            .and_modify(|hour| hour.append(row))
            .or_insert(*row);
    }
    hours
}

/// Compares rows of the windows that end by `closed`.
pub(crate) fn check_rows(tier: &str, width: i64, closed: i64, found: &Rows, expected: &Rows) {
    check_rows_of(tier, |start| start + width <= closed, found, expected);
}

/// Compares rows of some windows, by their start.
pub(crate) fn check_rows_of(
    tier: &str,
    compared: impl Fn(i64) -> bool,
    found: &Rows,
    expected: &Rows,
) {
    let counts = |key: &(SeriesId, i64)| compared(key.1);
    for (key, row) in expected.iter().filter(|(key, _)| counts(key)) {
        let written = found
            .get(key)
            .unwrap_or_else(|| panic!("no {tier} row {key:?}, which is {row:?}"));
        assert!(
            same(written, row),
            "{tier} row {key:?}: {written:?} is not {row:?}"
        );
    }
    let extra = found
        .keys()
        .find(|key| counts(key) && !expected.contains_key(*key));
    assert_eq!(extra, None, "a {tier} row that no sample asks for");
}

/// Compares settled samples.
pub(crate) fn check_samples<'a>(
    found: &Samples,
    expected: impl ExactSizeIterator<Item = (&'a (SeriesId, i64), &'a f64)>,
) {
    let rows = expected.len();
    for (key, value) in expected {
        let written = found.get(key);
        assert_eq!(
            written.map(|written| written.to_bits()),
            Some(value.to_bits()),
            "sample {key:?} is {written:?}, not {value}"
        );
    }
    assert_eq!(found.len(), rows, "rows of samples");
}

fn naive(rows: &[(i64, f64)]) -> Rollup {
    let stale = rows
        .iter()
        .filter(|row| tidegauge_model::is_stale(row.1))
        .map(|row| row.0)
        .max();
    let rows: Vec<(i64, f64)> = rows
        .iter()
        .copied()
        .filter(|row| !tidegauge_model::is_stale(row.1))
        .collect();
    let falls = rows.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let (first, last) = (rows.first(), rows.last());
    Rollup {
        count: rows.len() as u64,
        sum: rows.iter().map(|row| row.1).sum(),
        min: rows.iter().map(|row| row.1).fold(f64::NAN, f64::min),
        max: rows.iter().map(|row| row.1).fold(f64::NAN, f64::max),
        first: first.map_or(f64::NAN, |row| row.1),
        first_time: first.map_or(0, |row| row.0),
        last: last.map_or(f64::NAN, |row| row.1),
        last_time: last.map_or(0, |row| row.0),
        resets: falls.clone().count() as u64,
        reset_adj: falls.map(|pair| pair[0].1).sum(),
        stale_time: stale,
    }
}

/// Whether two rows are the same: to the last bit, but for sums to 1e-12 of their size.
fn same(a: &Rollup, b: &Rollup) -> bool {
    let bits = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
    let close = |x: f64, y: f64| bits(x, y) || (x - y).abs() <= 1e-12 * x.abs().max(y.abs());
    a.count == b.count
        && close(a.sum, b.sum)
        && bits(a.min, b.min)
        && bits(a.max, b.max)
        && bits(a.first, b.first)
        && bits(a.last, b.last)
        && (a.count == 0 || (a.first_time == b.first_time && a.last_time == b.last_time))
        && a.resets == b.resets
        && close(a.reset_adj, b.reset_adj)
        && a.stale_time == b.stale_time
}

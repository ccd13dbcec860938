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

/// 1-minute rows, by the definition of each column.
pub(crate) fn minutes(samples: &Samples) -> Rows {
    let mut windows: BTreeMap<(SeriesId, i64), Vec<(i64, f64)>> = BTreeMap::new();
    for (&(series, time), &value) in samples {
        windows
            .entry((series, floor(time, MINUTE_MS)))
            .or_default()
            .push((time, value));
    }
    windows
        .into_iter()
        .map(|(key, rows)| (key, naive(&rows)))
        .collect()
}

/// 1-hour rows: of 1-minute rows, as the design says.
pub(crate) fn hours(minutes: &Rows) -> Rows {
    let mut hours = Rows::new();
    for (&(series, start), row) in minutes {
        hours
            .entry((series, floor(start, HOUR_MS)))
            .and_modify(|hour| hour.append(row))
            .or_insert(*row);
    }
    hours
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
pub(crate) fn same(a: &Rollup, b: &Rollup) -> bool {
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

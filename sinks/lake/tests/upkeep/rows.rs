//! Rows as a test compares them, by series and time, to the bit.

use std::collections::BTreeMap;

use tidegauge_model::{MINUTE_MS, Rollup, SeriesId, SeriesSeen, floor, prefer};

pub(crate) type Samples = BTreeMap<(usize, i64), f64>;
pub(crate) type Rows = BTreeMap<(SeriesId, i64), Vec<u64>>;

pub(crate) fn put(samples: &mut Samples, key: (usize, i64), value: f64) {
    let kept = samples.entry(key).or_insert(value);
    *kept = prefer(*kept, value);
}

pub(crate) fn fold(samples: &Samples) -> BTreeMap<(usize, i64), Rollup> {
    let mut windows = BTreeMap::<_, (Vec<i64>, Vec<f64>)>::new();
    for ((series, time), value) in samples {
        let window = windows
            .entry((*series, floor(*time, MINUTE_MS)))
            .or_default();
        window.0.push(*time);
        window.1.push(*value);
    }
    let row = |(time, value): (Vec<i64>, Vec<f64>)| Rollup::fold(&time, &value).expect("samples");
    windows
        .into_iter()
        .map(|(key, of)| (key, row(of)))
        .collect()
}

pub(crate) fn coarsen(
    minutes: &BTreeMap<(usize, i64), Rollup>,
    width: i64,
) -> BTreeMap<(usize, i64), Rollup> {
    let mut rows = BTreeMap::<_, Rollup>::new();
    for ((series, start), row) in minutes {
        rows.entry((*series, floor(*start, width)))
            .and_modify(|whole| whole.append(row))
            .or_insert(*row);
    }
    rows
}

pub(crate) fn bits(row: &Rollup) -> Vec<u64> {
    let doubles = [
        row.sum,
        row.min,
        row.max,
        row.first,
        row.last,
        row.reset_adj,
    ];
    let times = [row.first_time, row.last_time, row.stale_time.unwrap_or(-1)];
    let mut all = vec![row.count, row.resets];
    all.extend(doubles.map(f64::to_bits));
    all.extend(times.map(i64::cast_unsigned));
    all
}

pub(crate) fn last_seen(seen: &SeriesSeen) -> Vec<u64> {
    vec![seen.last_seen.cast_unsigned()]
}

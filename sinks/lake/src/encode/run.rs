//! Runs, cut into days.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tidegauge_model::{DAY_MS, RollupRuns, Runs};

/// The day (UTC) that holds `time`, in days since 1970.
///
/// # Panics
/// If `time` lies millions of years away, which no decoder lets in.
#[must_use]
pub fn day_of(time: i64) -> i32 {
    i32::try_from(time.div_euclid(DAY_MS)).expect("event times lie in years 1677 to 2262")
}

/// Cuts samples into days. Nearly always all lie in one, and nothing is copied.
pub(crate) fn samples_by_day(runs: &Runs) -> Vec<Cow<'_, Runs>> {
    if in_one_day(&runs.time) {
        return vec![Cow::Borrowed(runs)];
    }
    let mut days = BTreeMap::<i32, Runs>::new();
    for (series, time, value) in runs.iter() {
        let mut start = 0;
        for part in time.chunk_by(|a, b| day_of(*a) == day_of(*b)) {
            let end = start + part.len();
            let day = days.entry(day_of(part[0])).or_default();
            day.push(series, part, &value[start..end]);
            start = end;
        }
    }
    days.into_values().map(Cow::Owned).collect()
}

/// Cuts rollup rows into days.
pub(crate) fn rollups_by_day(runs: &RollupRuns) -> Vec<Cow<'_, RollupRuns>> {
    if in_one_day(&runs.time) {
        return vec![Cow::Borrowed(runs)];
    }
    let mut days = BTreeMap::<i32, RollupRuns>::new();
    for (series, time, rows) in runs.iter() {
        for (&start, row) in time.iter().zip(rows) {
            let day = days.entry(day_of(start)).or_default();
            day.push(series, start, *row);
        }
    }
    days.into_values().map(Cow::Owned).collect()
}

fn in_one_day(times: &[i64]) -> bool {
    let least = times.iter().copied().min().unwrap_or(0);
    let most = times.iter().copied().max().unwrap_or(0);
    day_of(least) == day_of(most)
}

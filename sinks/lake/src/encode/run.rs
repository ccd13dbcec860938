//! Borrowed runs, and their cutting into days.

use std::collections::BTreeMap;

use tidegauge_model::{DAY_MS, Rollup, RollupRuns, Runs, Series};

/// Rows of one series, strictly ascending in time.
#[derive(Debug)]
pub struct SampleRun<'a, K> {
    /// Whose rows.
    pub key: &'a K,
    /// Event times, milliseconds.
    pub time: &'a [i64],
    /// Values, parallel to `time`.
    pub value: &'a [f64],
}

/// Rollup rows of one series, strictly ascending in window start.
#[derive(Debug)]
pub struct RollupRun<'a, K> {
    /// Whose rows.
    pub key: &'a K,
    /// Window starts, milliseconds.
    pub time: &'a [i64],
    /// Rows, parallel to `time`.
    pub rows: &'a [Rollup],
}

/// The day (UTC) that holds `time`, in days since 1970.
///
/// # Panics
/// If `time` lies millions of years away, which no decoder lets in.
#[must_use]
pub fn day_of(time: i64) -> i32 {
    i32::try_from(time.div_euclid(DAY_MS)).expect("event times lie in years 1 to 9999")
}

/// Cuts runs of samples into days.
pub(crate) fn samples_by_day(runs: &Runs) -> BTreeMap<i32, Vec<SampleRun<'_, Series>>> {
    let mut days = ByDay::new(runs.runs.len());
    for (key, time, value) in runs.iter() {
        days.cut(time, |rows| SampleRun {
            key,
            time: &time[rows.clone()],
            value: &value[rows],
        });
    }
    days.days
}

/// Cuts runs of rollup rows into days.
pub(crate) fn rollups_by_day(runs: &RollupRuns) -> BTreeMap<i32, Vec<RollupRun<'_, Series>>> {
    let mut days = ByDay::new(runs.runs.len());
    for (key, time, rows) in runs.iter() {
        days.cut(time, |range| RollupRun {
            key,
            time: &time[range.clone()],
            rows: &rows[range],
        });
    }
    days.days
}

struct ByDay<R> {
    days: BTreeMap<i32, Vec<R>>,
    expected: usize,
}

impl<R> ByDay<R> {
    const fn new(expected: usize) -> Self {
        Self {
            days: BTreeMap::new(),
            expected,
        }
    }

    /// Nearly every run lies in one day, so its two ends are looked at first.
    fn cut(&mut self, time: &[i64], run: impl Fn(std::ops::Range<usize>) -> R) {
        let mut start = 0;
        while start < time.len() {
            let day = day_of(time[start]);
            let end = if day_of(time[time.len() - 1]) == day {
                time.len()
            } else {
                start + time[start..].partition_point(|&at| day_of(at) == day)
            };
            self.days
                .entry(day)
                .or_insert_with(|| Vec::with_capacity(self.expected))
                .push(run(start..end));
            start = end;
        }
    }
}

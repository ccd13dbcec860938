//! The aggregate of one series over one tumbling window.

use serde::{Deserialize, Serialize};

use crate::value::is_stale;

/// One row of a downsampled tier. No column looks outside its window, so that a late sample
/// touches one row; `increase` over a range chains rows: last − first + `reset_adj` of each, plus
/// the step from one row's last to the next row's first (a fall there is a reset too).
///
/// A window that holds nothing but stale markers has `count` 0, its `stale_time`, and no values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollup {
    /// Samples with a value; stale markers don't count.
    pub count: u64,
    /// Their sum, in time order, compensated (Neumaier 1974) where it is finite.
    pub sum: f64,
    /// The least value; NaN only if all are.
    pub min: f64,
    /// The greatest value; NaN only if all are.
    pub max: f64,
    /// The value at `first_time`.
    pub first: f64,
    /// Event time of the earliest sample.
    pub first_time: i64,
    /// The value at `last_time`.
    pub last: f64,
    /// Event time of the latest sample.
    pub last_time: i64,
    /// How often a value was less than the one before it, as a counter's is when it restarts.
    pub resets: u64,
    /// The sum of the values lost at those falls: what must be added to last − first.
    pub reset_adj: f64,
    /// Event time of the latest stale marker.
    pub stale_time: Option<i64>,
}

impl Rollup {
    /// The row of no samples.
    pub const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::NAN,
        max: f64::NAN,
        first: f64::NAN,
        first_time: i64::MAX,
        last: f64::NAN,
        last_time: i64::MIN,
        resets: 0,
        reset_adj: 0.0,
        stale_time: None,
    };

    /// Folds one window's samples of one series, strictly ascending in time. None for no samples.
    ///
    /// ```
    /// use tidegauge_model::Rollup;
    /// let row = Rollup::fold(&[0, 10, 20], &[5.0, 7.0, 1.0]).expect("samples");
    /// assert_eq!((row.count, row.sum, row.first, row.last), (3, 13.0, 5.0, 1.0));
    /// assert_eq!((row.resets, row.reset_adj), (1, 7.0));
    /// assert_eq!(row.increase(), 3.0);
    /// ```
    #[must_use]
    pub fn fold(time: &[i64], value: &[f64]) -> Option<Self> {
        debug_assert!(
            time.is_sorted_by(|a, b| a < b),
            "samples of a window ascend in time"
        );
        if time.is_empty() {
            return None;
        }
        let mut row = Self::EMPTY;
        let mut lost = 0.0;
        for (&at, &value) in time.iter().zip(value) {
            if is_stale(value) {
                row.stale_time = Some(at);
                continue;
            }
            if row.count == 0 {
                row.first = value;
                row.first_time = at;
            } else if value < row.last {
                row.resets += 1;
                row.reset_adj += row.last;
            }
            row.count += 1;
            let sum = row.sum + value;
            lost += if row.sum.abs() >= value.abs() {
                (row.sum - sum) + value
            } else {
                (value - sum) + row.sum
            };
            row.sum = sum;
            row.min = row.min.min(value);
            row.max = row.max.max(value);
            row.last = value;
            row.last_time = at;
        }
        if row.sum.is_finite() && lost.is_finite() {
            row.sum += lost;
        }
        Some(row)
    }

    /// Appends the row of the next window that has one, in time order: this is how hours are made
    /// of minutes.
    pub fn append(&mut self, next: &Self) {
        self.stale_time = self.stale_time.max(next.stale_time);
        if next.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self {
                stale_time: self.stale_time,
                ..*next
            };
            return;
        }
        if next.first < self.last {
            self.resets += 1;
            self.reset_adj += self.last;
        }
        self.count += next.count;
        self.sum += next.sum;
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
        self.last = next.last;
        self.last_time = next.last_time;
        self.resets += next.resets;
        self.reset_adj += next.reset_adj;
    }

    /// What a counter rose by inside the window, resets added back; NaN for no samples.
    #[must_use]
    pub fn increase(&self) -> f64 {
        self.last - self.first + self.reset_adj
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::stale;

    #[test]
    fn stale_markers_are_remembered_not_counted() {
        let row = Rollup::fold(&[1, 2, 3], &[4.0, stale(), 2.0]).expect("samples");
        assert_eq!((row.count, row.stale_time, row.resets), (2, Some(2), 1));
        let row = Rollup::fold(&[9], &[stale()]).expect("a marker makes a row");
        assert_eq!((row.count, row.stale_time), (0, Some(9)));
        assert!(row.last.is_nan() && row.min.is_nan());
    }

    #[test]
    fn min_and_max_pass_over_nan() {
        let row = Rollup::fold(&[1, 2, 3], &[f64::NAN, 2.0, 1.0]).expect("samples");
        assert_eq!((row.min, row.max), (1.0, 2.0));
        assert!(row.sum.is_nan() && row.first.is_nan());
    }

    #[test]
    fn infinities_sum_as_ieee_says() {
        let row = Rollup::fold(&[1, 2], &[f64::INFINITY, 1.0]).expect("samples");
        assert_eq!(row.sum, f64::INFINITY);
    }

    #[test]
    fn small_terms_survive_large_ones() {
        let row = Rollup::fold(&[1, 2, 3], &[1e16, 1.0, -1e16]).expect("samples");
        assert_eq!(row.sum, 1.0);
    }

    #[test]
    fn appending_rows_equals_folding_the_whole_but_for_rounding() {
        let time: Vec<i64> = (0..100).collect();
        let value: Vec<f64> = time.iter().map(|t| ((t * 37) % 41) as f64).collect();
        let whole = Rollup::fold(&time, &value).expect("samples");
        for cut in 1..99 {
            let mut row = Rollup::fold(&time[..cut], &value[..cut]).expect("samples");
            row.append(&Rollup::fold(&time[cut..], &value[cut..]).expect("samples"));
            assert_eq!(row, whole, "cut at {cut}");
        }
    }
}

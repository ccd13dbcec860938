//! Sorted runs: samples and rollup rows by series, as the dataflow hands them to sinks.

use crate::rollup::Rollup;
use crate::series::Series;

/// One series' rows: the next `len` entries of the columns.
#[derive(Clone, Debug)]
pub struct Run {
    /// The series.
    pub series: Series,
    /// How many rows.
    pub len: usize,
}

/// Samples in file order: runs by [`Series::file_order`], ascending in time within a run.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The runs; each series at most once.
    pub runs: Vec<Run>,
    /// Event times, all runs one behind the other.
    pub time: Vec<i64>,
    /// Values, parallel to `time`.
    pub value: Vec<f64>,
}

impl Runs {
    /// Adds a run.
    pub fn push(&mut self, series: &Series, time: &[i64], value: &[f64]) {
        assert_eq!(time.len(), value.len(), "times and values of one run");
        if !time.is_empty() {
            self.runs.push(Run {
                series: series.clone(),
                len: time.len(),
            });
            self.time.extend_from_slice(time);
            self.value.extend_from_slice(value);
        }
    }

    /// Adds the run of the next `len` rows of columns that are put in place afterwards.
    pub fn push_run(&mut self, series: &Series, len: usize) {
        if len > 0 {
            self.runs.push(Run {
                series: series.clone(),
                len,
            });
        }
    }

    /// Each series with its times and values.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, &[i64], &[f64])> {
        let mut at = 0;
        self.runs.iter().map(move |run| {
            let rows = at..at + run.len;
            at += run.len;
            (&run.series, &self.time[rows.clone()], &self.value[rows])
        })
    }
}

/// Rollup rows in file order: runs by [`Series::file_order`], ascending in window start.
#[derive(Clone, Debug, Default)]
pub struct RollupRuns {
    /// The runs; each series at most once.
    pub runs: Vec<Run>,
    /// Window starts, all runs one behind the other.
    pub time: Vec<i64>,
    /// Rows, parallel to `time`.
    pub rows: Vec<Rollup>,
}

impl RollupRuns {
    /// Adds one row to the run of `series`, which is the last run or becomes it.
    pub fn push(&mut self, series: &Series, window_start: i64, row: Rollup) {
        match self.runs.last_mut() {
            Some(run) if run.series.id() == series.id() => run.len += 1,
            _ => self.runs.push(Run {
                series: series.clone(),
                len: 1,
            }),
        }
        self.time.push(window_start);
        self.rows.push(row);
    }

    /// Each series with its window starts and rows.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, &[i64], &[Rollup])> {
        let mut at = 0;
        self.runs.iter().map(move |run| {
            let rows = at..at + run.len;
            at += run.len;
            (&run.series, &self.time[rows.clone()], &self.rows[rows])
        })
    }
}

//! Which of several rows for one series and time counts.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMillisecondType};
use tidegauge_model::{prefer, stale};
use tidegauge_tables::Table;

use super::cursor::Page;

/// The version of rows computed from raw just now.
pub(crate) const COMPUTED: u64 = u64::MAX;

/// One row among those that stand for the same series and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Which of the pages given.
    pub(crate) batch: usize,
    /// Which row of it.
    pub(crate) row: usize,
    /// The version of the file it stands in.
    pub(crate) version: u64,
}

/// How a table settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The preferred value counts, as [`prefer`] has it; NULL is a stale marker.
    Value,
    /// The row of the newest file counts. A row just computed from raw stands above them, unless it
    /// counts fewer samples: samples only ever come, so then part of the raw tier has expired.
    Newest,
    /// The newest row counts, with the earliest `first_seen` and the latest `last_seen` of all.
    Seen,
}

impl Rule {
    pub(crate) const fn of(table: Table) -> Self {
        match table {
            Table::Samples => Self::Value,
            Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => Self::Newest,
            Table::Series | Table::Rejects => Self::Seen,
        }
    }

    /// Picks one of `candidates`, of which there is at least one, by what their `pages` say.
    pub(crate) fn pick(self, candidates: &[Candidate], pages: &[Arc<Page>]) -> Candidate {
        let better = |best: Candidate, next: &Candidate| {
            let wins = match self {
                Self::Value => {
                    let (a, b) = (value(pages, &best), value(pages, next));
                    prefer(a, b).to_bits() != a.to_bits()
                }
                Self::Newest => match (best.version, next.version) {
                    (_, COMPUTED) => count(pages, next) >= count(pages, &best),
                    (COMPUTED, _) => count(pages, &best) < count(pages, next),
                    (a, b) => b > a,
                },
                Self::Seen => next.version > best.version,
            };
            if wins { *next } else { best }
        };
        // Rows of files are judged before computed ones, whatever order they come in.
        let files = candidates.iter().filter(|c| c.version != COMPUTED);
        let computed = candidates.iter().filter(|c| c.version == COMPUTED);
        let mut in_turn = files.chain(computed);
        let first = *in_turn
            .next()
            .expect("a settled row stands for at least one");
        in_turn.fold(first, better)
    }
}

fn count(pages: &[Arc<Page>], of: &Candidate) -> i64 {
    pages[of.batch].judged.count(of.row)
}

fn value(pages: &[Arc<Page>], of: &Candidate) -> f64 {
    pages[of.batch].judged.value(of.row)
}

/// The columns of one batch by which rows are judged.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    Value(Float64Array),
    Count(Int64Array),
    Seen([TimestampMillisecondArray; 2]),
}

impl Judged {
    /// # Panics
    /// If the batch lacks what [`crate::columns::needed_to_settle`] names.
    pub(crate) fn of(rule: Rule, batch: &RecordBatch) -> Self {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap_or_else(|| panic!("a scan to be settled reads `{name}`"))
        };
        let time = |name: &str| {
            column(name)
                .as_primitive::<TimestampMillisecondType>()
                .clone()
        };
        match rule {
            Rule::Value => Self::Value(column("value").as_primitive::<Float64Type>().clone()),
            Rule::Newest => Self::Count(column("count").as_primitive::<Int64Type>().clone()),
            Rule::Seen => Self::Seen([time("first_seen"), time("last_seen")]),
        }
    }

    fn value(&self, row: usize) -> f64 {
        match self {
            Self::Value(values) if values.is_null(row) => stale(),
            Self::Value(values) => values.value(row),
            other => panic!("samples are judged by value, not by {other:?}"),
        }
    }

    fn count(&self, row: usize) -> i64 {
        match self {
            Self::Count(counts) => counts.value(row),
            other => panic!("rollups are judged by count, not by {other:?}"),
        }
    }

    /// `first_seen` and `last_seen` of a row of `series`.
    pub(crate) fn seen(&self, row: usize) -> (i64, i64) {
        match self {
            Self::Seen([first, last]) => (first.value(row), last.value(row)),
            other => panic!("series are judged by when they were seen, not by {other:?}"),
        }
    }
}

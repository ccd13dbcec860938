//! The columns by which rows are judged.

use arrow::array::{
    Array, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMillisecondType};
use tidegauge_model::stale;

use super::rule::Rule;

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

    pub(super) fn value(&self, row: usize) -> f64 {
        match self {
            Self::Value(values) if values.is_null(row) => stale(),
            Self::Value(values) => values.value(row),
            other => panic!("samples are judged by value, not by {other:?}"),
        }
    }

    pub(super) fn count(&self, row: usize) -> i64 {
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

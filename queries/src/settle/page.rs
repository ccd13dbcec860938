//! A batch of sorted rows, with the columns at hand by which they are merged.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMillisecondType};
use datafusion::common::{Result, exec_err};

use super::judged::Judged;
use super::rule::Rule;

/// Tenant, name and id of a series: what files are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    /// Shared from run to run while neither changes.
    pub(crate) named: Arc<(Box<str>, Box<str>)>,
    pub(crate) id: i64,
}

/// A batch with its key columns at hand.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) batch: RecordBatch,
    pub(crate) judged: Judged,
    tenant: StringViewArray,
    name: StringViewArray,
    id: Int64Array,
    time: Int64Array,
}

impl Page {
    pub(super) fn new(rule: Rule, batch: RecordBatch) -> Result<Self> {
        let column = |name: &str| match batch.column_by_name(name) {
            Some(column) => Ok(column),
            None => exec_err!("a scan to be settled lacks the column `{name}`"),
        };
        let time = match rule {
            Rule::Seen => {
                let dates = column("date")?.as_primitive::<Date32Type>();
                dates.unary(i64::from)
            }
            Rule::Value | Rule::Newest => column("time")?
                .as_primitive::<TimestampMillisecondType>()
                .reinterpret_cast::<Int64Type>(),
        };
        Ok(Self {
            tenant: column("tenant")?.as_string_view().clone(),
            name: column("name")?.as_string_view().clone(),
            id: column("series_id")?.as_primitive::<Int64Type>().clone(),
            time,
            judged: Judged::of(rule, &batch),
            batch,
        })
    }

    /// The time (for `series`: the date) of a row.
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.time.value(row)
    }

    /// One past the last row from `start` on that is of the same series.
    pub(super) fn run_end(&self, start: usize) -> usize {
        let ids = &self.id.values()[start..];
        let id = ids[0];
        // Runs are long or one row: gallop, then halve.
        let mut step = 1;
        while step < ids.len() && ids[step] == id {
            step *= 2;
        }
        let (low, high) = (step / 2, step.min(ids.len()));
        start + low + ids[low..high].partition_point(|other| *other == id)
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Tenant and name of a row.
    pub(super) fn named(&self, row: usize) -> (Box<str>, Box<str>) {
        (self.tenant.value(row).into(), self.name.value(row).into())
    }

    /// The series' id of a row.
    pub(super) fn id(&self, row: usize) -> i64 {
        self.id.value(row)
    }

    pub(super) fn is_of(&self, row: usize, key: &SeriesKey) -> bool {
        self.id.value(row) == key.id && self.is_named(row, &key.named)
    }

    pub(super) fn is_named(&self, row: usize, (tenant, name): &(Box<str>, Box<str>)) -> bool {
        self.name.value(row) == &**name && self.tenant.value(row) == &**tenant
    }
}

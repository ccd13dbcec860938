//! Which files, and which windows, a filter can touch at all: decided from what the log says of
//! them, before anything is opened.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, StringViewArray, TimestampMillisecondArray,
};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use tidegauge_model::DAY_MS;
use tidegauge_tables::{DataFile, Table};

/// The bounds of something that holds rows: a file or a window. None: unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds<'a> {
    pub(crate) tenant: Option<(&'a str, &'a str)>,
    pub(crate) name: (Option<&'a str>, Option<&'a str>),
    pub(crate) date: Option<(i32, i32)>,
    pub(crate) time: Option<(i64, i64)>,
}

impl<'a> Bounds<'a> {
    /// The bounds of `file`'s rows of `tenant`, or of all its rows.
    pub(crate) fn of_file(table: Table, file: &'a DataFile, tenant: Option<&str>) -> Self {
        let (low, high) = (&file.min_key, &file.max_key);
        // A name bounds rows only within its own tenant.
        let one_tenant = low.tenant == high.tenant;
        let bounds_names =
            |key: &str| table != Table::Rejects && (one_tenant || tenant == Some(key));
        Self {
            tenant: Some((&low.tenant, &high.tenant)),
            name: (
                bounds_names(&low.tenant).then_some(low.name.as_str()),
                bounds_names(&high.tenant).then_some(high.name.as_str()),
            ),
            date: Some((file.date, file.date)),
            // Of `series` it is `first_seen` and `last_seen` that are bounded, and settling may
            // still move both.
            time: (table != Table::Series).then_some((file.min_time, file.max_time)),
        }
    }

    /// The bounds of a window's rollup rows.
    pub(crate) fn of_window(start: i64) -> Self {
        let day = i32::try_from(start.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
        Self {
            date: Some((day, day)),
            time: Some((start, start)),
            ..Self::default()
        }
    }
}

/// For each of `bounds`, whether rows inside may pass all `filters`, which are over `schema`.
pub(crate) fn may_match(
    bounds: &[Bounds<'_>],
    filters: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<Vec<bool>> {
    let mut keep = vec![true; bounds.len()];
    if bounds.is_empty() {
        return Ok(keep);
    }
    let statistics = Statistics::new(bounds);
    for filter in filters {
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        // A filter that bounds can't tell anything about prunes nothing.
        let Some(predicate) = builder.build(Arc::clone(filter)) else {
            continue;
        };
        for (keep, may) in keep.iter_mut().zip(predicate.prune(&statistics)?) {
            *keep &= may;
        }
    }
    Ok(keep)
}

/// [`Bounds`] as columns.
struct Statistics {
    count: usize,
    tenant: [ArrayRef; 2],
    name: [ArrayRef; 2],
    date: [ArrayRef; 2],
    time: [ArrayRef; 2],
}

impl Statistics {
    fn new(bounds: &[Bounds<'_>]) -> Self {
        let texts = |pick: &dyn Fn(&Bounds<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(StringViewArray::from_iter(bounds.iter().map(pick)))
        };
        let dates = |pick: &dyn Fn((i32, i32)) -> i32| -> ArrayRef {
            Arc::new(Date32Array::from_iter(
                bounds.iter().map(|b| b.date.map(pick)),
            ))
        };
        let times = |pick: &dyn Fn((i64, i64)) -> i64| -> ArrayRef {
            let values = bounds.iter().map(|b| b.time.map(pick));
            Arc::new(TimestampMillisecondArray::from_iter(values).with_timezone("UTC"))
        };
        Self {
            count: bounds.len(),
            tenant: [
                texts(&|b| b.tenant.map(|t| t.0.into())),
                texts(&|b| b.tenant.map(|t| t.1.into())),
            ],
            name: [
                texts(&|b| b.name.0.map(Into::into)),
                texts(&|b| b.name.1.map(Into::into)),
            ],
            date: [dates(&|d| d.0), dates(&|d| d.1)],
            time: [times(&|t| t.0), times(&|t| t.1)],
        }
    }

    fn column(&self, column: &Column, side: usize) -> Option<ArrayRef> {
        let pair = match column.name() {
            "tenant" => &self.tenant,
            "name" => &self.name,
            "date" => &self.date,
            "time" => &self.time,
            _ => return None,
        };
        Some(Arc::clone(&pair[side]))
    }
}

impl PruningStatistics for Statistics {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, 0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, 1)
    }

    fn num_containers(&self) -> usize {
        self.count
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

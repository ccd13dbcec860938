//! Rollups as rows of a table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_err};
use tidegauge_model::{DAY_MS, Rollup};

/// Which series a row is of.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) tenant: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) id: i64,
}

/// A series, the window's start, and its aggregate.
type Row = (Identity, i64, Rollup);

/// Rows not yet given out.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    rows: Vec<Row>,
}

impl Rows {
    pub(crate) const fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            rows: Vec::new(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn push(&mut self, series: &Identity, start: i64, row: Rollup) {
        self.rows.push((series.clone(), start, row));
    }

    /// All rows as a batch; none if there are none.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = self.schema.fields().iter().map(|f| column(f.name(), &rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Some(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns,
        )?))
    }
}

/// One column; a window of nothing but stale markers has no values.
fn column(name: &str, rows: &[Row]) -> Result<ArrayRef> {
    let texts = |pick: fn(&Identity) -> &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(
            rows.iter().map(|r| pick(&r.0)),
        ))
    };
    let longs = |pick: &dyn Fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
    };
    let values = |pick: fn(&Rollup) -> f64| -> ArrayRef {
        let values = rows.iter().map(|r| (r.2.count > 0).then(|| pick(&r.2)));
        Arc::new(Float64Array::from_iter(values))
    };
    let times = |pick: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
        let times = TimestampMillisecondArray::from_iter(rows.iter().map(pick));
        Arc::new(times.with_timezone("UTC"))
    };
    let counted = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(match name {
        "tenant" => texts(|s| &s.tenant),
        "name" => texts(|s| &s.name),
        "series_id" => longs(&|r| r.0.id),
        "time" => times(&|r| Some(r.1)),
        "date" => {
            let days = rows.iter().map(|r| r.1.div_euclid(DAY_MS));
            let days = days.map(|day| i32::try_from(day).unwrap_or(i32::MAX));
            Arc::new(Date32Array::from_iter_values(days))
        }
        "count" => longs(&|r| counted(r.2.count)),
        "resets" => longs(&|r| counted(r.2.resets)),
        "sum" => values(|r| r.sum),
        "min" => values(|r| r.min),
        "max" => values(|r| r.max),
        "first" => values(|r| r.first),
        "last" => values(|r| r.last),
        "first_time" => times(&|r| (r.2.count > 0).then_some(r.2.first_time)),
        "last_time" => times(&|r| (r.2.count > 0).then_some(r.2.last_time)),
        "stale_time" => times(&|r| r.2.stale_time),
        "reset_adj" => Arc::new(Float64Array::from_iter_values(
            rows.iter().map(|r| r.2.reset_adj),
        )),
        other => return exec_err!("a rollup has no column `{other}`"),
    })
}

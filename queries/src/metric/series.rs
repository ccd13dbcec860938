//! The series of one metric: their ids and labels, small enough to be held whole.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, MapArray, RecordBatch, StringViewBuilder};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_plan::collect;
use tidegauge_tables::Table;

use crate::scan::{Lake, Scan};

/// A text as the type that text columns have, so that it is compared without a cast.
pub(crate) fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.into())))
}

/// All series that ever bore one metric name, as far as the lake remembers.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Ids, in the order of the rows of `labels`.
    pub(crate) ids: Vec<i64>,
    /// Which row an id has.
    pub(crate) row_of: HashMap<i64, u32>,
    /// One column a label, in order of their names; NULL where a series lacks it. Columns are named
    /// as the metric's tables name them.
    pub(crate) labels: RecordBatch,
}

impl Metric {
    /// Reads the series of metric `name`; none if there are none.
    pub(crate) async fn load(
        lake: &Lake,
        session: &dyn Session,
        tenant: &str,
        name: &str,
        reserved: &[&str],
    ) -> Result<Option<Self>> {
        let scan = Scan {
            lake,
            session,
            table: Table::Series,
            tenant: Some(tenant),
            columns: &["series_id", "labels"],
            filters: &[col("name").eq(text(name))],
        };
        let batches = collect(scan.plan()?, session.task_ctx()).await?;
        let mut rows: HashMap<i64, Vec<(&str, &str)>> = HashMap::new();
        for batch in &batches {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let labels = batch.column(1).as_map();
            for row in 0..batch.num_rows() {
                rows.entry(ids.value(row))
                    .or_insert_with(|| pairs(labels, row));
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_unstable_by_key(|(id, _)| *id);
        Ok(Some(Self::new(&rows, reserved)?))
    }

    fn new(rows: &[(i64, Vec<(&str, &str)>)], reserved: &[&str]) -> Result<Self> {
        let names: BTreeSet<&str> = rows
            .iter()
            .flat_map(|(_, l)| l.iter().map(|l| l.0))
            .collect();
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for name in &names {
            let mut column = StringViewBuilder::new().with_deduplicate_strings();
            for (_, labels) in rows {
                let found = labels.iter().find(|(label, _)| label == name);
                column.append_option(found.map(|(_, value)| *value));
            }
            let called = column_name(name, &names, reserved);
            fields.push(Field::new(called, DataType::Utf8View, true));
            columns.push(Arc::new(column.finish()));
        }
        let schema = Arc::new(Schema::new(fields));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let number = |row: usize| u32::try_from(row).expect("series of one metric fit 32 bits");
        Ok(Self {
            ids: rows.iter().map(|(id, _)| *id).collect(),
            row_of: rows
                .iter()
                .enumerate()
                .map(|(row, (id, _))| (*id, number(row)))
                .collect(),
            labels: RecordBatch::try_new_with_options(schema, columns, &options)?,
        })
    }

    /// The ids of series whose labels pass all `filters`. Each filter sees only what the ones before
    /// it let through: it may fail on what they are there to keep from it.
    pub(crate) fn matching(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<i64>> {
        let ids = Int64Array::from_iter_values(self.ids.iter().copied());
        let (mut ids, mut labels) = (ids, self.labels_of(filters)?);
        let schema = DFSchema::try_from(labels.schema())?;
        for filter in filters {
            let filter = session.create_physical_expr(filter.clone(), &schema)?;
            let passed = filter.evaluate(&labels)?.into_array(ids.len())?;
            let Some(passed) = passed.as_boolean_opt() else {
                return exec_err!("`{filter}` is no condition");
            };
            ids = compute::filter(&ids, passed)?.as_primitive().clone();
            labels = compute::filter_record_batch(&labels, passed)?;
        }
        Ok(ids.values().to_vec())
    }

    /// The labels that `filters` speak of, so that no others are copied.
    fn labels_of(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let mut wanted = BTreeSet::new();
        for column in filters.iter().flat_map(Expr::column_refs) {
            wanted.insert(self.labels.schema_ref().index_of(&column.name)?);
        }
        let wanted: Vec<usize> = wanted.into_iter().collect();
        Ok(self.labels.project(&wanted)?)
    }
}

fn pairs(labels: &MapArray, row: usize) -> Vec<(&str, &str)> {
    let offsets = labels.value_offsets();
    let (keys, values) = (
        labels.keys().as_string::<i32>(),
        labels.values().as_string::<i32>(),
    );
    let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
    (from..to)
        .map(|at| (keys.value(at), values.value(at)))
        .collect()
}

/// What the column of label `name` is called: `label_` comes before names that the table uses for
/// values, as often as it takes to be unique.
fn column_name(name: &str, names: &BTreeSet<&str>, reserved: &[&str]) -> String {
    let mut called = name.to_owned();
    while reserved.contains(&called.as_str()) || (called != name && names.contains(called.as_str()))
    {
        called.insert_str(0, "label_");
    }
    called
}

#[cfg(test)]
mod tests {
    use datafusion::execution::SessionStateBuilder;
    use datafusion::logical_expr::cast;

    use super::*;

    fn metric(ports: &[&'static str]) -> Metric {
        let row = |(id, port): (i64, &&'static str)| (id, vec![("host", "a"), ("port", *port)]);
        let rows: Vec<_> = (0..).zip(ports).map(row).collect();
        Metric::new(&rows, &[]).expect("labels")
    }

    #[test]
    fn a_filter_is_not_asked_of_what_an_earlier_one_refused() {
        let session = SessionStateBuilder::new().with_default_features().build();
        let metric = metric(&["80", "n/a", "22", "443"]);
        let is_number = col("port").not_eq(text("n/a"));
        let is_large = cast(col("port"), DataType::Int64).gt(lit(70_i64));
        let both = [is_number, is_large.clone()];
        assert_eq!(metric.matching(&session, &both).expect("numbers"), [0, 3]);
        assert!(
            metric.matching(&session, &[is_large]).is_err(),
            "n/a is none"
        );
        assert_eq!(
            metric.matching(&session, &[]).expect("no filter"),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn labels_named_like_values_are_called_otherwise() {
        let names = BTreeSet::from(["time", "host", "label_time"]);
        let called = |name| column_name(name, &names, &["time", "value"]);
        assert_eq!(called("host"), "host");
        assert_eq!(called("time"), "label_label_time");
        assert_eq!(called("label_time"), "label_time");
    }
}

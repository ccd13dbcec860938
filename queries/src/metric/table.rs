//! One metric's table in one tier.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::expressions::col as physical_col;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use tidegauge_tables::Table;

use super::label_exec::{LabelExec, Source};
use super::series::{Metric, text};
use super::values::{expression, field, made_of, value_columns};
use crate::scan::{Lake, Scan};
use crate::table::is_only_on;

/// Ids beyond this many are filtered by, but no longer prune pages one by one.
const IDS_THAT_PRUNE: usize = 20;

/// `time`, values, and a column a label.
#[derive(Debug)]
pub(crate) struct MetricTable {
    lake: Arc<Lake>,
    tier: Table,
    tenant: Arc<str>,
    name: String,
    metric: Arc<Metric>,
    schema: SchemaRef,
}

impl MetricTable {
    pub(crate) fn new(
        lake: Arc<Lake>,
        tier: Table,
        tenant: Arc<str>,
        name: &str,
        metric: Arc<Metric>,
    ) -> Self {
        let values = value_columns(tier).iter().map(|name| Arc::new(field(name)));
        let labels = metric.labels.schema_ref().fields().iter().cloned();
        let fields: Vec<_> = values.chain(labels).collect();
        Self {
            lake,
            tier,
            tenant,
            name: name.into(),
            schema: Arc::new(Schema::new(fields)),
            metric,
        }
    }

    fn label_names(&self) -> Vec<&str> {
        let fields = self.metric.labels.schema_ref().fields();
        fields.iter().map(|field| field.name().as_str()).collect()
    }

    /// The tier's rows of the wanted series, with their ids and the columns that values are made of.
    fn rows(
        &self,
        session: &dyn Session,
        values: &[&str],
        ids: &[i64],
        mut filters: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        filters.push(col("name").eq(text(&self.name)));
        filters.extend(self.id_filters(ids));
        let mut columns = vec!["series_id"];
        for part in values.iter().flat_map(|name| made_of(name)) {
            if !columns.contains(&part) {
                columns.push(part);
            }
        }
        let scan = Scan {
            lake: &self.lake,
            session,
            table: self.tier,
            tenant: Some(&self.tenant),
            columns: &columns,
            filters: &filters,
        };
        scan.plan()
    }

    fn id_filters(&self, ids: &[i64]) -> Vec<Expr> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
            return Vec::new();
        };
        if ids.len() == self.metric.ids.len() {
            return Vec::new();
        }
        let list = ids.iter().map(|id| lit(*id)).collect();
        let mut filters = vec![col("series_id").in_list(list, false)];
        if ids.len() > IDS_THAT_PRUNE {
            filters.push(col("series_id").gt_eq(lit(*first)));
            filters.push(col("series_id").lt_eq(lit(*last)));
        }
        filters
    }
}

#[async_trait]
impl TableProvider for MetricTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let labels = self.label_names();
        let support = filters.iter().map(|filter| {
            if is_only_on(filter, &labels) || is_only_on(filter, &["time"]) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let out = Arc::new(self.schema.project(wanted)?);
        let (on_time, on_labels): (Vec<_>, Vec<_>) = filters
            .iter()
            .cloned()
            .partition(|filter| is_only_on(filter, &["time"]));
        let ids = self.metric.matching(session, &on_labels)?;
        if ids.is_empty() {
            return Ok(Arc::new(EmptyExec::new(out)));
        }
        let names = value_columns(self.tier);
        let values: Vec<&str> = wanted
            .iter()
            .filter_map(|i| names.get(*i).copied())
            .collect();
        let rows = self.rows(session, &values, &ids, on_time)?;
        let has_labels = wanted.iter().any(|i| *i >= names.len());
        let rows = with_values(rows, &values, has_labels, self.tier)?;
        if !has_labels {
            return Ok(rows);
        }
        let mut value = 0;
        let sources = wanted.iter().map(|i| match i.checked_sub(names.len()) {
            Some(label) => Source::Label(label),
            None => {
                value += 1;
                Source::Column(value)
            }
        });
        let sources = sources.collect();
        Ok(Arc::new(LabelExec::new(
            rows,
            Arc::clone(&self.metric),
            sources,
            out,
        )))
    }
}

/// Projects rows of a tier to `values`, behind the series' ids if those are needed.
fn with_values(
    rows: Arc<dyn ExecutionPlan>,
    values: &[&str],
    with_ids: bool,
    tier: Table,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let width_ms = tier.tier().and_then(|tier| tier.width_ms());
    let mut exprs = Vec::new();
    if with_ids {
        exprs.push((physical_col("series_id", &schema)?, "series_id".to_owned()));
    }
    for name in values {
        exprs.push((expression(name, &schema, width_ms)?, (*name).to_owned()));
    }
    let same = exprs.len() == schema.fields().len()
        && exprs
            .iter()
            .zip(schema.fields())
            .all(|((expr, name), field): (_, &Arc<Field>)| {
                name == field.name() && expr.to_string().starts_with(&format!("{name}@"))
            });
    if same {
        return Ok(rows);
    }
    Ok(Arc::new(ProjectionExec::try_new(exprs, rows)?))
}

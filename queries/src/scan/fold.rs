//! Rollup rows of dirty windows, computed from the raw tier.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef, TimestampMillisecondType};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};
use tidegauge_model::{MINUTE_MS, Rollup, stale};

use super::rows::{Identity, Rows};

/// Folds settled samples, sorted as files are, into rollup rows of some windows. Partition `i` of
/// the input holds the samples of `windows[i]`.
#[derive(Debug)]
pub(crate) struct FoldExec {
    input: Arc<dyn ExecutionPlan>,
    /// Starts of windows, ascending, for each partition.
    windows: Arc<Vec<Vec<i64>>>,
    width_ms: i64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FoldExec {
    /// Rows come out in `schema`, whose columns are some of a rollup table's.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        windows: Arc<Vec<Vec<i64>>>,
        width_ms: i64,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(windows.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            windows,
            width_ms,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for FoldExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = self.windows.iter().map(Vec::len).sum::<usize>();
        let minutes = self.width_ms / MINUTE_MS;
        write!(
            f,
            "FoldExec: dirty windows={windows} of {minutes}m, from raw"
        )
    }
}

impl ExecutionPlan for FoldExec {
    fn name(&self) -> &'static str {
        "FoldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return exec_err!("FoldExec has one input");
        };
        if input.properties().partitioning.partition_count() != self.windows.len() {
            return exec_err!("the input of FoldExec was partitioned anew");
        }
        let windows = Arc::clone(&self.windows);
        Ok(Arc::new(Self::new(
            input,
            windows,
            self.width_ms,
            self.schema(),
        )))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let fold = Fold {
            windows: Arc::clone(&self.windows),
            partition,
            width_ms: self.width_ms,
            series: None,
            time: Vec::new(),
            value: Vec::new(),
            rows: Rows::new(self.schema()),
            batch_rows: context.session_config().batch_size(),
            samples: self.input.execute(partition, context)?,
            baseline: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::try_unfold(fold, |mut fold| async move {
            Ok(fold.next().await?.map(|batch| (batch, fold)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition at work.
struct Fold {
    samples: SendableRecordBatchStream,
    windows: Arc<Vec<Vec<i64>>>,
    partition: usize,
    width_ms: i64,
    series: Option<Identity>,
    time: Vec<i64>,
    value: Vec<f64>,
    rows: Rows,
    batch_rows: usize,
    baseline: BaselineMetrics,
}

impl Fold {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.rows.len() < self.batch_rows {
            match self.samples.next().await.transpose()? {
                Some(batch) => self.take(&batch)?,
                None => {
                    self.close_series();
                    break;
                }
            }
        }
        let batch = self.rows.take()?;
        if let Some(batch) = &batch {
            self.baseline.record_output(batch.num_rows());
        }
        Ok(batch)
    }

    /// Appends a batch's samples to their series, folding each series that is complete.
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |name: &str| match batch.column_by_name(name) {
            Some(column) => Ok(column),
            None => exec_err!("folding needs the column `{name}`"),
        };
        let tenant = column("tenant")?.as_string_view();
        let name = column("name")?.as_string_view();
        let ids = column("series_id")?.as_primitive::<Int64Type>();
        let times = column("time")?.as_primitive::<TimestampMillisecondType>();
        let values = column("value")?.as_primitive::<Float64Type>();
        let mut row = 0;
        for run in ids.values().chunk_by(|a, b| a == b) {
            let identity = || Identity {
                tenant: tenant.value(row).into(),
                name: name.value(row).into(),
                id: run[0],
            };
            if self
                .series
                .as_ref()
                .is_none_or(|series| series.id != run[0])
            {
                self.close_series();
                self.series = Some(identity());
            }
            for at in row..row + run.len() {
                self.time.push(times.value(at));
                self.value.push(value_or_stale(values, at));
            }
            row += run.len();
        }
        Ok(())
    }

    fn close_series(&mut self) {
        let Some(series) = self.series.take() else {
            return;
        };
        for &start in &self.windows[self.partition] {
            let from = self.time.partition_point(|t| *t < start);
            let to = self.time.partition_point(|t| *t < start + self.width_ms);
            if let Some(row) = fold_by_minute(&self.time[from..to], &self.value[from..to]) {
                self.rows.push(&series, start, row);
            }
        }
        self.time.clear();
        self.value.clear();
    }
}

fn value_or_stale(values: &Float64Array, at: usize) -> f64 {
    use arrow::array::Array;
    if values.is_null(at) {
        stale()
    } else {
        values.value(at)
    }
}

/// Folds minutes and appends them, as the stream does: its sums are then the same to the last bit.
fn fold_by_minute(time: &[i64], value: &[f64]) -> Option<Rollup> {
    let mut whole: Option<Rollup> = None;
    let mut from = 0;
    for minute in time.chunk_by(|a, b| a.div_euclid(MINUTE_MS) == b.div_euclid(MINUTE_MS)) {
        let to = from + minute.len();
        let row = Rollup::fold(minute, &value[from..to]);
        from = to;
        match (&mut whole, row) {
            (Some(whole), Some(row)) => whole.append(&row),
            (whole, row) => *whole = row,
        }
    }
    whole
}

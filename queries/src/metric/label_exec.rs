//! Adds the labels of each row's series as columns.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions, UInt32Builder};
use arrow::compute::take;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, FilterDescription, FilterPushdownPhase,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;

use super::series::Metric;

/// Where an output column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A column of the input.
    Column(usize),
    /// A label of the metric.
    Label(usize),
}

/// The first column of the input is the series' id.
#[derive(Debug)]
pub(crate) struct LabelExec {
    input: Arc<dyn ExecutionPlan>,
    metric: Arc<Metric>,
    sources: Arc<[Source]>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LabelExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        metric: Arc<Metric>,
        sources: Arc<[Source]>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            input,
            metric,
            sources,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for LabelExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.metric.labels.schema();
        let labels = self.sources.iter().filter_map(|source| match source {
            Source::Label(label) => Some(schema.field(*label).name().as_str()),
            Source::Column(_) => None,
        });
        let labels: Vec<&str> = labels.collect();
        write!(f, "LabelExec: labels=[{}]", labels.join(", "))
    }
}

impl ExecutionPlan for LabelExec {
    fn name(&self) -> &'static str {
        "LabelExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
            return exec_err!("LabelExec has one input");
        };
        let (metric, sources) = (Arc::clone(&self.metric), Arc::clone(&self.sources));
        Ok(Arc::new(Self::new(input, metric, sources, self.schema())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    /// Filters on values may go on; a label may bear the name of an input column without being it.
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let allowed: HashSet<usize> = (0..self.sources.len())
            .filter(|i| matches!(self.sources[*i], Source::Column(_)))
            .collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(
            &filters,
            allowed,
            &self.input,
        )?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let labelling = Labelling {
            metric: Arc::clone(&self.metric),
            sources: Arc::clone(&self.sources),
            schema: self.schema(),
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batches = input.map(move |batch| {
            let timer = baseline.elapsed_compute().timer();
            let batch = labelling.apply(&batch?)?;
            timer.done();
            baseline.record_output(batch.num_rows());
            Ok(batch)
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

/// What one partition needs to label its batches.
struct Labelling {
    metric: Arc<Metric>,
    sources: Arc<[Source]>,
    schema: SchemaRef,
}

impl Labelling {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let mut rows = UInt32Builder::with_capacity(ids.len());
        // Rows of a series stand together, so an id is looked up once a run.
        for run in ids.chunk_by(|a, b| a == b) {
            match self.metric.row_of.get(&run[0]) {
                Some(row) => rows.append_value_n(*row, run.len()),
                None => rows.append_nulls(run.len()),
            }
        }
        let rows = rows.finish();
        let columns = self.sources.iter().map(|source| match *source {
            Source::Column(i) => Ok(Arc::clone(batch.column(i))),
            Source::Label(i) => take(self.metric.labels.column(i), &rows, None),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

//! Settling as a plan node: rows that stand in several files come out once, in the files' order.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, FilterDescription, FilterPushdownPhase,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream;
use tidegauge_tables::Table;

use super::cursor::Cursor;
use super::merge::Merge;
use super::rule::Rule;
use crate::columns::{identity, order};

/// One sorted stream that takes part in a merge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    /// Which child.
    pub(crate) child: usize,
    /// Which partition of it.
    pub(crate) partition: usize,
    /// The version of its rows.
    pub(crate) version: u64,
}

/// Streams to be merged with each other.
pub(crate) type Group = Vec<Input>;

/// Merges and settles groups of streams. Each partition works through its lane of groups in turn.
#[derive(Debug)]
pub(crate) struct SettleExec {
    table: Table,
    children: Vec<Arc<dyn ExecutionPlan>>,
    lanes: Vec<Vec<Group>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SettleExec {
    /// All children have one schema, which holds what settling needs.
    pub(crate) fn try_new(
        table: Table,
        children: Vec<Arc<dyn ExecutionPlan>>,
        lanes: Vec<Vec<Group>>,
    ) -> Result<Self> {
        let Some(first) = children.first() else {
            return exec_err!("settling `{}` needs something to settle", table.name());
        };
        let properties = properties(table, &first.schema(), &lanes)?;
        Ok(Self {
            table,
            children,
            lanes,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

fn properties(table: Table, schema: &SchemaRef, lanes: &[Vec<Group>]) -> Result<PlanProperties> {
    let mut equivalences = EquivalenceProperties::new(Arc::clone(schema));
    if lanes.iter().all(|lane| lane.len() == 1) {
        let sorted = order(table).iter().map(|name| {
            let column = col(name, schema)?;
            Ok(PhysicalSortExpr::new_default(column).asc().nulls_first())
        });
        equivalences.add_ordering(sorted.collect::<Result<Vec<_>>>()?);
    }
    Ok(PlanProperties::new(
        equivalences,
        Partitioning::UnknownPartitioning(lanes.len()),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for SettleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.lanes.iter().map(Vec::len).sum::<usize>();
        let streams = self.lanes.iter().flatten().map(Vec::len).sum::<usize>();
        let table = self.table.name();
        write!(
            f,
            "SettleExec: table={table}, groups={groups}, streams={streams}"
        )
    }
}

impl ExecutionPlan for SettleExec {
    fn name(&self) -> &'static str {
        "SettleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    /// Lanes name partitions of children, so nobody may cut those anew.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children.len()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let same = children.iter().zip(&self.children).all(|(new, old)| {
            new.properties().partitioning.partition_count()
                == old.properties().partitioning.partition_count()
        });
        if !same {
            return exec_err!("the inputs of SettleExec were partitioned anew");
        }
        let new = Self::try_new(self.table, children, self.lanes.clone())?;
        Ok(Arc::new(new))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    /// A filter on what identifies a row judges all its versions alike; any other must wait until
    /// it is known which of them counts.
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let schema = self.schema();
        let allowed: std::collections::HashSet<usize> = identity(self.table)
            .iter()
            .filter_map(|name| schema.index_of(name).ok())
            .collect();
        let mut description = FilterDescription::new();
        for child in &self.children {
            description =
                description.with_child(ChildFilterDescription::from_child_with_allowed_indices(
                    &filters,
                    allowed.clone(),
                    child,
                )?);
        }
        Ok(description)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let lane = Lane {
            rule: Rule::of(self.table),
            children: self.children.clone(),
            groups: self.lanes[partition].clone().into_iter(),
            merge: None,
            batch_rows: context.session_config().batch_size(),
            context,
            baseline: BaselineMetrics::new(&self.metrics, partition),
            settled: MetricBuilder::new(&self.metrics).counter("rows_settled", partition),
        };
        let batches = stream::try_unfold(lane, |mut lane| async move {
            Ok(lane.next().await?.map(|batch| (batch, lane)))
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
struct Lane {
    rule: Rule,
    children: Vec<Arc<dyn ExecutionPlan>>,
    groups: std::vec::IntoIter<Group>,
    merge: Option<Merge>,
    batch_rows: usize,
    context: Arc<TaskContext>,
    baseline: BaselineMetrics,
    settled: Count,
}

impl Lane {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(merge) = &mut self.merge else {
                let Some(group) = self.groups.next() else {
                    return Ok(None);
                };
                self.merge = Some(self.open(&group)?);
                continue;
            };
            match merge.next().await? {
                Some(batch) => {
                    self.baseline.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                None => {
                    self.settled.add(merge.settled);
                    self.merge = None;
                }
            }
        }
    }

    fn open(&self, group: &Group) -> Result<Merge> {
        let cursors = group.iter().map(|input| {
            let child = &self.children[input.child];
            let stream = child.execute(input.partition, Arc::clone(&self.context))?;
            Ok(Cursor::new(stream, self.rule, input.version))
        });
        Ok(Merge::new(
            self.rule,
            cursors.collect::<Result<_>>()?,
            self.batch_rows,
        ))
    }
}

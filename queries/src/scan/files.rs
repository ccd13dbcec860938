//! A scan of Parquet files: what is pushed into it, and what it says of itself.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::PushedDown;
use datafusion::physical_plan::metrics::MetricBuilder;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use tidegauge_tables::{DataFile, Table};

use super::value::ValueAdapterFactory;
use super::{Lake, project};
use crate::columns::{order, shape};

/// Conditions that all must hold.
type Filters = Vec<Arc<dyn PhysicalExpr>>;

/// Files of one table, a lane a partition.
pub(crate) struct FileScan<'a> {
    lake: &'a Lake,
    session: &'a dyn Session,
    table: Table,
    lanes: Vec<Vec<Arc<DataFile>>>,
    columns: &'a [&'a str],
    filters: &'a [Arc<dyn PhysicalExpr>],
    /// Whether nobody stands between the scan and the query.
    alone: bool,
    pruned: Option<(usize, usize)>,
}

impl<'a> FileScan<'a> {
    pub(crate) const fn new(
        lake: &'a Lake,
        session: &'a dyn Session,
        table: Table,
        lanes: Vec<Vec<Arc<DataFile>>>,
        columns: &'a [&'a str],
        filters: &'a [Arc<dyn PhysicalExpr>],
    ) -> Self {
        Self {
            lake,
            session,
            table,
            lanes,
            columns,
            filters,
            alone: true,
            pruned: None,
        }
    }

    /// For a merge: each lane stays a partition of its own, and rows that fail a filter may come
    /// out, as the caller filters again.
    pub(crate) const fn for_merge(mut self) -> Self {
        self.alone = false;
        self
    }

    /// Shows in `EXPLAIN ANALYZE` how many of the table's files were never looked at.
    pub(crate) const fn with_pruned(mut self, pruned: usize, of: usize) -> Self {
        self.pruned = Some((pruned, of));
        self
    }

    /// The plan. Filters that the source can't take are put above it.
    pub(crate) fn plan(self) -> Result<Arc<dyn ExecutionPlan>> {
        let (source, rest) = self.source()?;
        if let Some((pruned, of)) = self.pruned {
            let metrics = source.metrics();
            MetricBuilder::new(metrics)
                .global_counter("files_in_table")
                .add(of);
            MetricBuilder::new(metrics)
                .global_counter("files_pruned_by_log")
                .add(pruned);
        }
        let schema = &shape(self.table).scan;
        let indices = if rest.is_empty() {
            let indices = self.columns.iter().map(|name| Ok(schema.index_of(name)?));
            indices.collect::<Result<Vec<_>>>()?
        } else {
            (0..schema.fields().len()).collect()
        };
        let groups = self
            .lanes
            .iter()
            .map(|lane| FileGroup::new(lane.iter().map(|file| self.partitioned(file)).collect()));
        let config = FileScanConfigBuilder::new(self.lake.store.clone(), source)
            .with_file_groups(groups.collect())
            .with_statistics(self.statistics())
            .with_output_ordering(self.ordering(schema)?)
            .with_output_partitioning(self.pinned())
            .with_expr_adapter(Some(Arc::new(ValueAdapterFactory)))
            .with_projection_indices(Some(indices))?
            .build();
        let plan = DataSourceExec::from_data_source(config);
        if rest.is_empty() {
            return Ok(plan);
        }
        project(
            Arc::new(FilterExec::try_new(conjunction(rest), plan)?),
            self.columns,
        )
    }

    /// Where each lane must stay a partition, says so: else files may be split, and lanes may take
    /// files from each other.
    fn pinned(&self) -> Option<Partitioning> {
        let lanes = Partitioning::UnknownPartitioning(self.lanes.len());
        (!self.alone).then_some(lanes)
    }

    /// The source with all filters it takes, and those it doesn't.
    fn source(&self) -> Result<(Arc<dyn FileSource>, Filters)> {
        let config = self.session.config_options();
        let options = TableParquetOptions {
            global: config.execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source: Arc<dyn FileSource> = Arc::new(
            ParquetSource::new(shape(self.table).source.clone())
                .with_table_parquet_options(options)
                .with_parquet_file_reader_factory(Arc::clone(&self.lake.reader)),
        );
        if self.filters.is_empty() {
            return Ok((source, Vec::new()));
        }
        let pushed = source.try_pushdown_filters(self.filters.to_vec(), config)?;
        let rest = self.filters.iter().zip(&pushed.filters);
        let rest = rest.filter(|(_, pushed)| self.alone && matches!(pushed, PushedDown::No));
        let rest = rest.map(|(filter, _)| Arc::clone(filter)).collect();
        Ok((pushed.updated_node.unwrap_or(source), rest))
    }

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        let table = self.table.name();
        let path = match &*self.lake.prefix {
            "" => format!("{table}/{}", file.path),
            prefix => format!("{prefix}/{table}/{}", file.path),
        };
        PartitionedFile::new(path, file.bytes)
            .with_partition_values(vec![ScalarValue::Date32(Some(file.date))])
            .with_statistics(Arc::new(self.statistics_of(&[file], self.in_files())))
    }

    fn in_files(&self) -> &Schema {
        shape(self.table).source.file_schema()
    }

    fn statistics(&self) -> Statistics {
        let files: Vec<&DataFile> = self.lanes.iter().flatten().map(|f| &**f).collect();
        self.statistics_of(&files, &shape(self.table).scan)
    }

    /// What the log knows for certain: rows, and bounds of `time`.
    fn statistics_of(&self, files: &[&DataFile], schema: &Schema) -> Statistics {
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Exact(files.iter().map(|f| f.rows as usize).sum());
        let bytes = files.iter().map(|f| f.bytes as usize).sum();
        statistics.total_byte_size = Precision::Inexact(bytes);
        let bounds = files.iter().map(|f| (f.min_time, f.max_time));
        let bounds = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        if let (Ok(at), Some((min, max)), true) =
            (schema.index_of("time"), bounds, self.table.tier().is_some())
        {
            let time = |ms| ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into()));
            statistics.column_statistics[at] = ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(time(min)),
                max_value: Precision::Exact(time(max)),
                ..ColumnStatistics::new_unknown()
            };
        }
        statistics
    }

    fn ordering(&self, schema: &Schema) -> Result<Vec<LexOrdering>> {
        let sorted = order(self.table).iter().map(|name| {
            let column = col(name, schema)?;
            Ok(PhysicalSortExpr::new_default(column).asc().nulls_first())
        });
        let sorted = sorted.collect::<Result<Vec<_>>>()?;
        let one_a_lane = self.lanes.iter().all(|lane| lane.len() <= 1);
        Ok(LexOrdering::new(sorted)
            .filter(|_| one_a_lane)
            .into_iter()
            .collect())
    }
}

/// Deals `files` out to at most `lanes` lanes of about equal bytes.
pub(crate) fn into_lanes(mut files: Vec<Arc<DataFile>>, lanes: usize) -> Vec<Vec<Arc<DataFile>>> {
    if files.len() <= lanes {
        return files.into_iter().map(|file| vec![file]).collect();
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let mut dealt: Vec<(u64, Vec<Arc<DataFile>>)> = vec![(0, Vec::new()); lanes.max(1)];
    for file in files {
        let least = dealt.iter_mut().min_by_key(|lane| lane.0);
        let least = least.expect("there is at least one lane");
        least.0 += file.bytes;
        least.1.push(file);
    }
    dealt.into_iter().map(|(_, files)| files).collect()
}

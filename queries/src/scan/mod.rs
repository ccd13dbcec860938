//! Reading one table: files that stand alone are scanned as they are and in parallel; files that an
//! overlay may share rows with are merged and settled; dirty windows are computed from raw.

mod dirty;
mod files;
mod fold;
mod overlap;
mod prune;
mod rows;
mod value;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_expr::expressions::col as physical_col;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use tidegauge_tables::{DataFile, LakeState, Table};

use crate::columns::{needed_to_settle, shape};
use crate::settle::{COMPUTED, Group, Input, SettleExec};
use dirty::DirtyGroup;
use files::{FileScan, into_lanes};
use overlap::Piece;
use prune::{Bounds, may_match};

/// One version of a lake, and how to read its files.
#[derive(Debug)]
pub(crate) struct Lake {
    /// The state that a query sees from its first to its last row.
    pub(crate) state: Arc<LakeState>,
    /// Under which name the store is known to DataFusion.
    pub(crate) store: ObjectStoreUrl,
    /// The lake's folder in the store; empty or without a slash at its end.
    pub(crate) prefix: Arc<str>,
    /// Opens files, remembering their metadata.
    pub(crate) reader: Arc<dyn ParquetFileReaderFactory>,
}

/// What to read of a table.
pub(crate) struct Scan<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) session: &'a dyn Session,
    pub(crate) table: Table,
    /// Rows of this tenant only; none: of all.
    pub(crate) tenant: Option<&'a str>,
    /// Columns, in the order in which they come out.
    pub(crate) columns: &'a [&'a str],
    /// Filters that rows must pass, on [`crate::columns::identity`] alone.
    pub(crate) filters: &'a [Expr],
}

impl Scan<'_> {
    /// The plan that answers the scan, exactly.
    pub(crate) fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let scan_schema = &shape(self.table).scan;
        let mut filters = self.physical(self.filters.to_vec(), scan_schema)?;
        filters.extend(self.tenant_filter(scan_schema)?);
        let all = self.lake.state.files(self.table).count();
        let files = self.surviving(self.table, &filters)?;
        let dirty = self.dirty(&filters)?;
        let mut pieces: Vec<Piece> = files
            .iter()
            .map(|f| Piece::of_file(self.table, f))
            .collect();
        pieces.extend(dirty.iter().map(DirtyGroup::piece));
        let (alone, together) = overlap::partition(&pieces);
        if files.iter().all(|file| self.is_tenants_own(file)) {
            filters.truncate(self.filters.len());
        }
        let mut parts = Vec::new();
        if !alone.is_empty() {
            let alone = alone.iter().map(|&i| Arc::clone(&files[i])).collect();
            let lanes = into_lanes(alone, self.session.config().target_partitions());
            let scan = self.file_scan(self.table, lanes, self.columns, &filters);
            parts.push(scan.with_pruned(all - files.len(), all).plan()?);
        }
        if !together.is_empty() {
            let pruned = parts.is_empty().then_some((all - files.len(), all));
            parts.push(self.settled(&files, &dirty, &together, &filters, pruned)?);
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(self.projected(self.columns)?))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    /// Files of `table` that rows passing `filters` may stand in.
    fn surviving(
        &self,
        table: Table,
        filters: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Vec<Arc<DataFile>>> {
        let files: Vec<_> = self.lake.state.files(table).collect();
        let bounds: Vec<_> = files
            .iter()
            .map(|file| Bounds::of_file(table, file, self.tenant))
            .collect();
        let keep = may_match(&bounds, filters, &shape(table).scan)?;
        let kept = files.into_iter().zip(keep).filter(|(_, keep)| *keep);
        Ok(kept.map(|(file, _)| Arc::clone(file)).collect())
    }

    /// The groups of files that need settling, settled.
    fn settled(
        &self,
        files: &[Arc<DataFile>],
        dirty: &[DirtyGroup],
        together: &[Vec<usize>],
        filters: &[Arc<dyn PhysicalExpr>],
        pruned: Option<(usize, usize)>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.columns_to_settle();
        let schema = self.projected(&columns)?;
        let mut children: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let read: Vec<usize> = together
            .iter()
            .flatten()
            .copied()
            .filter(|i| *i < files.len())
            .collect();
        if !read.is_empty() {
            let lanes = read.iter().map(|&i| vec![Arc::clone(&files[i])]).collect();
            let mut scan = self
                .file_scan(self.table, lanes, &columns, filters)
                .for_merge();
            if let Some((pruned, all)) = pruned {
                scan = scan.with_pruned(pruned, all);
            }
            children.push(scan.plan()?);
        }
        if !dirty.is_empty() {
            children.push(self.computed(dirty, &schema)?);
        }
        let input = |&i: &usize| match i.checked_sub(files.len()) {
            None => Input {
                child: 0,
                partition: read
                    .iter()
                    .position(|r| *r == i)
                    .expect("what is merged is read"),
                version: files[i].version,
            },
            Some(partition) => Input {
                child: children.len() - 1,
                partition,
                version: COMPUTED,
            },
        };
        let groups: Vec<Group> = together
            .iter()
            .map(|group| group.iter().map(input).collect())
            .collect();
        let lanes = deal(groups, self.session.config().target_partitions());
        let mut plan: Arc<dyn ExecutionPlan> =
            Arc::new(SettleExec::try_new(self.table, children, lanes)?);
        // All that goes in is not filtered everywhere: rows computed from raw are not, and a source
        // may have refused a filter. What a filter may see here is the same before and after.
        let mut all_filters = self.physical(self.filters.to_vec(), &schema)?;
        if filters.len() > self.filters.len() || !dirty.is_empty() {
            all_filters.extend(self.tenant_filter(&schema)?);
        }
        if !all_filters.is_empty() {
            plan = Arc::new(FilterExec::try_new(conjunction(all_filters), plan)?);
        }
        project(plan, self.columns)
    }

    /// What the output, settling and filters need, in the order of a scan.
    fn columns_to_settle(&self) -> Vec<&'static str> {
        let needed = needed_to_settle(self.table);
        let fields = shape(self.table).scan.fields();
        let wanted = |name: &str| {
            self.columns.contains(&name)
                || needed.contains(&name)
                || self
                    .filters
                    .iter()
                    .any(|f| f.column_refs().iter().any(|c| c.name == name))
        };
        fields
            .iter()
            .map(|f| f.name().as_str())
            .filter(|name| wanted(name))
            .collect()
    }

    fn projected(&self, columns: &[&str]) -> Result<SchemaRef> {
        let schema = &shape(self.table).scan;
        let fields = columns
            .iter()
            .map(|name| Ok(schema.field_with_name(name)?.clone()));
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
    }

    fn physical(
        &self,
        filters: Vec<Expr>,
        schema: &SchemaRef,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(Arc::clone(schema))?;
        let physical = filters
            .into_iter()
            .map(|f| self.session.create_physical_expr(f, &schema));
        physical.collect()
    }

    fn tenant_filter(&self, schema: &SchemaRef) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let filter = self.tenant.map(|tenant| col("tenant").eq(lit(tenant)));
        self.physical(filter.into_iter().collect(), schema)
    }

    fn is_tenants_own(&self, file: &DataFile) -> bool {
        let only = |tenant: &str| file.min_key.tenant == tenant && file.max_key.tenant == tenant;
        self.tenant.is_none_or(only)
    }

    fn file_scan<'b>(
        &'b self,
        table: Table,
        lanes: Vec<Vec<Arc<DataFile>>>,
        columns: &'b [&'b str],
        filters: &'b [Arc<dyn PhysicalExpr>],
    ) -> FileScan<'b> {
        FileScan::new(self.lake, self.session, table, lanes, columns, filters)
    }
}

/// Deals `groups` out to at most `lanes` lanes, in order.
fn deal(groups: Vec<Group>, lanes: usize) -> Vec<Vec<Group>> {
    let mut dealt: Vec<Vec<Group>> = vec![Vec::new(); groups.len().min(lanes.max(1))];
    let count = dealt.len();
    for (i, group) in groups.into_iter().enumerate() {
        dealt[i % count].push(group);
    }
    dealt
}

/// `columns` of `plan`, in their order.
pub(crate) fn project(
    plan: Arc<dyn ExecutionPlan>,
    columns: &[&str],
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    if schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .eq(columns.iter().copied())
    {
        return Ok(plan);
    }
    let exprs = columns
        .iter()
        .map(|name| Ok((physical_col(name, &schema)?, (*name).to_owned())));
    Ok(Arc::new(ProjectionExec::try_new(
        exprs.collect::<Result<Vec<_>>>()?,
        plan,
    )?))
}

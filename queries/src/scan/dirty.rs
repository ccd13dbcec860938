//! Dirty windows: closed ones whose rollup rows can't be trusted, or may not exist, until upkeep has
//! recomputed them. Until then their rows are computed from raw.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use tidegauge_model::floor;
use tidegauge_tables::{DataFile, Table};

use super::Scan;
use super::fold::FoldExec;
use super::overlap::Piece;
use super::prune::{Bounds, may_match};
use crate::columns::{needed_to_settle, shape};
use crate::settle::{Input, SettleExec};

/// Dirty windows that share files of the raw tier.
#[derive(Debug)]
pub(crate) struct DirtyGroup {
    /// Their starts, ascending.
    windows: Vec<i64>,
    /// All files with samples in them.
    files: Vec<Arc<DataFile>>,
}

impl DirtyGroup {
    /// How its rows stand to those of files.
    pub(crate) fn piece(&self) -> Piece {
        let ends = self.windows.first().zip(self.windows.last());
        let (first, last) = ends.expect("a group has windows");
        Piece {
            span: (*first, *last),
            keys: None,
            overlay: true,
        }
    }
}

impl Scan<'_> {
    /// The closed dirty windows whose rows may pass `filters`, by the raw files they share.
    pub(crate) fn dirty(&self, filters: &[Arc<dyn PhysicalExpr>]) -> Result<Vec<DirtyGroup>> {
        let state = &self.lake.state;
        let (Some(width_ms), Some(watermark)) = (
            self.table.tier().and_then(|t| t.width_ms()),
            state.watermark,
        ) else {
            return Ok(Vec::new());
        };
        let starts = state.dirty.keys().map(|minute| floor(*minute, width_ms));
        let starts: BTreeSet<i64> = starts.filter(|s| s + width_ms <= watermark).collect();
        let bounds: Vec<_> = starts.iter().map(|s| Bounds::of_window(*s)).collect();
        let keep = may_match(&bounds, filters, &shape(self.table).scan)?;
        let windows = starts.into_iter().zip(keep).filter(|(_, keep)| *keep);
        let windows: Vec<i64> = windows.map(|(start, _)| start).collect();
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let raw_schema = &shape(Table::Samples).scan;
        let mut on_series = self.physical(self.filters_on_series(), raw_schema)?;
        on_series.extend(self.tenant_filter(raw_schema)?);
        let raw = self.surviving(Table::Samples, &on_series)?;
        Ok(group(&windows, width_ms, &raw))
    }

    /// The filters that mean the same for a window's samples as for its row.
    fn filters_on_series(&self) -> Vec<Expr> {
        let kept = self.filters.iter().filter(|filter| {
            let columns = filter.column_refs();
            columns
                .iter()
                .all(|c| ["tenant", "date", "name", "series_id"].contains(&c.name.as_str()))
        });
        kept.cloned().collect()
    }

    /// Rows of `groups`, a partition each, in `schema`.
    pub(crate) fn computed(
        &self,
        groups: &[DirtyGroup],
        schema: &SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let width_ms = self.table.tier().and_then(|t| t.width_ms());
        let width_ms = width_ms.expect("only rollups have dirty windows");
        let from = groups.iter().flat_map(|g| g.windows.first()).min();
        let to = groups.iter().flat_map(|g| g.windows.last()).max();
        let (from, to) = from.zip(to).expect("there are dirty windows");
        let mut filters = self.filters_on_series();
        filters.push(col("time").gt_eq(time(*from)));
        filters.push(col("time").lt(time(to + width_ms)));
        let raw_schema = &shape(Table::Samples).scan;
        let mut filters = self.physical(filters, raw_schema)?;
        filters.extend(self.tenant_filter(raw_schema)?);
        let lanes: Vec<_> = groups
            .iter()
            .flat_map(|g| &g.files)
            .map(|f| vec![Arc::clone(f)])
            .collect();
        let columns = needed_to_settle(Table::Samples);
        let samples = self
            .file_scan(Table::Samples, lanes, columns, &filters)
            .for_merge()
            .plan()?;
        let mut next = 0..;
        let mut input = |file: &Arc<DataFile>| Input {
            child: 0,
            partition: next.next().expect("counting does not end"),
            version: file.version,
        };
        let lanes = groups
            .iter()
            .map(|g| vec![g.files.iter().map(&mut input).collect()]);
        let settled = SettleExec::try_new(Table::Samples, vec![samples], lanes.collect())?;
        let windows = groups.iter().map(|g| g.windows.clone()).collect();
        let schema = Arc::clone(schema);
        Ok(Arc::new(FoldExec::new(
            Arc::new(settled),
            Arc::new(windows),
            width_ms,
            schema,
        )))
    }
}

fn time(ms: i64) -> Expr {
    lit(ScalarValue::TimestampMillisecond(
        Some(ms),
        Some("UTC".into()),
    ))
}

/// Splits `windows` (starts, ascending) so that no file has samples in two groups. Windows without
/// any file are left out: what raw no longer holds, the row must tell.
fn group(windows: &[i64], width_ms: i64, files: &[Arc<DataFile>]) -> Vec<DirtyGroup> {
    let mut depth = vec![0_i64; windows.len() + 1];
    let mut touched = vec![0_i64; windows.len() + 1];
    let ranges: Vec<(usize, usize)> = files
        .iter()
        .map(|file| {
            let from = windows.partition_point(|start| start + width_ms <= file.min_time);
            let to = windows.partition_point(|start| *start <= file.max_time);
            if from < to {
                depth[from] += 1;
                depth[to - 1] -= 1;
                touched[from] += 1;
                touched[to] -= 1;
            }
            (from, to)
        })
        .collect();
    let mut groups: Vec<DirtyGroup> = Vec::new();
    let mut group_of = vec![usize::MAX; windows.len()];
    let (mut joined, mut holding) = (0, 0);
    let mut goes_on = false;
    for (i, start) in windows.iter().enumerate() {
        holding += touched[i];
        if holding > 0 {
            if !goes_on {
                groups.push(DirtyGroup {
                    windows: Vec::new(),
                    files: Vec::new(),
                });
            }
            group_of[i] = groups.len() - 1;
            groups[group_of[i]].windows.push(*start);
        }
        joined += depth[i];
        goes_on = joined > 0;
    }
    for (file, (from, to)) in files.iter().zip(ranges) {
        if from < to {
            groups[group_of[from]].files.push(Arc::clone(file));
        }
    }
    groups
}

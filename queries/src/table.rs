//! The base tables as DataFusion sees them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidegauge_tables::Table;

use crate::columns::{identity, shape};
use crate::scan::{Lake, Scan};

/// The schema of the base tables, which need not be named.
pub(crate) const BASE: &str = "lake";

/// One table at one version of the lake, of one tenant or of all.
#[derive(Debug)]
pub(crate) struct BaseTable {
    pub(crate) lake: Arc<Lake>,
    pub(crate) table: Table,
    pub(crate) tenant: Option<Arc<str>>,
}

#[async_trait]
impl TableProvider for BaseTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&shape(self.table).sql)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| {
            if is_only_on(filter, identity(self.table)) {
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
        let fields = shape(self.table).sql.fields();
        let columns: Vec<&str> = match projection {
            Some(indices) => indices.iter().map(|i| fields[*i].name().as_str()).collect(),
            None => fields.iter().map(|field| field.name().as_str()).collect(),
        };
        let scan = Scan {
            lake: &self.lake,
            session,
            table: self.table,
            tenant: self.tenant.as_deref(),
            columns: &columns,
            filters,
        };
        scan.plan()
    }
}

/// Whether `filter` can be decided from `columns` alone, the same way each time.
pub(crate) fn is_only_on(filter: &Expr, columns: &[&str]) -> bool {
    let references = filter.column_refs();
    let runs_a_query = |expr: &Expr| {
        let found = matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
        );
        Ok(found)
    };
    !references.is_empty()
        && references
            .iter()
            .all(|c| columns.contains(&c.name.as_str()))
        && !filter.is_volatile()
        && !filter.exists(runs_a_query).unwrap_or(true)
}

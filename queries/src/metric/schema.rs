//! A tier's schema in SQL: one table per metric, found in the `series` table when it is asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;
use tidegauge_tables::Table;

use super::cache::MetricCache;
use super::table::MetricTable;
use crate::scan::Lake;

/// The metrics of one tenant in one tier.
pub(crate) struct MetricSchema {
    pub(crate) lake: Arc<Lake>,
    pub(crate) tier: Table,
    pub(crate) tenant: Arc<str>,
    pub(crate) cache: Arc<MetricCache>,
    /// A session to read `series` with.
    pub(crate) session: Arc<SessionState>,
    /// All names, where a query asks for a list of tables.
    pub(crate) names: Option<Arc<BTreeSet<String>>>,
}

impl fmt::Debug for MetricSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics of {} in {}", self.tenant, self.tier.name())
    }
}

#[async_trait]
impl SchemaProvider for MetricSchema {
    fn table_names(&self) -> Vec<String> {
        self.names
            .iter()
            .flat_map(|names| names.iter().cloned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let session: &SessionState = &self.session;
        let metric = self
            .cache
            .metric(&self.lake, session, &self.tenant, name)
            .await?;
        Ok(metric.map(|metric| {
            let (lake, tenant) = (Arc::clone(&self.lake), Arc::clone(&self.tenant));
            Arc::new(MetricTable::new(lake, self.tier, tenant, name, metric)) as _
        }))
    }

    /// Asked of each name in a list of tables: their series are not needed for that.
    async fn table_type(&self, _: &str) -> Result<Option<TableType>> {
        Ok(Some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names
            .as_ref()
            .is_some_and(|names| names.contains(name))
    }
}

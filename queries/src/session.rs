//! What DataFusion needs to know for one query: tables, memory, and how to read.

use std::sync::Arc;

use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use object_store::ObjectStore;
use tidegauge_tables::{LakeState, Table};
use tokio::sync::watch;

use crate::bounded;
use crate::depth;
use crate::error::QueryError;
use crate::extremes;
use crate::guard;
use crate::metric::{METRIC_SCHEMAS, MetricCache, MetricSchema};
use crate::scan::Lake;
use crate::settings::EngineSettings;
use crate::suggest::Known;
use crate::table::{BASE, BaseTable};

/// The one catalog.
const CATALOG: &str = "tidegauge";

/// Makes a session for each query, over the newest state.
#[derive(Debug)]
pub(crate) struct Sessions {
    lake: watch::Receiver<Arc<LakeState>>,
    store: ObjectStoreUrl,
    prefix: Arc<str>,
    reader: Arc<dyn ParquetFileReaderFactory>,
    runtime: RuntimeEnv,
    base: SessionState,
    metrics: Arc<MetricCache>,
    all_tenants: bool,
}

impl Sessions {
    pub(crate) fn new(
        settings: &EngineSettings,
        threads: usize,
        lake: watch::Receiver<Arc<LakeState>>,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Result<Self> {
        let url = ObjectStoreUrl::parse("lake://tiers")?;
        let runtime = RuntimeEnvBuilder::new()
            .with_metadata_cache_limit(settings.metadata_cache_bytes)
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .build()?;
        runtime.register_object_store(url.as_ref(), Arc::clone(&store));
        let metadata = runtime.cache_manager.get_file_metadata_cache();
        let mut base = SessionStateBuilder::new()
            .with_config(config(threads))
            .with_runtime_env(Arc::new(runtime.clone()))
            .with_default_features()
            .build();
        for function in extremes::extremes() {
            base.register_udaf(function)?;
        }
        Ok(Self {
            lake,
            store: url,
            prefix: prefix.trim_matches('/').into(),
            reader: Arc::new(CachedParquetFileReaderFactory::new(store, metadata)),
            runtime,
            base,
            metrics: Arc::new(MetricCache::new(settings.cached_series)),
            all_tenants: settings.all_tenants,
        })
    }

    /// Plans `query` over the newest state, for `tenant`, within `memory_bytes`.
    pub(crate) async fn plan(
        &self,
        query: &str,
        tenant: &Arc<str>,
        memory_bytes: usize,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), QueryError> {
        let failed = |error| QueryError::from_datafusion(&error, memory_bytes);
        let statement = guard::parse(query)?;
        let session = self
            .session(&statement, tenant, memory_bytes)
            .await
            .map_err(failed)?;
        let plan = match session.statement_to_plan(statement.clone()).await {
            Ok(plan) => plan,
            Err(error) => {
                let hint = self.hint(&session, &statement, tenant).await;
                return Err(hint.unwrap_or_else(|| failed(error)));
            }
        };
        guard::verify(&plan)?;
        depth::check_types(plan.schema().as_arrow())?;
        let plan = session.create_physical_plan(&plan).await.map_err(failed)?;
        Ok((plan, session.task_ctx()))
    }

    async fn session(
        &self,
        statement: &Statement,
        tenant: &Arc<str>,
        memory_bytes: usize,
    ) -> Result<SessionState> {
        let lake = Arc::new(self.lake());
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(Arc::clone(&memory))
            .build_arc()?;
        let reading = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_runtime_env(Arc::clone(&runtime))
            .build();
        let reading = Arc::new(reading);
        let names = if asks_for_names(&reading, statement)? {
            Some(self.metrics.names(&lake, &*reading, tenant).await?)
        } else {
            None
        };
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(BASE, self.base_schema(&lake, tenant)?)?;
        let there = tables(&lake.state);
        for (name, tier) in METRIC_SCHEMAS {
            if !there.contains(&tier) {
                continue;
            }
            let schema = MetricSchema {
                lake: Arc::clone(&lake),
                tier,
                tenant: Arc::clone(tenant),
                cache: Arc::clone(&self.metrics),
                session: Arc::clone(&reading),
                names: names.clone(),
            };
            catalog.register_schema(name, Arc::new(schema))?;
        }
        let catalogs = MemoryCatalogProviderList::new();
        datafusion::catalog::CatalogProviderList::register_catalog(
            &catalogs,
            CATALOG.into(),
            Arc::new(catalog),
        );
        let session = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::new(catalogs));
        let mut session = session.build();
        bounded::bound(&mut session, &memory)?;
        // From here on `now()` stands still.
        session.mark_start_execution();
        Ok(session)
    }

    fn lake(&self) -> Lake {
        Lake {
            state: Arc::clone(&self.lake.borrow()),
            store: self.store.clone(),
            prefix: Arc::clone(&self.prefix),
            reader: Arc::clone(&self.reader),
        }
    }

    fn base_schema(&self, lake: &Arc<Lake>, tenant: &Arc<str>) -> Result<Arc<dyn SchemaProvider>> {
        let schema = MemorySchemaProvider::new();
        for table in tables(&lake.state) {
            let tenant = (!self.all_tenants).then(|| Arc::clone(tenant));
            let base = BaseTable {
                lake: Arc::clone(lake),
                table,
                tenant,
            };
            schema.register_table(table.name().into(), Arc::new(base))?;
        }
        Ok(Arc::new(schema))
    }

    /// A better message for a table that is not there.
    async fn hint(
        &self,
        session: &SessionState,
        statement: &Statement,
        tenant: &Arc<str>,
    ) -> Option<QueryError> {
        let references = session.resolve_table_references(statement).ok()?;
        let lake = self.lake();
        let metrics = self.metrics.names(&lake, session, tenant).await.ok()?;
        let known = Known {
            tables: &tables(&lake.state),
            metrics: &metrics,
            tenant,
        };
        let found = references.iter().find_map(|table| known.amend(table));
        found.map(QueryError::Invalid)
    }
}

/// The tables that are there: 5-minute rows only where they have been configured.
fn tables(state: &LakeState) -> Vec<Table> {
    let there = |table: &Table| *table != Table::Rollup5m || state.tables.contains_key(table);
    Table::ALL.into_iter().filter(there).collect()
}

/// Lists of tables need all names of metrics, other queries only those they name.
/// SHOW is answered from `information_schema` and counts as naming it.
fn asks_for_names(session: &SessionState, statement: &Statement) -> Result<bool> {
    let references = session.resolve_table_references(statement)?;
    let lists = |table: &TableReference| table.schema() == Some(INFORMATION_SCHEMA);
    Ok(references.iter().any(lists))
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, BASE)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    // What `min` and `max` hold may be NaN, and no number lies beyond that.
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    config
}

//! Series of metrics, kept across queries while the `series` table stands still.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use parking_lot::Mutex;
use tidegauge_tables::Table;

use super::series::Metric;
use super::values::RESERVED;
use crate::scan::{Lake, Scan};

/// Bounded by the number of series held: what was loaded longest ago goes first.
#[derive(Debug)]
pub(crate) struct MetricCache {
    most_series: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The version of `series` that all of this is of.
    version: u64,
    clock: u64,
    series: usize,
    metrics: HashMap<(Arc<str>, String), (u64, Arc<Metric>)>,
    names: HashMap<Arc<str>, Arc<BTreeSet<String>>>,
}

impl Held {
    /// What is held of `version`: nothing yet if it is new, none if it has passed.
    fn at(&mut self, version: u64) -> Option<&mut Self> {
        if self.version < version {
            *self = Self {
                version,
                ..Self::default()
            };
        }
        (self.version == version).then_some(self)
    }
}

impl MetricCache {
    pub(crate) fn new(most_series: usize) -> Self {
        Self {
            most_series,
            held: Mutex::default(),
        }
    }

    /// The series of metric `name`; none if there is no such metric.
    pub(crate) async fn metric(
        &self,
        lake: &Lake,
        session: &dyn Session,
        tenant: &Arc<str>,
        name: &str,
    ) -> Result<Option<Arc<Metric>>> {
        let version = version(lake);
        let key = (Arc::clone(tenant), name.to_owned());
        let held = self
            .held
            .lock()
            .at(version)
            .and_then(|held| held.metrics.get(&key).cloned());
        if let Some((_, metric)) = held {
            return Ok(Some(metric));
        }
        let Some(metric) = Metric::load(lake, session, tenant, name, RESERVED).await? else {
            return Ok(None);
        };
        let metric = Arc::new(metric);
        self.keep(version, key, &metric);
        Ok(Some(metric))
    }

    fn keep(&self, version: u64, key: (Arc<str>, String), metric: &Arc<Metric>) {
        let mut held = self.held.lock();
        let Some(held) = held.at(version) else {
            return;
        };
        held.clock += 1;
        held.series += metric.ids.len();
        if let Some((_, old)) = held.metrics.insert(key, (held.clock, Arc::clone(metric))) {
            held.series -= old.ids.len();
        }
        while held.series > self.most_series {
            let oldest = held.metrics.iter().min_by_key(|(_, (clock, _))| *clock);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some((_, old)) = held.metrics.remove(&key) {
                held.series -= old.ids.len();
            }
        }
    }

    /// The names of all metrics of `tenant`.
    pub(crate) async fn names(
        &self,
        lake: &Lake,
        session: &dyn Session,
        tenant: &Arc<str>,
    ) -> Result<Arc<BTreeSet<String>>> {
        let version = version(lake);
        let held = self
            .held
            .lock()
            .at(version)
            .and_then(|held| held.names.get(tenant).cloned());
        if let Some(names) = held {
            return Ok(names);
        }
        let names = Arc::new(read_names(lake, session, tenant).await?);
        if let Some(held) = self.held.lock().at(version) {
            held.names.insert(Arc::clone(tenant), Arc::clone(&names));
        }
        Ok(names)
    }
}

fn version(lake: &Lake) -> u64 {
    lake.state
        .tables
        .get(&Table::Series)
        .map_or(0, |table| table.version)
}

async fn read_names(lake: &Lake, session: &dyn Session, tenant: &str) -> Result<BTreeSet<String>> {
    let scan = Scan {
        lake,
        session,
        table: Table::Series,
        tenant: Some(tenant),
        columns: &["name"],
        filters: &[],
    };
    let mut batches = execute_stream(scan.plan()?, session.task_ctx())?;
    let mut names = BTreeSet::new();
    while let Some(batch) = batches.next().await.transpose()? {
        let mut last = None;
        for name in batch.column(0).as_string_view().iter().flatten() {
            if last != Some(name) && !names.contains(name) {
                names.insert(name.to_owned());
            }
            last = Some(name);
        }
    }
    Ok(names)
}

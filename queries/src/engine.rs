//! The engine: takes a query, gives its rows.

use std::sync::Arc;

use object_store::ObjectStore;
use tidegauge_tables::LakeState;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

use crate::error::QueryError;
use crate::run::{Answer, Job};
use crate::session::Sessions;
use crate::settings::{EngineSettings, Limits, QueryOptions};

/// A long chain of conditions is planned by deep recursion; only what is touched of a stack costs memory.
pub(crate) const STACK_BYTES: usize = 128 << 20;

/// Answers queries over a lake. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Engine {
    sessions: Arc<Sessions>,
    slots: Arc<Semaphore>,
    settings: EngineSettings,
    /// Taken only when the engine is dropped. Queries have threads of their own, so that they never
    /// stall those who await them.
    runtime: Option<Runtime>,
}

impl Engine {
    /// An engine over the lake in folder `prefix` of `store`, whose newest state `lake` tells.
    ///
    /// # Errors
    /// If threads can't be started.
    pub fn new(
        settings: EngineSettings,
        lake: watch::Receiver<Arc<LakeState>>,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Result<Self, QueryError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            QueryError::Failed(format!("starting the query engine, {what}: {error}"))
        };
        let threads = match settings.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            threads => threads,
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(spare(threads, settings.concurrent))
            .thread_name("tidegauge-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| failed("its threads", &e))?;
        let sessions = Sessions::new(&settings, threads, lake, store, prefix)
            .map_err(|e| failed("its session", &e))?;
        Ok(Self {
            sessions: Arc::new(sessions),
            slots: Arc::new(Semaphore::new(settings.concurrent)),
            settings,
            runtime: Some(runtime),
        })
    }

    /// Answers one query. Dropping the future or the answer stops the query.
    ///
    /// # Errors
    /// If `query` can't be planned; once rows flow, errors come among them.
    pub async fn sql(&self, query: &str, options: &QueryOptions) -> Result<Answer, QueryError> {
        let slots = Arc::clone(&self.slots);
        let Ok(slot) = slots.try_acquire_owned() else {
            return Err(QueryError::Busy(self.settings.concurrent));
        };
        let tenant = options.tenant.as_ref().unwrap_or(&self.settings.tenant);
        let job = Job {
            sessions: Arc::clone(&self.sessions),
            query: query.into(),
            tenant: tenant.as_str().into(),
            limits: Limits::new(&self.settings, options),
            slot,
        };
        let runtime = self
            .runtime
            .as_ref()
            .expect("an engine in use has its threads");
        job.start(runtime.handle()).await
    }

    /// How many queries are at work.
    #[must_use]
    pub fn running(&self) -> usize {
        self.settings.concurrent - self.slots.available_permits()
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &EngineSettings {
        &self.settings
    }
}

impl Drop for Engine {
    /// Threads end by themselves: waiting for them is not allowed where an engine may be dropped.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How many threads there are for queries that each keep `threads` busy. Some operators, joins most of
/// all, work for minutes without a pause in which they could be ended; whatever they hold, another query
/// finds a thread, and the system shares out the cores.
fn spare(threads: usize, concurrent: usize) -> usize {
    const MOST: usize = 128;
    threads
        .saturating_mul(concurrent.saturating_add(1))
        .clamp(threads, MOST.max(threads))
}

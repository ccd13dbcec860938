//! Running the graph: workers, processes, and what is outside of them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use tidegauge_model::{SourceControl, SourceEvent};
use timely::CommunicationConfig;
use timely::worker::Worker;

use crate::graph::{Ends, build};
use crate::open::Tick;
use crate::operators::mint::MintEnds;
use crate::outlet::{Draft, Outlet, Receipt};
use crate::recovered::Recovered;
use crate::settings::Settings;
use crate::stats::Board;
use crate::wake::Bell;

/// How many workers there are and where. Every process is given the same `hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Worker threads a process.
    pub workers: usize,
    /// Which of `hosts` this process is.
    pub process: usize,
    /// `host:port` of each process; empty for one process alone.
    pub hosts: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            workers: 1,
            process: 0,
            hosts: Vec::new(),
        }
    }
}

impl Cluster {
    /// Workers in all processes.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.workers * self.hosts.len().max(1)
    }

    /// The indices of this process' workers.
    #[must_use]
    pub fn indices(&self) -> std::ops::Range<usize> {
        self.process * self.workers..(self.process + 1) * self.workers
    }

    fn communication(&self) -> CommunicationConfig {
        match (self.hosts.len(), self.workers) {
            (0 | 1, 1) => CommunicationConfig::Thread,
            (0 | 1, workers) => CommunicationConfig::Process(workers),
            (_, threads) => CommunicationConfig::Cluster {
                threads,
                process: self.process,
                addresses: self.hosts.clone(),
                report: false,
                zerocopy: false,
            },
        }
    }
}

/// What one worker of this process stands between.
#[derive(Debug)]
pub struct WorkerEnds<R> {
    /// What its sources tell.
    pub events: Receiver<SourceEvent>,
    /// Rung by its sources.
    pub events_bell: Bell,
    /// What is asked of its sources.
    pub controls: Sender<SourceControl>,
    /// Its open windows.
    pub recovered: Recovered,
    /// Where its seals go.
    pub outlet: Outlet<R>,
}

/// What the process with worker 0 stands between besides.
#[derive(Debug)]
pub struct Lead<R> {
    /// What drives epochs on.
    pub ticks: Receiver<Tick>,
    /// Rung after each tick.
    pub ticks_bell: Bell,
    /// Where whole commits go, in order.
    pub drafts: Sender<Draft<R>>,
    /// Every epoch before this is committed: moved by the committer after each draft.
    pub committed: Arc<AtomicU64>,
}

/// Why the dataflow could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The workers could not be started.
    #[error(
        "could not start the dataflow's workers: {0}; check [cluster] hosts and that each process can listen on its own"
    )]
    Start(String),
    /// A worker panicked, as it does when another process of the cluster is gone.
    #[error("a worker of the dataflow stopped: {0}; the processes of a cluster restart together")]
    Worker(String),
}

/// Runs the workers of this process to the end: until a tick stops them, or one fails. It blocks.
/// `lead` is process 0's alone.
///
/// # Errors
/// If workers can't be started, or one of any process fails.
///
/// # Panics
/// If `workers` has not one entry for each worker of this process, or another than process 0 leads.
pub fn run<R: Receipt>(
    cluster: &Cluster,
    settings: &Settings,
    workers: Vec<WorkerEnds<R>>,
    lead: Option<Lead<R>>,
    board: &Board,
) -> Result<(), RunError> {
    assert_eq!(
        workers.len(),
        cluster.workers,
        "ends for each worker of the process"
    );
    assert_eq!(
        lead.is_some(),
        cluster.process == 0,
        "process 0 leads, and no other"
    );
    let config = timely::Config {
        communication: cluster.communication(),
        worker: timely::WorkerConfig::default(),
    };
    let ends: Vec<Mutex<Option<WorkerEnds<R>>>> = workers
        .into_iter()
        .map(|ends| Mutex::new(Some(ends)))
        .collect();
    let lead = Mutex::new(lead);
    let (settings, board, first) = (settings.clone(), board.clone(), cluster.indices().start);
    let body = move |worker: &mut Worker| {
        let taken = |slot: &Mutex<Option<WorkerEnds<R>>>| {
            slot.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .expect("taken once")
        };
        let WorkerEnds {
            events,
            events_bell,
            controls,
            recovered,
            outlet,
        } = taken(&ends[worker.index() - first]);
        let lead = (worker.index() == 0).then(|| {
            lead.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .expect("taken once")
        });
        let (mint, drafts) = lead.map_or((None, None), |lead| {
            let Lead {
                ticks,
                ticks_bell,
                drafts,
                committed,
            } = lead;
            let mint = MintEnds {
                ticks,
                bell: ticks_bell,
                committed,
                board: board.clone(),
            };
            (Some(mint), Some(drafts))
        });
        let board = board.clone();
        build(
            worker,
            &settings,
            Ends {
                events,
                events_bell,
                controls,
                recovered,
                outlet,
                mint,
                drafts,
                board,
            },
        );
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
    };
    // Each worker tells how it ended: joining them would wait for the first, which would wait for ever
    // for one that has panicked.
    let (ended, endings) = crossbeam_channel::bounded(cluster.workers);
    let body = move |worker: &mut Worker| {
        let outcome = catch_unwind(AssertUnwindSafe(|| body(worker)));
        let fault = outcome.as_ref().err().map(|panic| told(&**panic));
        // Nobody listens once another has panicked.
        let _ = ended.send(fault);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    };
    // A lost process makes timely's network threads panic, and whoever joins them.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let guards = timely::execute(config, body).map_err(RunError::Start)?;
        if let Some(fault) = endings.iter().take(cluster.workers).flatten().next() {
            // What is left of them ends with the program.
            std::mem::forget(guards);
            return Err(RunError::Worker(fault));
        }
        for worker in guards.join() {
            worker.map_err(RunError::Worker)?;
        }
        Ok(())
    }));
    outcome.unwrap_or_else(|panic| Err(RunError::Worker(told(&*panic))))
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned())
        .unwrap_or_default()
}

//! Starting and stopping.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use object_store::ObjectStore;
use tidegauge_dataflow::{
    Bell, Board, Cluster, Lead, Outlet, Recovered, Settings, WorkerEnds, run,
};
use tidegauge_kafka::{KafkaSource, WorkerShare};
use tidegauge_lake::{Clock, Committer, EncodeSettings};
use tidegauge_model::{Partition, PartitionCut, SourceControl};
use tidegauge_tables::LakeState;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::commits::Commits;
use crate::error::StreamError;
use crate::recover::recover;
use crate::sink::{Sink, Written};
use crate::status::{Status, Tally};
use crate::thread::{Report, spawn};
use crate::ticker::{self, Ask};

/// Events that may wait between a source and its worker; each holds at most what one poll round of
/// the source takes.
const EVENTS_WAITING: usize = 64;

/// Seals that may wait for a sink, and commits for the committer: the minter lets no more than two
/// be on their way.
const SEALS_WAITING: usize = 2;

/// What a stream is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where samples come from.
    pub kafka: tidegauge_kafka::Settings,
    /// Epochs, commits and watermarks.
    pub dataflow: Settings,
    /// Workers and processes.
    pub cluster: Cluster,
    /// How files are written.
    pub encode: EncodeSettings,
    /// Where the lake lies.
    pub store: Arc<dyn ObjectStore>,
    /// What this process is to the lake.
    pub role: Role,
    /// The clock of everything.
    pub clock: Arc<dyn Clock>,
}

/// What a process is to the lake.
#[derive(Clone, Debug)]
pub enum Role {
    /// It commits: process 0 of a cluster, or one process alone.
    Lead(Committer),
    /// It writes files that process 0 commits, and follows the lake.
    Follower(watch::Receiver<Arc<LakeState>>),
}

impl Role {
    /// The lake's newest state.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<Arc<LakeState>> {
        match self {
            Self::Lead(committer) => committer.watch(),
            Self::Follower(newest) => newest.clone(),
        }
    }
}

/// A running stream. Dropping it without [`Stream::stop`] leaves its threads running.
pub struct Stream {
    /// Taken when the stream is stopped.
    sources: Mutex<Vec<Arc<KafkaSource>>>,
    asks: Sender<Ask>,
    board: Board,
    lake: watch::Receiver<Arc<LakeState>>,
    tally: Arc<Mutex<Tally>>,
    /// The dataflow first, then commits, if they are this process' to make; taken when the stream is
    /// stopped.
    threads: Mutex<Vec<JoinHandle<()>>>,
    failure: watch::Receiver<Option<Arc<StreamError>>>,
}

impl Stream {
    /// Recovers and starts. The lake's committer must have been claimed just before; in a cluster,
    /// its processes must have [come together](crate::gather).
    ///
    /// # Errors
    /// If the lake can't be read, Kafka has lost what was not yet read, or threads can't be started.
    pub async fn start(parts: Parts) -> Result<Self, StreamError> {
        let state = Arc::clone(&parts.role.newest().borrow());
        let peers = parts.cluster.peers();
        let recovered = recover(&state, &parts.store, &parts.dataflow, peers).await?;
        tracing::info!(
            version = state.version,
            watermark = state.watermark,
            series = recovered.iter().map(|it| it.series.len()).sum::<usize>(),
            "open windows rebuilt"
        );
        let resume: HashMap<Partition, PartitionCut> = state
            .cuts
            .iter()
            .map(|(partition, &(next, mark))| {
                (
                    partition.clone(),
                    PartitionCut {
                        partition: partition.clone(),
                        next,
                        mark,
                    },
                )
            })
            .collect();
        let runtime = Handle::current();
        let begin = move || Self::begin(parts, &runtime, recovered, &resume);
        tokio::task::spawn_blocking(begin)
            .await
            .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
    }

    fn begin(
        parts: Parts,
        runtime: &Handle,
        recovered: Vec<Recovered>,
        resume: &HashMap<Partition, PartitionCut>,
    ) -> Result<Self, StreamError> {
        let (report, failure) = watch::channel(None);
        let report = Arc::new(report);
        let board = Board::default();
        let mut sources = Vec::new();
        let mut ends = Vec::new();
        let mut recovered: Vec<Option<Recovered>> = recovered.into_iter().map(Some).collect();
        for index in parts.cluster.indices() {
            let (events, taken) = bounded(EVENTS_WAITING);
            let events_bell = Bell::default();
            let woken = events_bell.clone();
            let clock = Arc::clone(&parts.clock);
            let source = Arc::new(KafkaSource::start(
                tidegauge_kafka::Settings {
                    remembered_ms: parts.dataflow.silence_ms,
                    ..parts.kafka.clone()
                },
                WorkerShare {
                    index,
                    peers: parts.cluster.peers(),
                },
                resume.clone(),
                events,
                Arc::new(move || woken.ring()),
                Arc::new(move || clock.now_ms()),
            )?);
            let (controls, asked) = unbounded();
            let held = Arc::downgrade(&source);
            spawn("controls", &report, move || {
                control(&held, &asked);
                Ok(())
            })?;
            sources.push(source);
            ends.push(WorkerEnds {
                events: taken,
                events_bell,
                controls,
                recovered: recovered[index].take().unwrap_or_default(),
                outlet: outlet(&parts, runtime, &report)?,
            });
        }
        let (ask, asks) = unbounded();
        let tally = Arc::default();
        let lake = parts.role.newest();
        let (lead, commits) = match parts.role.clone() {
            Role::Follower(_) => (None, None),
            Role::Lead(committer) => {
                let committed = Arc::new(AtomicU64::new(0));
                let (drafts, drafted) = bounded(SEALS_WAITING);
                let lead = lead(&parts, asks, drafts, &committed)?;
                let commits = Commits {
                    committer,
                    runtime: runtime.clone(),
                    drafts: drafted,
                    committed,
                    tally: Arc::clone(&tally),
                };
                let commits = spawn("commits", &report, move || Ok(commits.run()?))?;
                (Some(lead), Some(commits))
            }
        };
        let (cluster, settings, shown) = (parts.cluster, parts.dataflow, board.clone());
        let dataflow = spawn("dataflow", &report, move || {
            Ok(run(&cluster, &settings, ends, lead, &shown)?)
        })?;
        Ok(Self {
            sources: Mutex::new(sources),
            asks: ask,
            board,
            lake,
            tally,
            threads: Mutex::new(std::iter::once(dataflow).chain(commits).collect()),
            failure,
        })
    }

    /// Looks at the stream.
    #[must_use]
    pub fn status(&self) -> Status {
        let tally = *locked(&self.tally);
        let sources = locked(&self.sources);
        Status {
            dataflow: self.board.read(),
            lake: Arc::clone(&self.lake.borrow()),
            lags: sources.iter().flat_map(|source| source.lags()).collect(),
            sources: sources.iter().map(|source| source.stats()).collect(),
            troubles: sources.iter().map(|source| source.trouble()).collect(),
            last_commit: tally.last,
            commits: tally.commits,
            committed_samples: tally.samples,
            committed_bytes: tally.bytes,
            commit_time: tally.time,
        }
    }

    /// Commits what has come in, as soon as may be.
    pub fn seal(&self) {
        // It fails only once the stream has ended, and then there is nothing to commit.
        let _ = self.asks.send(Ask::Seal);
    }

    /// Why the stream has stopped by itself, if it has.
    #[must_use]
    pub fn failed(&self) -> Option<Arc<StreamError>> {
        let failed = self.failure.borrow().clone();
        failed.or_else(|| {
            locked(&self.sources)
                .iter()
                .find_map(|source| source.failed())
                .map(|error| Arc::new(error.into()))
        })
    }

    /// Whether the dataflow has come to its end: in a follower, because process 0 has stopped it.
    #[must_use]
    pub fn ended(&self) -> bool {
        locked(&self.threads)
            .first()
            .is_none_or(JoinHandle::is_finished)
    }

    /// Takes nothing more, commits what was taken, and ends. Blocks as long as the store takes; in a
    /// follower, until process 0 has stopped too. Status can be asked for all the while and after it.
    ///
    /// # Errors
    /// If the stream had failed; what was committed stays.
    pub fn stop(&self) -> Result<(), Arc<StreamError>> {
        let failed = self.failed();
        let sources = std::mem::take(&mut *locked(&self.sources));
        drop(sources);
        let _ = self.asks.send(Ask::Stop);
        if let Some(error) = failed {
            // Its threads may wait for one another for ever; the process ends without them.
            return Err(error);
        }
        let threads = std::mem::take(&mut *locked(&self.threads));
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let failed = self.failure.borrow().clone();
        failed.map_or(Ok(()), Err)
    }
}

fn locked<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what the dataflow asks of a source, while there is one.
fn control(source: &Weak<KafkaSource>, asked: &Receiver<SourceControl>) {
    for ask in asked {
        let Some(source) = source.upgrade() else {
            return;
        };
        match ask {
            SourceControl::Pause(partition) => source.pause(&[partition]),
            SourceControl::Resume(partition) => source.resume(&[partition]),
        }
    }
}

fn outlet(
    parts: &Parts,
    runtime: &Handle,
    report: &Report,
) -> Result<Outlet<Written>, StreamError> {
    let (seals, sealed) = bounded(SEALS_WAITING);
    let (receipts, taken) = bounded(SEALS_WAITING);
    let bell = Bell::default();
    let sink = Sink {
        store: Arc::clone(&parts.store),
        settings: parts.encode.clone(),
        runtime: runtime.clone(),
        seals: sealed,
        receipts,
        bell: bell.clone(),
    };
    spawn("sink", report, move || Ok(sink.run()?))?;
    Ok(Outlet {
        seals,
        receipts: taken,
        bell,
    })
}

fn lead(
    parts: &Parts,
    asks: Receiver<Ask>,
    drafts: Sender<tidegauge_dataflow::Draft<Written>>,
    committed: &Arc<AtomicU64>,
) -> Result<Lead<Written>, StreamError> {
    let (tick, ticks) = unbounded();
    let ticks_bell = Bell::default();
    let every = u64::try_from(parts.dataflow.epoch_ms)
        .unwrap_or(1_000)
        .max(1);
    let (clock, bell) = (Arc::clone(&parts.clock), ticks_bell.clone());
    let name = "ticker";
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || ticker::run(Duration::from_millis(every), &clock, &asks, &tick, &bell))
        .map_err(|source| StreamError::Thread { name, source })?;
    Ok(Lead {
        ticks,
        ticks_bell,
        drafts,
        committed: Arc::clone(committed),
    })
}

//! The handle by which a worker starts, steers and ends its share of Kafka.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tidegauge_model::{Partition, PartitionCut, SourceEvent};

use crate::error::SourceError;
use crate::hooks::{Clock, Wake};
use crate::native::admin::Asker;
use crate::native::{Client, Queue};
use crate::outlet::Outlet;
use crate::reader::{Command, Reader, State};
use crate::settings::Settings;
use crate::share::WorkerShare;
use crate::shared::{PartitionLag, Shared, SourceStats, Trouble};
use crate::topics::Topics;
use crate::watch::Watcher;

/// How long a stop waits for the threads. They end alone if a broker's name service holds one up.
const STOP_WAIT: Duration = Duration::from_millis(900);

/// One worker's share of Kafka, being read.
///
/// Events come in order for each partition: [`SourceEvent::Registered`], then chunks, whose
/// `next` only grows. If a topic was deleted and made anew and [`crate::OnLost::Continue`] is set,
/// its partitions are withdrawn and registered again, and their offsets and source-local series
/// numbers begin anew. Dropping the handle stops the source.
pub struct KafkaSource {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    commands: Sender<Command>,
    /// Disconnected once both threads have ended.
    ended: Receiver<()>,
}

impl KafkaSource {
    /// Whether a client can be made of `settings`: what they name, as a certificate, is read.
    ///
    /// # Errors
    /// If the settings are impossible, or the library can make no client of them.
    pub fn check(settings: &Settings) -> Result<(), SourceError> {
        settings.check()?;
        Client::new(&settings.properties()).map(drop)
    }

    /// Starts reading the partitions that are this worker's, each where `resume` says, and waits
    /// up to [`Settings::start_wait_ms`] until all are registered and their last records compared,
    /// or the channel is full. If brokers are away the source starts nevertheless and reads when
    /// they are back.
    ///
    /// `events` should be bounded: it is what holds reading back. `wake` is called after sends and
    /// when the source has failed.
    ///
    /// # Errors
    /// If the settings are impossible, or if the check within the wait shows that records are lost
    /// and [`crate::OnLost::Stop`] is set.
    pub fn start(
        settings: Settings,
        share: WorkerShare,
        resume: HashMap<Partition, PartitionCut>,
        events: Sender<SourceEvent>,
        wake: Wake,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        settings.check()?;
        let wait = Duration::from_millis(settings.start_wait_ms);
        let topics = Arc::new(Topics::new(&settings.topics)?);
        let client = Client::new(&settings.properties())?;
        let (stop, shared) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Shared::default()),
        );
        let (ask, asks) = unbounded();
        // While the dataflow takes nothing the reader hears nothing either, and answers must not pile up.
        let (tell, told) = bounded(4);
        let (commands, commanded) = unbounded();
        let (end, ended) = bounded(0);
        let resume: BTreeMap<_, _> = resume.into_iter().collect();
        let timeout = Duration::from_millis(settings.request_timeout_ms);
        let watcher = Watcher {
            topics: Arc::clone(&topics),
            asker: Asker::new(&client, &stop, timeout),
            asks,
            told: tell,
            clock: Arc::clone(&clock),
            stop: Arc::clone(&stop),
            refresh: Duration::from_millis(settings.refresh_ms()),
            followed: followed(&topics, share, resume.keys()),
        };
        let out = Outlet {
            events,
            wake,
            stop: Arc::clone(&stop),
            shared: Arc::clone(&shared),
            sent: false,
        };
        let reader = Reader {
            queue: Arc::new(Queue::new(&client)),
            settings,
            topics,
            share,
            client,
            asks: ask,
            told,
            commands: commanded,
            out,
            shared: Arc::clone(&shared),
            clock,
            resume,
            state: State::default(),
        };
        let source = Self {
            shared,
            stop,
            commands,
            ended,
        };
        spawn("kafka-ask", end.clone(), move || watcher.run())?;
        spawn("kafka-read", end, move || reader.run())?;
        source.wait_ready(wait);
        source.failed().map_or(Ok(source), Err)
    }

    /// Waits until the partitions known are registered and checked, or the source has failed;
    /// returns whether it is so. False after `wait`: brokers have not answered.
    #[must_use]
    pub fn is_ready_within(&self, wait: Duration) -> bool {
        self.wait_ready(wait)
    }

    fn wait_ready(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            if self.shared.ready.load(Ordering::Acquire) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
    }

    /// Stops fetching these partitions; what was sent stays sent. Others of the list are ignored.
    pub fn pause(&self, partitions: &[Partition]) {
        let _ = self.commands.send(Command::Pause(partitions.to_vec()));
    }

    /// Fetches them again, from where they were.
    pub fn resume(&self, partitions: &[Partition]) {
        let _ = self.commands.send(Command::Resume(partitions.to_vec()));
    }

    /// How far behind each partition is, as of a fraction of a second ago.
    #[must_use]
    pub fn lags(&self) -> Vec<PartitionLag> {
        self.shared.lags()
    }

    /// Counts since the start, as of a fraction of a second ago.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        self.shared.stats()
    }

    /// What keeps the source from reading, as of a fraction of a second ago.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.shared.trouble()
    }

    /// Why the source has ended by itself, if it has. It sends nothing more then.
    #[must_use]
    pub fn failed(&self) -> Option<SourceError> {
        self.shared.failed()
    }

    /// Stops reading, within a second. Nothing is committed to Kafka.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Nothing is ever sent: this waits for the threads to let go of their ends.
        let _ = self.ended.recv_timeout(STOP_WAIT);
    }
}

fn followed<'a>(
    topics: &Topics,
    share: WorkerShare,
    resumed: impl Iterator<Item = &'a Partition>,
) -> BTreeSet<Arc<str>> {
    resumed
        .filter(|partition| share.owns(partition) && topics.rule(&partition.topic).is_some())
        .map(|partition| Arc::clone(&partition.topic))
        .collect()
}

fn spawn(
    name: &str,
    end: Sender<()>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), SourceError> {
    let body = move || {
        run();
        drop(end);
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map(drop)
        .map_err(|error| SourceError::Thread {
            reason: error.to_string(),
        })
}

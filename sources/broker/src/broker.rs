//! The broker as its owner sees it: start, ask, shut down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::coordinator::Coordinator;
use crate::error::BrokerError;
use crate::identity::Identity;
use crate::outages::Outages;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::topics::Topics;
use crate::{disk, log, server, upkeep};

/// How long connections may take to end at shutdown.
const GRACE: Duration = Duration::from_millis(300);

/// A running broker. Dropping it without [`Broker::shutdown`] is as safe as a crash: nothing that
/// was acknowledged is lost, but the next start has more to check.
pub struct Broker {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Opens the directory, cutting torn tails, and serves clients on the current tokio runtime.
    ///
    /// Requests write to and read from files on the runtime's own threads, so a runtime of several
    /// threads is the right one.
    ///
    /// # Errors
    /// If a setting can't work, the directory is unwritable, damaged or in use by another process,
    /// or the address can't be listened on.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Broker, BrokerError> {
        settings.check().map_err(BrokerError::Settings)?;
        let listen = settings.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| BrokerError::Listen {
                addr: listen,
                source,
            })?;
        let local_addr = listener
            .local_addr()
            .map_err(|source| BrokerError::Listen {
                addr: listen,
                source,
            })?;
        let opened = tokio::task::spawn_blocking(move || open(settings, clock)).await;
        let shared =
            Arc::new(opened.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))?);
        let (stop, stops) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(server::run(listener, Arc::clone(&shared), stops.clone())),
            tokio::spawn(upkeep::sync_each_second(Arc::clone(&shared), stops.clone())),
            tokio::spawn(upkeep::pass_at_intervals(
                Arc::clone(&shared),
                stops.clone(),
            )),
            tokio::spawn(upkeep::keep_time(Arc::clone(&shared), stops)),
        ];
        tracing::info!(%local_addr, "the embedded broker serves");
        Ok(Broker {
            shared,
            local_addr,
            stop,
            tasks,
        })
    }

    /// Where the broker listens; the port is a real one even if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Makes a topic; one that exists is left as it is.
    ///
    /// # Errors
    /// If the name, the count or a configuration key is not one that Kafka knows.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), BrokerError> {
        if self.shared.topics.get(name).is_some() {
            return Ok(());
        }
        let made = self.shared.topics.create(name, partitions, configs.clone());
        made.map(drop).map_err(|refusal| BrokerError::Topic {
            topic: name.to_owned(),
            why: refusal.why,
        })
    }

    /// Runs one round of retention and compaction now, rather than at the next interval.
    pub async fn upkeep(&self) {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || upkeep::pass(&shared)).await;
        done.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()));
    }

    /// Ends all connections, forces everything to disk and gives the directory free.
    pub async fn shutdown(mut self) {
        // The receivers may be gone already; there is nothing to tell them then.
        let _ = self.stop.send(true);
        for mut task in self.tasks.drain(..) {
            if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                task.abort();
            }
        }
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || close(&shared)).await;
        closed.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()));
    }
}

pub(crate) fn open(settings: Settings, clock: Clock) -> Result<Shared, BrokerError> {
    let settings = Arc::new(settings);
    let dir = &settings.dir;
    let identity = Identity::open(dir, clock())?;
    let outages = Outages::open(dir, identity.last_alive_ms, clock())?;
    let topics = Topics::open(&dir.join("topics"), &settings, &clock)?;
    let offsets = dir.join("offsets");
    let coordinator = Coordinator::open(&offsets, &settings, clock())?;
    // A crash may have come between a topic's end and that of its offsets.
    let forgotten = coordinator.forget_topics(|topic| topics.get(topic).is_none(), clock());
    forgotten.map_err(|refusal| BrokerError::Offsets {
        dir: offsets,
        why: refusal.why,
    })?;
    disk::sync_dir(dir).map_err(BrokerError::file("writing", dir))?;
    Ok(Shared {
        identity,
        outages,
        topics,
        coordinator,
        clock,
        settings,
    })
}

fn close(shared: &Shared) {
    let topics = shared.topics.all();
    let logs = topics.iter().flat_map(|topic| topic.partitions().to_vec());
    for log in logs.chain([shared.coordinator.offsets_log()]) {
        if let Err(failed) = log::close(&log) {
            tracing::error!(error = %failed, "closing a log");
        }
    }
    upkeep::note_alive(shared);
}

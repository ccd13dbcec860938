//! This process' part in the lake: its writer, with upkeep, or in a cluster a follower of process 0.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{Clock, Committer, Store, Upkeep, open_store};
use tidegauge_stream::{Role, Terms, gather, join};
use tidegauge_tables::{LakeState, LogReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;

/// How often a follower looks for new commits.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// A put that nobody has written to for so long was broken off.
const BROKEN_OFF_AFTER: Duration = Duration::from_secs(3600);

/// How long upkeep rests after a panic.
const PANIC_WAIT: Duration = Duration::from_secs(30);

/// The lake, and what goes on in it besides the stream.
pub(super) struct Lake {
    pub(super) store: Store,
    pub(super) role: Role,
    /// Keeps the log, or follows it.
    log: JoinHandle<()>,
    upkeep: Option<Keeping>,
}

/// Upkeep at work.
struct Keeping {
    upkeep: Arc<Upkeep>,
    end: CancellationToken,
}

impl Lake {
    /// Opens the store, and becomes the lake's writer or meets it.
    pub(super) async fn open(
        config: &mut Config,
        clock: &Arc<dyn Clock>,
        rng: &mut SmallRng,
    ) -> anyhow::Result<Self> {
        config.store.url = config.store_url()?;
        let store = open_store(&config.store, Arc::clone(clock), SmallRng::from_rng(rng))?;
        store.probe(Uuid::now_v7()).await?;
        if config.cluster.process > 0 {
            follow(config, store).await
        } else {
            lead(config, store, clock, rng).await
        }
    }

    /// Ends what goes on besides the stream, so that the stream can make its last commit alone.
    pub(super) fn rest(&self) {
        if let Some(keeping) = &self.upkeep {
            keeping.end.cancel();
        }
    }

    /// Upkeep, if it is this process' to do.
    pub(super) fn upkeep(&self) -> Option<Arc<Upkeep>> {
        let keeping = self.upkeep.as_ref()?;
        Some(Arc::clone(&keeping.upkeep))
    }

    /// Leaves the log tidy.
    pub(super) async fn close(self) {
        self.log.abort();
        if let Role::Lead(committer) = &self.role
            && let Err(error) = committer.finish().await
        {
            tracing::warn!(%error, "the log's checkpoint is left to the next start");
        }
    }
}

fn terms(config: &Config) -> Terms<'_> {
    Terms {
        cluster: &config.cluster,
        dataflow: &config.stream,
        topics: &config.kafka.topics,
    }
}

async fn lead(
    config: &Config,
    store: Store,
    clock: &Arc<dyn Clock>,
    rng: &mut SmallRng,
) -> anyhow::Result<Lake> {
    let (committer, _) = Committer::claim(
        Arc::clone(&store.objects),
        Arc::clone(clock),
        SmallRng::from_rng(rng),
        config.lake_log,
        config.encode.values,
    )
    .await?;
    if config.cluster.hosts.len() > 1 {
        gather(terms(config), &committer.state()).await?;
    }
    let upkeep = start_upkeep(config, &store, &committer, clock)?;
    let staged = store.clone();
    tokio::spawn(async move { staged.remove_staged(BROKEN_OFF_AFTER).await });
    let log = tokio::spawn({
        let committer = committer.clone();
        async move { committer.work().await }
    });
    Ok(Lake {
        store,
        role: Role::Lead(committer),
        log,
        upkeep: Some(upkeep),
    })
}

async fn follow(config: &Config, store: Store) -> anyhow::Result<Lake> {
    let reader = LogReader::new(Arc::clone(&store.objects), &Default::default());
    let state = join(terms(config), &reader).await?;
    let (newest, role) = watch::channel(Arc::new(state.clone()));
    let log = tokio::spawn(follow_log(reader, state, newest));
    Ok(Lake {
        store,
        role: Role::Follower(role),
        log,
        upkeep: None,
    })
}

async fn follow_log(
    reader: LogReader,
    mut state: LakeState,
    newest: watch::Sender<Arc<LakeState>>,
) {
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        match reader.follow(&mut state).await {
            Ok(0) => {}
            Ok(_) => drop(newest.send_replace(Arc::new(state.clone()))),
            Err(error) => tracing::warn!(%error, "following the lake failed; it is tried again"),
        }
    }
}

/// Upkeep on a thread of its own: merging costs processor time, and the stream must not wait for it.
fn start_upkeep(
    config: &Config,
    store: &Store,
    committer: &Committer,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Keeping> {
    let upkeep = Arc::new(Upkeep::new(
        committer.clone(),
        Arc::clone(&store.objects),
        config.upkeep.clone(),
        config.encode.clone(),
        Arc::clone(clock),
    )?);
    let end = CancellationToken::new();
    let (asked, shown) = (end.clone(), Arc::clone(&upkeep));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let body = move || {
        // What panics in one pass may go well in the next, and without upkeep files would pile up.
        let work = || {
            let ended = runtime.block_on(asked.run_until_cancelled(upkeep.run()));
            if let Some(Err(error)) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "upkeep has ended");
            }
        };
        while catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("upkeep has panicked; it begins again");
            std::thread::sleep(PANIC_WAIT);
        }
    };
    std::thread::Builder::new()
        .name("upkeep".into())
        .spawn(body)
        .context("starting upkeep")?;
    Ok(Keeping { upkeep: shown, end })
}

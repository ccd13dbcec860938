//! The commit: one conditional put of the lake's next log entry, or nothing.
//!
//! There is one [`Committer`] a process, shared by the stream and upkeep; each commit goes to exactly
//! the version after the last, and is never rebased. An answer that leaves it open whether the put
//! took place is settled by reading the entry back: our bytes mean done, another's mean that we are
//! no longer the writer, none mean that the same bytes are put again. A newer writer's entry kills
//! the committer for good.

mod draft;
mod writer;

use std::sync::Arc;

use thiserror::Error;
use tidegauge_tables::{Commit, LakeState, LogError};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::checkpoint::{KeepError, Keeping, Kept};
use crate::log_store::LogStore;
use crate::project::Projections;
pub use draft::{Draft, DraftError};
use writer::Writer;
pub(crate) use writer::{Entry, Outcome, put_entry};

/// How many projections may wait before commits wait for them.
const MOST_PROJECTIONS: usize = 512;

/// Why a commit did not take place.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Another writer is the writer now. Nothing that this one does can count any more.
    #[error(
        "version {version} of the lake belongs to generation {by_generation}, a newer writer; this \
         process must stop (see that only one runs on this store)"
    )]
    Fenced {
        /// The other's generation.
        by_generation: u64,
        /// The version at which it was met.
        version: u64,
    },
    /// The draft does not fit the lake. Nothing was put; the committer lives on.
    #[error("the commit was refused: {0}")]
    Refused(#[from] DraftError),
    /// The log can't be read, so what became of the put is open. The next call goes on from there.
    #[error("whether version {version} of the lake was written is not known yet")]
    Unsettled {
        /// Which version.
        version: u64,
        /// Why.
        #[source]
        source: LogError,
    },
}

/// The single writer of a lake. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Committer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: LogStore,
    /// Whoever holds it may put the next entry.
    writer: tokio::sync::Mutex<Writer>,
    state: watch::Sender<Arc<LakeState>>,
    projections: Projections,
    /// Tells the background work that there is some.
    work: Notify,
    /// Held by whoever writes states and checkpoints.
    keeping: tokio::sync::Mutex<Keeping>,
}

impl Committer {
    /// A committer that goes on from `state`, which must end in its own claim.
    pub(crate) fn begin(log: LogStore, state: LakeState) -> Self {
        let shared = Shared {
            log,
            writer: tokio::sync::Mutex::new(Writer::new(state.generation)),
            state: watch::Sender::new(Arc::new(state)),
            projections: Projections::default(),
            work: Notify::new(),
            keeping: tokio::sync::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The lake as of the last commit.
    #[must_use]
    pub fn state(&self) -> Arc<LakeState> {
        Arc::clone(&self.shared.state.borrow())
    }

    /// Tells of each new state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<LakeState>> {
        self.shared.state.subscribe()
    }

    /// Commits `draft`: when this returns the new state, all of it is durable and visible; on
    /// [`CommitError::Refused`] and [`CommitError::Fenced`] none of it is or ever will be.
    ///
    /// It waits as long as the store does not answer. If the future is dropped meanwhile, the commit
    /// is settled before the next one; whether it took place then shows in the state.
    ///
    /// # Errors
    /// See [`CommitError`]. After `Fenced` every further call is fenced too.
    pub async fn commit(&self, draft: Draft) -> Result<Arc<LakeState>, CommitError> {
        if self.shared.projections.waiting() > MOST_PROJECTIONS {
            self.project().await;
        }
        let mut writer = self.shared.writer.lock().await;
        self.settle(&mut writer).await?;
        let state = self.state();
        draft.check(&state)?;
        let commit = Commit {
            generation: state.generation,
            nonce: self.nonce(),
            at: self.shared.log.clock.now_ms(),
            kind: draft.kind,
            files: draft.files,
        };
        writer.begin(Entry::after(&state, commit));
        self.settle(&mut writer).await?;
        Ok(self.state())
    }

    /// Puts all projections that wait; other engines then see the lake as of the last commit.
    pub async fn project(&self) {
        self.shared.projections.put_all(&self.shared.log).await;
    }

    /// Runs for ever: puts projections and tidies the log after each commit that gives cause to.
    pub async fn work(&self) {
        loop {
            self.shared.work.notified().await;
            self.project().await;
            if let Err(error) = self.keep().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "log not tidied");
            }
        }
    }

    /// Tidies the log if it is time to: writes a full state, checkpoints, deletes old entries.
    ///
    /// # Errors
    /// If the store refuses. Trying again later is enough.
    pub async fn keep(&self) -> Result<Kept, KeepError> {
        let log = &self.shared.log;
        let mut keeping = self.shared.keeping.lock().await;
        let Some(due) = keeping.due(log, &self.state()).await? else {
            return Ok(Kept::default());
        };
        let state = self.projected_state().await;
        keeping.write(log, &state, due).await
    }

    /// Finishes all that waits and writes a full state, so that the next start is quick. For a
    /// clean stop.
    ///
    /// # Errors
    /// If the store refuses; nothing is lost by that.
    pub async fn finish(&self) -> Result<Kept, KeepError> {
        let log = &self.shared.log;
        let mut keeping = self.shared.keeping.lock().await;
        let state = self.projected_state().await;
        keeping.finish(log, &state).await
    }

    /// An id that no other has.
    pub(crate) fn nonce(&self) -> Uuid {
        self.shared.log.nonce()
    }

    /// The newest state, once all projections up to it are put.
    async fn projected_state(&self) -> Arc<LakeState> {
        let state = self.state();
        // All commits up to this state are in the queue.
        self.project().await;
        state
    }

    /// Brings what was begun to its end.
    async fn settle(&self, writer: &mut Writer) -> Result<(), CommitError> {
        let Some((version, commit)) = writer.settle(&self.shared.log).await? else {
            return Ok(());
        };
        self.shared.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.apply(version, &commit);
            // In here, so that whoever sees the state finds its projections waiting.
            self.shared.projections.push(&commit, state);
        });
        self.shared.work.notify_one();
        Ok(())
    }
}

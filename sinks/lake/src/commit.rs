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

use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tidegauge_tables::{Commit, LakeState, LogError, LogReader};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::checkpoint::Keeping;
use crate::clock::Clock;
use crate::project::Projections;
use crate::store::RetrySettings;
pub use draft::{Draft, DraftError};
use writer::Writer;
pub(crate) use writer::{Entry, Outcome, put_entry};

/// How many projections may wait before commits wait for them.
const MOST_PROJECTIONS: usize = 512;

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Commits between two full states: as many entries are read when the lake is opened.
    pub state_every: u64,
    /// Commits between two Delta checkpoints, and clean-ups.
    pub checkpoint_every: u64,
    /// How long entries are kept after a checkpoint has made them superfluous, milliseconds.
    pub log_grace_ms: i64,
    /// How the commit's put is made again.
    pub retry: RetrySettings,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            state_every: 20,
            checkpoint_every: 100,
            log_grace_ms: 3_600_000,
            retry: RetrySettings::default(),
        }
    }
}

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
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: LogSettings,
    pub(crate) reader: LogReader,
    /// Whoever holds it may put the next entry.
    writer: tokio::sync::Mutex<Writer>,
    rng: Mutex<SmallRng>,
    state: watch::Sender<Arc<LakeState>>,
    pub(crate) projections: Projections,
    /// Tells the background work that there is some.
    pub(crate) work: Notify,
    /// Held by whoever writes states and checkpoints.
    pub(crate) keeping: tokio::sync::Mutex<Keeping>,
}

impl Committer {
    /// A committer that goes on from `state`, which must end in its own claim.
    pub(crate) fn begin(mut shared: Shared, state: LakeState) -> Self {
        *shared.writer.get_mut() = Writer::new(state.generation);
        shared.state.send_replace(Arc::new(state));
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
            nonce: self.shared.nonce(),
            at: self.shared.clock.now_ms(),
            kind: draft.kind,
            files: draft.files,
        };
        writer.begin(Entry::after(&state, commit));
        self.settle(&mut writer).await?;
        Ok(self.state())
    }

    /// Brings what was begun to its end.
    async fn settle(&self, writer: &mut Writer) -> Result<(), CommitError> {
        let Some((version, commit)) = writer.settle(&self.shared).await? else {
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

impl Shared {
    /// The parts of a committer that has not claimed the lake yet.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        rng: SmallRng,
        settings: LogSettings,
    ) -> Self {
        Self {
            reader: LogReader::new(Arc::clone(&store), &Path::default()),
            store,
            clock,
            settings,
            writer: tokio::sync::Mutex::new(Writer::new(0)),
            rng: Mutex::new(rng),
            state: watch::Sender::default(),
            projections: Projections::default(),
            work: Notify::new(),
            keeping: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn nonce(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.lock().random()).into_uuid()
    }

    pub(crate) fn fork_rng(&self) -> SmallRng {
        SmallRng::from_rng(&mut *self.rng.lock())
    }
}

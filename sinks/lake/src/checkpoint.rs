//! Full states, Delta checkpoints and log clean-up: what keeps a log of any age quick to open.
//!
//! All of it is outside the commit's path. The order is what makes it safe: projections, then
//! checkpoints, then the full state, then the pointer to it, and only then, after a grace, entries
//! before it are deleted, **oldest first and one by one** (see `tidegauge_tables::LogReader` for
//! what relies on that).

mod clean;
mod parquet;

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;
use thiserror::Error;
use tidegauge_tables::{LakeState, StateMark, StatePointer, Table, encode_state, paths};

use crate::commit::{Committer, Shared};
use crate::log::checkpoint_actions;

/// Why the log could not be tidied. Nothing depends on it at once; the next call tries again.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The store refused.
    #[error("tidying the lake's log failed")]
    Store(#[from] object_store::Error),
    /// A checkpoint could not be encoded.
    #[error("encoding a Delta checkpoint of table {} failed", .table.name())]
    Checkpoint {
        /// Which table.
        table: Table,
        /// Why.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
}

/// What one round of tidying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Whether a full state was written.
    pub state: bool,
    /// Whether Delta checkpoints were.
    pub checkpoints: bool,
    /// How many objects were deleted.
    pub deleted: u64,
}

impl Committer {
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
        let (settings, version) = (&self.shared.settings, self.state().version.unwrap_or(0));
        let mut keeping = self.shared.keeping.lock().await;
        let pointer = keeping.get(&self.shared).await?;
        let since_state =
            version.saturating_sub(pointer.states.last().map_or(0, |mark| mark.version));
        let since_checkpoint =
            version.saturating_sub(last_checkpoint(pointer).map_or(0, |mark| mark.version));
        let checkpoints = since_checkpoint >= settings.checkpoint_every;
        if since_state < settings.state_every && !checkpoints {
            return Ok(Kept::default());
        }
        self.write(pointer, checkpoints).await
    }

    /// Finishes all that waits and writes a full state, so that the next start is quick. For a
    /// clean stop.
    ///
    /// # Errors
    /// If the store refuses; nothing is lost by that.
    pub async fn finish(&self) -> Result<Kept, KeepError> {
        self.project().await;
        let mut keeping = self.shared.keeping.lock().await;
        let pointer = keeping.get(&self.shared).await?;
        if pointer.states.last().map(|mark| mark.version) == self.state().version {
            return Ok(Kept::default());
        }
        self.write(pointer, false).await
    }

    async fn write(
        &self,
        pointer: &mut StatePointer,
        checkpoints: bool,
    ) -> Result<Kept, KeepError> {
        let shared = &self.shared;
        let state = self.state();
        // All commits up to this state are in the queue, so after this their projections are put.
        self.project().await;
        let mut mark = StateMark {
            version: state.version.expect("a claimed lake has a version"),
            at: shared.clock.now_ms(),
            checkpoints: BTreeMap::new(),
        };
        if checkpoints {
            let last = last_checkpoint(pointer).cloned();
            mark.checkpoints = write_checkpoints(shared, &state, last.as_ref()).await?;
        }
        shared
            .store
            .put(&paths::state(mark.version), encode_state(&state).into())
            .await?;
        let mut next = pointer.clone();
        next.states.retain(|earlier| earlier.version < mark.version);
        next.states.push(mark);
        put_pointer(shared, &next).await?;
        *pointer = next;
        let deleted = if checkpoints {
            clean::clean(shared, pointer).await?
        } else {
            0
        };
        Ok(Kept {
            state: true,
            checkpoints,
            deleted,
        })
    }
}

/// The pointer to full states, read once and then kept: this writer is the only one to change it.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    pointer: Option<StatePointer>,
}

impl Keeping {
    async fn get(&mut self, shared: &Shared) -> Result<&mut StatePointer, KeepError> {
        if self.pointer.is_none() {
            let found = match shared.store.get(&paths::state_pointer()).await {
                Ok(found) => Some(found.bytes().await?),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            // One that can't be read is written anew; the states themselves are found by listing.
            let read = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            self.pointer = Some(read.unwrap_or_default());
        }
        Ok(self.pointer.as_mut().expect("it was just read"))
    }
}

fn last_checkpoint(pointer: &StatePointer) -> Option<&StateMark> {
    pointer
        .states
        .iter()
        .rev()
        .find(|mark| !mark.checkpoints.is_empty())
}

async fn put_pointer(shared: &Shared, pointer: &StatePointer) -> Result<(), KeepError> {
    let json = serde_json::to_vec(pointer).expect("a pointer is plain data");
    shared
        .store
        .put(&paths::state_pointer(), json.into())
        .await?;
    Ok(())
}

/// Writes a checkpoint of every table that has changed since `last`; returns at which version of
/// each table's own log its newest one stands.
async fn write_checkpoints(
    shared: &Shared,
    state: &LakeState,
    last: Option<&StateMark>,
) -> Result<BTreeMap<Table, u64>, KeepError> {
    let mut written = BTreeMap::new();
    for table in Table::ALL {
        let version = match table {
            Table::Samples => state.version.expect("a claimed lake has a version"),
            _ => state.tables.get(&table).map_or(0, |table| table.entries),
        };
        let unchanged = last.and_then(|mark| mark.checkpoints.get(&table)) == Some(&version);
        if !unchanged && version > 0 {
            write_checkpoint(shared, state, table, version).await?;
        }
        written.insert(table, version);
    }
    Ok(written)
}

async fn write_checkpoint(
    shared: &Shared,
    state: &LakeState,
    table: Table,
    version: u64,
) -> Result<(), KeepError> {
    let birth = state.birth.expect("a claimed lake has a first commit");
    let actions = checkpoint_actions(state, birth, table);
    let body =
        parquet::encode(&actions).map_err(|source| KeepError::Checkpoint { table, source })?;
    let hint = serde_json::json!({
        "version": version,
        "size": actions.len(),
        "sizeInBytes": body.len(),
        "numOfAddFiles": state.files(table).count(),
    });
    shared
        .store
        .put(&paths::checkpoint(table, version), body.into())
        .await?;
    shared
        .store
        .put(&paths::last_checkpoint(table), hint.to_string().into())
        .await?;
    Ok(())
}

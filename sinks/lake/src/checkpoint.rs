//! Full states, Delta checkpoints and log clean-up: what keeps a log of any age quick to open.
//!
//! All of it is outside the commit's path. The order is what makes it safe: projections, then
//! checkpoints, then the full state, then the pointer to it, and only then, after a grace, entries
//! before it are deleted, **oldest first and one by one** (see `tidegauge_tables::LogReader` for
//! what relies on that).

mod clean;
mod error;
mod parquet;
mod pointer;

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;
use tidegauge_tables::{LakeState, StateMark, StatePointer, Table, encode_state, paths};

use crate::log::checkpoint_actions;
use crate::log_store::LogStore;
use clean::clean;
pub use error::KeepError;
use pointer::{put_pointer, read_pointer};

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

/// What is to be written besides a full state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    checkpoints: bool,
}

/// The pointer to full states, read once and then kept: this writer is the only one to change it.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    pointer: Option<StatePointer>,
}

impl Keeping {
    /// Whether it is time to write, as of `state`.
    pub(crate) async fn due(
        &mut self,
        log: &LogStore,
        state: &LakeState,
    ) -> Result<Option<Due>, KeepError> {
        let version = state.version.unwrap_or(0);
        let pointer = self.pointer(log).await?;
        let since =
            |mark: Option<&StateMark>| version.saturating_sub(mark.map_or(0, |m| m.version));
        let checkpoints = since(last_checkpoint(pointer)) >= log.settings.checkpoint_every;
        let due = checkpoints || since(pointer.states.last()) >= log.settings.state_every;
        Ok(due.then_some(Due { checkpoints }))
    }

    /// Writes `state` unless that was done, and no more.
    pub(crate) async fn finish(
        &mut self,
        log: &LogStore,
        state: &LakeState,
    ) -> Result<Kept, KeepError> {
        let last = self.pointer(log).await?.states.last();
        if last.map(|mark| mark.version) == state.version {
            return Ok(Kept::default());
        }
        self.write(log, state, Due { checkpoints: false }).await
    }

    /// Writes `state`, whose projections are all put, and what else is due.
    pub(crate) async fn write(
        &mut self,
        log: &LogStore,
        state: &LakeState,
        due: Due,
    ) -> Result<Kept, KeepError> {
        let pointer = self.pointer(log).await?;
        let mut mark = StateMark {
            version: state.version.expect("a claimed lake has a version"),
            at: log.clock.now_ms(),
            checkpoints: BTreeMap::new(),
        };
        if due.checkpoints {
            let last = last_checkpoint(pointer).cloned();
            mark.checkpoints = write_checkpoints(log, state, last.as_ref()).await?;
        }
        log.store
            .put(&paths::state(mark.version), encode_state(state).into())
            .await?;
        let mut next = pointer.clone();
        next.states.retain(|earlier| earlier.version < mark.version);
        next.states.push(mark);
        put_pointer(log, &next).await?;
        *pointer = next;
        let deleted = if due.checkpoints {
            clean(log, pointer).await?
        } else {
            0
        };
        Ok(Kept {
            state: true,
            checkpoints: due.checkpoints,
            deleted,
        })
    }

    async fn pointer(&mut self, log: &LogStore) -> Result<&mut StatePointer, KeepError> {
        if self.pointer.is_none() {
            self.pointer = Some(read_pointer(log).await?);
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

/// Writes a checkpoint of every table that has changed since `last`; returns at which version of
/// each table's own log its newest one stands.
async fn write_checkpoints(
    log: &LogStore,
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
            write_checkpoint(log, state, table, version).await?;
        }
        written.insert(table, version);
    }
    Ok(written)
}

async fn write_checkpoint(
    log: &LogStore,
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
    log.store
        .put(&paths::checkpoint(table, version), body.into())
        .await?;
    log.store
        .put(&paths::last_checkpoint(table), hint.to_string().into())
        .await?;
    Ok(())
}

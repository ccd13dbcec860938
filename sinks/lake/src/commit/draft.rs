//! What shall be committed, and whether it fits the lake as it is.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use tidegauge_tables::{CommitKind, FileChanges, LakeState, Table};

/// What shall be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What for.
    pub kind: CommitKind,
    /// Files added to and removed from tables. What is added must have been put already.
    pub files: BTreeMap<Table, FileChanges>,
}

/// Why a draft does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DraftError {
    /// What it removes was removed before, or never was.
    #[error("`{path}` of table {} is not live; compute the change anew from the present state", .table.name())]
    NotLive {
        /// Which table.
        table: Table,
        /// Which file.
        path: String,
    },
    /// What it adds is there already, or added or removed twice.
    #[error("`{path}` of table {} is named twice; every file must have a name of its own", .table.name())]
    Twice {
        /// Which table.
        table: Table,
        /// Which file.
        path: String,
    },
    /// The watermark never falls.
    #[error("the watermark would fall from {from} to {to}")]
    Falls {
        /// Where it is.
        from: i64,
        /// Where it would go.
        to: i64,
    },
    /// Each commit of the stream has an epoch of its own: this one's is committed.
    #[error("epoch {0} is committed already")]
    Epoch(u64),
    /// A claim is for starting.
    #[error("a claim is made by starting a committer")]
    Claim,
}

impl Draft {
    /// Whether it fits `state`, the lake it would be applied to.
    pub(super) fn check(&self, state: &LakeState) -> Result<(), DraftError> {
        self.check_kind(state)?;
        self.files
            .iter()
            .try_for_each(|(table, changes)| check_files(state, *table, changes))
    }

    fn check_kind(&self, state: &LakeState) -> Result<(), DraftError> {
        match &self.kind {
            CommitKind::Claim { .. } => Err(DraftError::Claim),
            CommitKind::Stream {
                epoch, watermark, ..
            } => {
                if *epoch <= state.epoch {
                    return Err(DraftError::Epoch(*epoch));
                }
                match (state.watermark, *watermark) {
                    (Some(from), Some(to)) if to < from => Err(DraftError::Falls { from, to }),
                    _ => Ok(()),
                }
            }
            CommitKind::Upkeep { .. } | CommitKind::Note { .. } => Ok(()),
        }
    }
}

fn check_files(state: &LakeState, table: Table, changes: &FileChanges) -> Result<(), DraftError> {
    let live = state.tables.get(&table).map(|table| &table.files);
    let is_live = |path: &str| live.is_some_and(|files| files.contains_key(path));
    let mut named = BTreeSet::new();
    for path in &changes.remove {
        if !is_live(path) {
            let path = path.clone();
            return Err(DraftError::NotLive { table, path });
        }
        if !named.insert(path.as_str()) {
            let path = path.clone();
            return Err(DraftError::Twice { table, path });
        }
    }
    for file in &changes.add {
        if is_live(&file.path) || !named.insert(file.path.as_str()) {
            let path = file.path.clone();
            return Err(DraftError::Twice { table, path });
        }
    }
    Ok(())
}

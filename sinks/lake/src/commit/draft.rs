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
    /// Epochs and watermark never fall.
    #[error("{what} would fall from {from} to {to}")]
    Falls {
        /// What would fall.
        what: &'static str,
        /// Where it is.
        from: i64,
        /// Where it would go.
        to: i64,
    },
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
        let falls = |what, from: i64, to: i64| {
            if to < from {
                Err(DraftError::Falls { what, from, to })
            } else {
                Ok(())
            }
        };
        match &self.kind {
            CommitKind::Claim { .. } => Err(DraftError::Claim),
            CommitKind::Stream {
                epoch, watermark, ..
            } => {
                falls("the epoch", state.epoch.cast_signed(), epoch.cast_signed())?;
                match (state.watermark, watermark) {
                    (Some(from), Some(to)) => falls("the watermark", from, *to),
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

//! Reading the lake's log: open the newest state, then follow new entries.
//!
//! A full state is read if there is one, then the entries after it one by one until there is no
//! next. No listing is needed. What makes this safe beside a clean-up, and beside a writer that was
//! fenced long ago and now puts an entry where a cleaned-up one was: entries are deleted in the
//! order of their versions, so **while the entry we started from is there, none after it was ever
//! deleted**. So it is looked at last, and if it is gone, reading begins anew.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use thiserror::Error;
use uuid::Uuid;

use crate::commit::Commit;
use crate::entry::parse_commit;
use crate::paths;
use crate::state::LakeState;
use crate::statefile::{StatePointer, decode_state};
use crate::table::Table;

/// How many entries are asked for at once when many are new.
const MOST_AT_ONCE: u64 = 16;
/// How often reading begins anew when clean-up overtakes it.
const MOST_TRIES: usize = 5;

/// Why the log could not be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The store would not answer.
    #[error("reading {path} of the lake's log failed; check that the store can be reached")]
    Store {
        /// Which object.
        path: Path,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// An object is not what it should be.
    #[error("{path} of the lake's log can't be understood: {detail}; was it written by us?")]
    Corrupt {
        /// Which object.
        path: Path,
        /// What is wrong with it.
        detail: String,
    },
    /// The entries after the newest full state are gone.
    #[error(
        "the lake's log has no entry {version}, which its newest full state needs; restore \
         `samples/_delta_log` or `_tidegauge/state`"
    )]
    Gap {
        /// The first version that is missing.
        version: u64,
    },
}

/// An entry with its version.
pub type Versioned = (u64, Commit);

/// Reads the log of one lake.
#[derive(Clone, Debug)]
pub struct LogReader {
    store: Arc<dyn ObjectStore>,
}

impl LogReader {
    /// A reader of the lake at `prefix` of `store`; the empty prefix for a lake at its root.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        if prefix.as_ref().is_empty() {
            return Self { store };
        }
        Self {
            store: Arc::new(PrefixStore::new(store, prefix.clone())),
        }
    }

    /// The newest state; the default one where there is no lake yet.
    ///
    /// # Errors
    /// If the store fails, or what it holds is not a lake of ours.
    pub async fn open(&self) -> Result<LakeState, LogError> {
        let (mut state, entries) = self.open_with_entries().await?;
        apply(&mut state, &entries);
        Ok(state)
    }

    /// The newest full state and the entries after it, not applied: for whoever must look at each.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub async fn open_with_entries(&self) -> Result<(LakeState, Vec<Versioned>), LogError> {
        let mut base = match self.pointed_state().await? {
            Some(state) => state,
            None => self.listed_state().await?,
        };
        for _ in 0..MOST_TRIES {
            if let Some(entries) = self.entries_after(&base).await? {
                return Ok((base, entries));
            }
            base = self.listed_state().await?;
        }
        let version = base.version.unwrap_or(0);
        Err(LogError::Gap { version })
    }

    /// Takes `state` on to the newest entry; returns how many versions it has moved by. On an error
    /// it is as it was.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub async fn follow(&self, state: &mut LakeState) -> Result<u64, LogError> {
        let before = next(state);
        match self.entries_after(state).await? {
            Some(entries) => apply(state, &entries),
            None => *state = self.open().await?,
        }
        Ok(next(state).saturating_sub(before))
    }

    /// The entry of `version` as bytes; none where there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn entry(&self, version: u64) -> Result<Option<Bytes>, LogError> {
        self.get(paths::entry(Table::Samples, version)).await
    }

    /// The commit of `version`; none where there is none.
    ///
    /// # Errors
    /// If the store fails or the entry is not one of ours.
    pub async fn commit(&self, version: u64) -> Result<Option<Commit>, LogError> {
        let Some(bytes) = self.entry(version).await? else {
            return Ok(None);
        };
        match parse_commit(&bytes) {
            Ok(commit) => Ok(Some(commit)),
            Err(detail) => Err(LogError::Corrupt {
                path: paths::entry(Table::Samples, version),
                detail,
            }),
        }
    }

    /// Whether the entry that `state` ends at still stands in the log, or, for an empty one,
    /// whether there is still no full state. If so, nothing after it was ever deleted.
    ///
    /// # Errors
    /// If the store fails or the entry is not one of ours.
    pub async fn still_holds(
        &self,
        version: Option<u64>,
        nonce: Option<Uuid>,
    ) -> Result<bool, LogError> {
        match version {
            Some(version) => {
                let found = self.commit(version).await?;
                Ok(found.map(|commit| commit.nonce) == nonce)
            }
            None => Ok(self.newest_listed().await?.is_none()),
        }
    }

    /// The entries after `base`; none if the log was cleaned up past it meanwhile.
    async fn entries_after(&self, base: &LakeState) -> Result<Option<Vec<Versioned>>, LogError> {
        let mut entries = Vec::new();
        let mut at_once = 1;
        'more: loop {
            let first = next(base) + entries.len() as u64;
            let asked = (first..first + at_once).map(|version| self.commit(version));
            for (found, version) in try_join_all(asked).await?.into_iter().zip(first..) {
                match found {
                    Some(commit) => entries.push((version, commit)),
                    None => break 'more,
                }
            }
            at_once = (at_once * 2).min(MOST_AT_ONCE);
        }
        let holds = self.still_holds(base.version, base.nonce).await?;
        Ok(holds.then_some(entries))
    }

    async fn pointed_state(&self) -> Result<Option<LakeState>, LogError> {
        let path = paths::state_pointer();
        let Some(bytes) = self.get(path).await? else {
            return Ok(None);
        };
        // Only a hint: what can't be read is none, and a listing tells.
        let pointer: StatePointer = serde_json::from_slice(&bytes).unwrap_or_default();
        match pointer.states.last() {
            Some(mark) => self.state(mark.version).await,
            None => Ok(None),
        }
    }

    /// The newest full state that a listing shows; the default one if it shows none.
    async fn listed_state(&self) -> Result<LakeState, LogError> {
        for _ in 0..MOST_TRIES {
            let Some(version) = self.newest_listed().await? else {
                return Ok(LakeState::default());
            };
            if let Some(state) = self.state(version).await? {
                return Ok(state);
            }
        }
        let version = self.newest_listed().await?.unwrap_or(0);
        Err(LogError::Gap { version })
    }

    async fn newest_listed(&self) -> Result<Option<u64>, LogError> {
        let folder = paths::state_folder();
        let listing = self.store.list(Some(&folder));
        let found = listing.try_fold(None, async |newest, object| {
            Ok(newest.max(paths::state_version(&object.location)))
        });
        found.await.map_err(|source| LogError::Store {
            path: folder,
            source,
        })
    }

    async fn state(&self, version: u64) -> Result<Option<LakeState>, LogError> {
        let path = paths::state(version);
        let Some(bytes) = self.get(path.clone()).await? else {
            return Ok(None);
        };
        match decode_state(&bytes) {
            Ok(state) => Ok(Some(state)),
            Err(detail) => Err(LogError::Corrupt { path, detail }),
        }
    }

    async fn get(&self, path: Path) -> Result<Option<Bytes>, LogError> {
        let answer = match self.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LogError::Store { path, source }),
        }
    }
}

/// The version of the entry that comes next.
fn next(state: &LakeState) -> u64 {
    state.version.map_or(0, |last| last + 1)
}

fn apply(state: &mut LakeState, entries: &[Versioned]) {
    for (version, commit) in entries {
        state.apply(*version, commit);
    }
}

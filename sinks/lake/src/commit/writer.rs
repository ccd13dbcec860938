//! Putting one entry at one version, and finding out whether that took place.

use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutPayload};
use tidegauge_tables::{Commit, LakeState, LogError, Table, parse_commit, paths};
use uuid::Uuid;

use super::CommitError;
use crate::log::lake_entry;
use crate::log_store::LogStore;

/// An entry on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) commit: Commit,
    bytes: Bytes,
    /// The nonce of the entry before it.
    parent: Option<Uuid>,
}

impl Entry {
    /// `commit` as the entry after `state`.
    pub(crate) fn after(state: &LakeState, commit: Commit) -> Self {
        let version = state.version.map_or(0, |last| last + 1);
        Self {
            version,
            bytes: lake_entry(state, &commit),
            commit,
            parent: state.nonce,
        }
    }
}

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It stands.
    Ours,
    /// Another writer's entry stands at its version.
    Theirs(Box<Commit>),
    /// Its version lies in a part of the log that is cleaned up: we were fenced long ago.
    Past,
}

/// The right to put the next entry.
#[derive(Debug)]
pub(super) struct Writer {
    generation: u64,
    pending: Option<Entry>,
    fenced: Option<(u64, u64)>,
}

impl Writer {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            pending: None,
            fenced: None,
        }
    }

    /// `entry` is to be put. What was begun before is settled.
    pub(super) fn begin(&mut self, entry: Entry) {
        assert!(self.pending.is_none(), "one entry at a time");
        assert_eq!(
            entry.commit.generation, self.generation,
            "a generation is one writer's"
        );
        self.pending = Some(entry);
    }

    /// Brings the entry that was begun, if any, to its end; returns it if it stands.
    pub(super) async fn settle(
        &mut self,
        log: &LogStore,
    ) -> Result<Option<(u64, Commit)>, CommitError> {
        if let Some((by_generation, version)) = self.fenced {
            return Err(CommitError::Fenced {
                by_generation,
                version,
            });
        }
        let Some(entry) = &self.pending else {
            return Ok(None);
        };
        let version = entry.version;
        let unsettled = |source| CommitError::Unsettled { version, source };
        let by_generation = match put_entry(log, entry).await.map_err(unsettled)? {
            Outcome::Ours => {
                let entry = self.pending.take().expect("it was there");
                return Ok(Some((version, entry.commit)));
            }
            Outcome::Theirs(commit) => commit.generation,
            Outcome::Past => {
                let newest = log.reader.open().await.map_err(unsettled)?;
                newest.generation
            }
        };
        tracing::error!(version, by_generation, "fenced by a newer writer");
        self.fenced = Some((by_generation, version));
        self.pending = None;
        Err(CommitError::Fenced {
            by_generation,
            version,
        })
    }
}

/// Puts `entry` until it is known to stand, or known never to.
pub(crate) async fn put_entry(log: &LogStore, entry: &Entry) -> Result<Outcome, LogError> {
    let path = paths::entry(Table::Samples, entry.version);
    for failures in 1.. {
        let body = PutPayload::from_bytes(entry.bytes.clone());
        match log
            .store
            .put_opts(&path, body, PutMode::Create.into())
            .await
        {
            Ok(_) => break,
            // Whatever the error says, only the log knows.
            Err(error) => tracing::debug!(%path, %error, failures, "the commit's put is open"),
        }
        match log.reader.entry(entry.version).await? {
            Some(found) if found == entry.bytes => break,
            Some(found) => return theirs(entry.version, &found),
            None => log.back_off(failures).await,
        }
    }
    // A version that was cleaned up can be put again; but then so was the one before it.
    let parent = entry.version.checked_sub(1);
    let stands = log.reader.still_holds(parent, entry.parent).await?;
    Ok(if stands { Outcome::Ours } else { Outcome::Past })
}

fn theirs(version: u64, found: &[u8]) -> Result<Outcome, LogError> {
    match parse_commit(found) {
        Ok(commit) => Ok(Outcome::Theirs(Box::new(commit))),
        Err(detail) => Err(LogError::Corrupt {
            path: paths::entry(Table::Samples, version),
            detail,
        }),
    }
}

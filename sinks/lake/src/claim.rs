//! Becoming the writer: a claim with the next generation fences every older one.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use rand::rngs::SmallRng;
use thiserror::Error;
use tidegauge_tables::{Commit, CommitKind, LakeState, LogError};

use crate::clock::Clock;
use crate::commit::{Committer, Entry, Outcome, put_entry};
use crate::encode::Values;
use crate::log_store::{LogSettings, LogStore};
use crate::project::History;

/// Why a lake could not be claimed.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// The log can't be read.
    #[error("claiming the lake failed")]
    Log(#[from] LogError),
}

impl Committer {
    /// Becomes the writer of the lake at the root of `store`, which is made if it is not there.
    /// `store` must be one that tries reads until they succeed, as
    /// [`open_store`](crate::open_store) gives it.
    ///
    /// The claim is put at exactly the next version; where a running writer was quicker, its entry
    /// is read and the claim made again. Of two that start at once the one whose claim comes later
    /// is the writer, and the other learns it with its first commit. Then what earlier writers have
    /// left to do in the tables' own Delta logs is finished.
    ///
    /// `values` is the form in which samples will be written: the first claim with the compact one adds its
    /// columns to the table's Delta schema.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn claim(
        store: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        rng: SmallRng,
        settings: LogSettings,
        values: Values,
    ) -> Result<(Self, Arc<LakeState>), ClaimError> {
        let log = LogStore::new(store, clock, rng, settings);
        let (state, history) = claim_next(&log, values).await?;
        tracing::info!(
            version = state.version,
            generation = state.generation,
            "lake claimed"
        );
        history.put_missing(&log).await;
        let committer = Self::begin(log, state);
        let state = committer.state();
        Ok((committer, state))
    }
}

/// Puts a claim after the newest entry; returns the state it makes and what led there.
async fn claim_next(log: &LogStore, values: Values) -> Result<(LakeState, History), LogError> {
    loop {
        let (base, mut entries) = log.reader.open_with_entries().await?;
        let mut state = base.clone();
        for (version, commit) in &entries {
            state.apply(*version, commit);
        }
        let claim = Commit {
            generation: state.generation + 1,
            nonce: log.nonce(),
            at: log.clock.now_ms(),
            kind: CommitKind::Claim {
                compact: values == Values::Compact,
            },
            files: BTreeMap::new(),
        };
        let entry = Entry::after(&state, claim);
        match put_entry(log, &entry).await? {
            Outcome::Ours => {
                state.apply(entry.version, &entry.commit);
                entries.push((entry.version, entry.commit));
                return Ok((state, History { base, entries }));
            }
            Outcome::Theirs(other) => {
                tracing::info!(
                    entry.version,
                    other.generation,
                    "another writer was quicker"
                );
            }
            Outcome::Past => tracing::info!(entry.version, "the log was cleaned up meanwhile"),
        }
    }
}

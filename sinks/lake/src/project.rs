//! The other tables' own Delta logs: projections of the lake's log, for other engines to read.
//!
//! Entry 0 of a table's log makes the table, and its entry `k` is the `k`th commit that changes it.
//! So which commit stands at which version is a function of the lake's log alone, any number of
//! writers may put the same projection, and the second finds it there. They are put in order, off
//! the commit's path, and finished by whoever claims the lake next. Our own reads never need them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parking_lot::Mutex;
use serde::Deserialize;
use tidegauge_tables::{Commit, LakeState, Table, Txn, paths};

use crate::log::{making_entry, projected_entry};
use crate::log_store::LogStore;

/// Commits whose projections are not put yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Projections {
    queue: Mutex<VecDeque<Arc<Waiting>>>,
    /// Held by whoever puts, so that they are put in order.
    putting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    version: u64,
    commit: Commit,
    /// The tables it changes, with the versions of their own logs.
    tables: Vec<(Table, u64)>,
}

impl Projections {
    /// Takes `commit`, which has led to `state`.
    pub(crate) fn push(&self, commit: &Commit, state: &LakeState) {
        let changed = commit
            .files
            .keys()
            .filter(|table| **table != Table::Samples);
        let tables: Vec<_> = changed
            .map(|table| (*table, entries(state, *table)))
            .collect();
        if tables.is_empty() {
            return;
        }
        let waiting = Waiting {
            version: state.version.expect("a commit has been applied"),
            commit: commit.clone(),
            tables,
        };
        self.queue.lock().push_back(Arc::new(waiting));
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().len()
    }

    /// Puts all that wait, in order.
    pub(crate) async fn put_all(&self, log: &LogStore) {
        let _putting = self.putting.lock().await;
        while let Some(waiting) = self.first() {
            for (table, table_version) in &waiting.tables {
                let bytes = projected_entry(waiting.version, &waiting.commit, *table);
                let projection = Projection {
                    lake_version: Some(waiting.version),
                    bytes: bytes.expect("the commit changes the table"),
                };
                put(log, *table, *table_version, &projection).await;
            }
            // Only now, so that a call that is dropped half-way is made again as a whole.
            self.queue.lock().pop_front();
        }
    }

    fn first(&self) -> Option<Arc<Waiting>> {
        self.queue.lock().front().cloned()
    }
}

/// What a claim has read: a state whose projections are all put, and the entries after it.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) base: LakeState,
    pub(crate) entries: Vec<(u64, Commit)>,
}

impl History {
    /// Puts what earlier writers have not come to put.
    pub(crate) async fn put_missing(&self, log: &LogStore) {
        for table in Table::ALL
            .into_iter()
            .filter(|table| *table != Table::Samples)
        {
            let (first, projections) = self.projections(table);
            let mut missing = projections.len();
            // They are put in order: below one that is there, none is missing.
            while missing > 0 && !exists(log, table, first + missing as u64 - 1).await {
                missing -= 1;
            }
            for (projection, version) in projections.iter().zip(first..).skip(missing) {
                put(log, table, version, projection).await;
            }
        }
    }

    /// All entries of the own log of `table` that may be missing, in order from the version given.
    fn projections(&self, table: Table) -> (u64, Vec<Projection>) {
        let mut projections = Vec::new();
        let base = entries(&self.base, table);
        if base == 0 {
            let first = self
                .entries
                .first()
                .map(|(_, commit)| (commit.nonce, commit.at));
            let birth = self
                .base
                .birth
                .or_else(|| first.map(|(id, at)| tidegauge_tables::Birth { id, at }));
            let birth = birth.expect("a claimed lake has a first commit");
            projections.push(Projection {
                lake_version: None,
                bytes: making_entry(table, birth),
            });
        }
        let changing = self.entries.iter().filter_map(|(version, commit)| {
            Some(Projection {
                lake_version: Some(*version),
                bytes: projected_entry(*version, commit, table)?,
            })
        });
        projections.extend(changing);
        (if base == 0 { 0 } else { base + 1 }, projections)
    }
}

/// One entry of a table's own log.
struct Projection {
    /// The commit it is of; none for the making of the table.
    lake_version: Option<u64>,
    bytes: Bytes,
}

fn entries(state: &LakeState, table: Table) -> u64 {
    state.tables.get(&table).map_or(0, |table| table.entries)
}

async fn exists(log: &LogStore, table: Table, version: u64) -> bool {
    log.store.head(&paths::entry(table, version)).await.is_ok()
}

/// Puts one entry of the own log of `table`, or finds it there.
async fn put(log: &LogStore, table: Table, version: u64, projection: &Projection) {
    let path = paths::entry(table, version);
    for failures in 1.. {
        let body = PutPayload::from_bytes(projection.bytes.clone());
        let Err(error) = log
            .store
            .put_opts(&path, body, PutMode::Create.into())
            .await
        else {
            return;
        };
        let found = match log.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) if lake_version(&found) == projection.lake_version => return,
            Ok(_) => {
                // The next checkpoint has the whole table from our own state, and mends it.
                tracing::error!(%path, "another program has written to this table's log");
                return;
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%path, %error, "reading back a projection failed"),
        }
        tracing::debug!(%path, %error, failures, "putting a projection failed");
        log.back_off(failures).await;
    }
}

/// Which commit an entry is the projection of.
fn lake_version(entry: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Line {
        txn: Txn,
    }
    let mut lines = entry.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.starts_with(br#"{"txn""#))?;
    let line: Line = serde_json::from_slice(line).ok()?;
    u64::try_from(line.txn.version).ok()
}

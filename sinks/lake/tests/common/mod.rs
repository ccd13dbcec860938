//! What the tests of the log share: a lake in memory, in injected time, with writers that meet
//! faults of their own.

#![allow(dead_code, reason = "each test uses some of it")]

mod sim;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::faults::FaultyStore;
use tidegauge_lake::{Clock, Committer, Draft, LogSettings, RetrySettings, Retrying, Values};
use tidegauge_tables::{
    Commit, CommitKind, Counts, DataFile, FileChanges, FileKind, Key, LakeState, LogReader, Table,
    parse_commit, paths,
};

pub(crate) use sim::{SimClock, simulate};

/// A lake in memory.
#[derive(Clone, Debug)]
pub(crate) struct Lake {
    /// What a disk would hold.
    pub(crate) disk: Arc<dyn ObjectStore>,
    /// The time.
    pub(crate) clock: SimClock,
    /// How writers keep the log.
    pub(crate) settings: LogSettings,
}

/// A way to the lake for one writer, with faults of its own.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Tries again.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Fails.
    pub(crate) faults: FaultyStore,
    /// Seeds each life anew.
    seed: Arc<AtomicU64>,
}

impl Lake {
    /// An empty lake.
    pub(crate) fn new() -> Self {
        Self {
            disk: Arc::new(InMemory::new()),
            clock: SimClock::current(),
            settings: LogSettings::default(),
        }
    }

    /// A lake that writes states and checkpoints often and deletes soon.
    pub(crate) fn tidy(state_every: u64, checkpoint_every: u64, log_grace_ms: i64) -> Self {
        let mut lake = Self::new();
        lake.settings.state_every = state_every;
        lake.settings.checkpoint_every = checkpoint_every;
        lake.settings.log_grace_ms = log_grace_ms;
        lake
    }

    /// A way to it.
    pub(crate) fn way(&self, seed: u64) -> Way {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let faults = FaultyStore::new(Arc::clone(&self.disk), Arc::clone(&clock), seed);
        let spawner = self.clock.clone();
        let faults = faults.landing_on(move |task| spawner.spawn(task));
        let store = Retrying::new(
            Arc::new(faults.clone()),
            RetrySettings::default(),
            clock,
            SmallRng::seed_from_u64(seed),
            Arc::default(),
        );
        Way {
            store: Arc::new(store),
            faults,
            seed: Arc::new(AtomicU64::new(seed << 16)),
        }
    }

    /// A new writer over `way`.
    pub(crate) async fn claim(&self, way: &Way) -> Committer {
        let claimed = Committer::claim(
            Arc::clone(&way.store),
            Arc::new(self.clock.clone()),
            SmallRng::seed_from_u64(way.seed.fetch_add(1, Ordering::Relaxed)),
            self.settings,
            Values::Plain,
        );
        claimed.await.expect("a claim waits until it stands").0
    }

    /// A writer without faults.
    pub(crate) async fn writer(&self, seed: u64) -> Committer {
        self.claim(&self.way(seed)).await
    }

    /// The state that a reader finds.
    pub(crate) async fn read(&self) -> LakeState {
        self.reader().open().await.expect("the log can be read")
    }

    /// A reader of it.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.disk), &Path::default())
    }

    /// All commits, from the first. Only for a log that was never cleaned up.
    pub(crate) async fn commits(&self) -> Vec<Commit> {
        let mut commits = Vec::new();
        while let Some(bytes) = self
            .object(paths::entry(Table::Samples, commits.len() as u64))
            .await
        {
            commits.push(parse_commit(&bytes).expect("an entry of ours"));
        }
        commits
    }

    /// What the disk holds at `path`.
    pub(crate) async fn object(&self, path: Path) -> Option<bytes::Bytes> {
        let found = self.disk.get(&path).await.ok()?;
        Some(found.bytes().await.expect("memory can be read"))
    }

    /// Checks that every table's own log has one entry for each commit that changed it, in order.
    pub(crate) async fn check_projections(&self) {
        for table in Table::ALL
            .into_iter()
            .filter(|table| *table != Table::Samples)
        {
            let mut expected = Vec::new();
            for (version, commit) in self.commits().await.iter().enumerate() {
                if let Some(changes) = commit.files.get(&table) {
                    let added = changes.add.iter().map(|file| file.path.clone());
                    expected.push((version as u64, added.collect::<Vec<_>>()));
                }
            }
            let mut found = Vec::new();
            let mut version = 1;
            while let Some(entry) = self.object(paths::entry(table, version)).await {
                found.push(projection(&entry));
                version += 1;
            }
            assert!(
                self.object(paths::entry(table, 0)).await.is_some(),
                "{table:?} is made"
            );
            assert_eq!(found, expected, "{table:?}");
        }
    }

    /// Waits.
    pub(crate) async fn pass(&self, ms: u64) {
        self.clock.sleep(Duration::from_millis(ms)).await;
    }

    /// What `task` gives, if it does so in time; it is dropped if not.
    pub(crate) async fn within<T>(&self, ms: u64, task: impl Future<Output = T>) -> Option<T> {
        let late = self.clock.sleep(Duration::from_millis(ms));
        match select(std::pin::pin!(task), late).await {
            Either::Left((given, _)) => Some(given),
            Either::Right(_) => None,
        }
    }
}

/// The lake version and added paths of an entry of a table's own log.
fn projection(entry: &[u8]) -> (u64, Vec<String>) {
    let (mut version, mut added) = (None, Vec::new());
    for line in entry
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        if let Some(txn) = line.get("txn") {
            version = txn["version"].as_u64();
        }
        if let Some(add) = line.get("add") {
            added.push(add["path"].as_str().expect("a path").to_owned());
        }
    }
    (version.expect("a projection says of what"), added)
}

/// A data file called `name`.
pub(crate) fn file(name: &str) -> DataFile {
    let key = Key {
        tenant: "default".into(),
        name: "cpu".into(),
    };
    DataFile {
        path: format!("date=2026-11-21/{name}.parquet"),
        date: 20_778,
        bytes: 100,
        rows: 1,
        min_time: 1_795_219_200_000,
        max_time: 1_795_219_200_000,
        min_key: key.clone(),
        max_key: key,
        kind: FileKind::Main,
        compacted: false,
        taken_at: 0,
        version: 0,
    }
}

/// A commit of the stream that adds one file called `name` to `samples` and `rollup_1m`.
pub(crate) fn stream(epoch: u64, name: &str) -> Draft {
    let changes = FileChanges {
        add: vec![file(name)],
        remove: vec![],
    };
    let counts = Counts {
        samples: 1,
        ..Counts::default()
    };
    Draft {
        kind: CommitKind::Stream {
            epoch,
            watermark: None,
            cutoff: 0,
            cuts: vec![],
            dirty: vec![],
            counts,
        },
        files: BTreeMap::from([
            (Table::Samples, changes.clone()),
            (Table::Rollup1m, changes),
        ]),
    }
}

/// A commit of upkeep that replaces files of `samples`.
pub(crate) fn compact(as_of: u64, remove: &[&str], add: &str) -> Draft {
    let changes = FileChanges {
        add: vec![file(add)],
        remove: remove.iter().map(|name| file(name).path).collect(),
    };
    Draft {
        kind: CommitKind::Upkeep {
            as_of,
            repaired: vec![],
        },
        files: BTreeMap::from([(Table::Samples, changes)]),
    }
}

/// The names of the live files of `samples`.
pub(crate) fn live(state: &LakeState) -> Vec<String> {
    let names = state.files(Table::Samples).map(|file| {
        let name = file.path.trim_start_matches("date=2026-11-21/");
        name.trim_end_matches(".parquet").to_owned()
    });
    names.collect()
}

//! What the broker keeps about itself: its directory lock, its cluster id, and the producer ids it
//! has given out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::disk;
use crate::error::{BrokerError, Refusal};

/// The only broker there is; Kafka's tools call it 1.
pub(crate) const BROKER_ID: i32 = 1;

/// The file in the broker's directory.
const FILE: &str = "broker.json";
/// Producer ids are reserved on disk in blocks of this many.
const BLOCK: i64 = 1_000;

/// What is kept in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    cluster_id: String,
    /// No id from here on was ever given out.
    unused_producer_id: i64,
}

/// The broker's own state, under the lock of its directory.
pub(crate) struct Identity {
    dir: PathBuf,
    pub(crate) cluster_id: String,
    ids: Mutex<Ids>,
    /// Held as long as the broker lives.
    _lock: File,
}

struct Ids {
    next: i64,
    reserved: i64,
}

impl Identity {
    /// Takes the directory, which is made if it is missing.
    pub(crate) fn open(dir: &Path, now_ms: i64) -> Result<Identity, BrokerError> {
        fs::create_dir_all(dir).map_err(BrokerError::file("making", dir))?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let stored = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| BrokerError::Damaged {
                path: path.clone(),
                why: e.to_string(),
            })?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Stored {
                cluster_id: new_cluster_id(dir, now_ms),
                unused_producer_id: 1,
            },
            Err(failed) => return Err(BrokerError::file("reading", &path)(failed)),
        };
        save(dir, &stored).map_err(BrokerError::file("writing", &path))?;
        let ids = Ids {
            next: stored.unused_producer_id,
            reserved: stored.unused_producer_id,
        };
        Ok(Identity {
            dir: dir.to_owned(),
            cluster_id: stored.cluster_id,
            ids: Mutex::new(ids),
            _lock: lock,
        })
    }

    /// A producer id that nobody has.
    pub(crate) fn next_producer_id(&self) -> Result<i64, Refusal> {
        let mut ids = self.ids.lock();
        if ids.next == ids.reserved {
            let reserved = ids.reserved + BLOCK;
            let stored = Stored {
                cluster_id: self.cluster_id.clone(),
                unused_producer_id: reserved,
            };
            save(&self.dir, &stored)
                .map_err(|e| Refusal::new(ResponseError::KafkaStorageError, e.to_string()))?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }
}

fn lock(dir: &Path) -> Result<File, BrokerError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(BrokerError::file("writing", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BrokerError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(failed)) => Err(BrokerError::file("locking", &path)(failed)),
    }
}

fn new_cluster_id(dir: &Path, now_ms: i64) -> String {
    format!(
        "tidegauge-{:016x}",
        xxh3_128(format!("{}/{now_ms}", dir.display()).as_bytes()) as u64
    )
}

fn save(dir: &Path, stored: &Stored) -> io::Result<()> {
    disk::put(dir, FILE, &serde_json::to_vec_pretty(stored)?)
}

//! What the broker keeps about itself: its directory lock, its cluster id, the producer ids it has
//! given out, and when it last lived.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

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
    /// When a broker last lived here; none if none ever did.
    pub(crate) last_alive_ms: Option<i64>,
    ids: Mutex<Ids>,
    /// Held as long as the broker lives. The file's time says when it last did.
    lock: File,
}

struct Ids {
    next: i64,
    reserved: i64,
}

impl Identity {
    /// Takes the directory, which is made if it is missing.
    pub(crate) fn open(dir: &Path, now_ms: i64) -> Result<Identity, BrokerError> {
        fs::create_dir_all(dir).map_err(BrokerError::file("making", dir))?;
        let (lock, last_alive_ms) = lock(dir)?;
        let path = dir.join(FILE);
        // Nothing is written where nothing is new: on a full disk the broker must start, for only
        // then can retention make room.
        let stored = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| BrokerError::Damaged {
                path: path.clone(),
                why: e.to_string(),
            })?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let new = Stored {
                    cluster_id: new_cluster_id(dir, now_ms),
                    unused_producer_id: 1,
                };
                save(dir, &new).map_err(BrokerError::file("writing", &path))?;
                new
            }
            Err(failed) => return Err(BrokerError::file("reading", &path)(failed)),
        };
        let ids = Ids {
            next: stored.unused_producer_id,
            reserved: stored.unused_producer_id,
        };
        Ok(Identity {
            dir: dir.to_owned(),
            cluster_id: stored.cluster_id,
            last_alive_ms,
            ids: Mutex::new(ids),
            lock,
        })
    }

    /// Notes that the broker lives. This takes no room on the disk.
    pub(crate) fn note_alive(&self, now_ms: i64) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
        self.lock.set_modified(UNIX_EPOCH + since)
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

/// The lock, and when it was last held.
fn lock(dir: &Path) -> Result<(File, Option<i64>), BrokerError> {
    let path = dir.join("lock");
    let last_alive_ms = disk::modified_ms(&path).ok();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(BrokerError::file("writing", &path))?;
    match file.try_lock() {
        Ok(()) => Ok((file, last_alive_ms)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_writes_nothing_that_is_there_and_learns_when_the_last_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(dir.path(), 5).unwrap();
        assert_eq!(first.last_alive_ms, None);
        first.note_alive(77_000).unwrap();
        let cluster_id = first.cluster_id.clone();
        drop(first);
        let written = disk::modified_ms(&dir.path().join(FILE)).unwrap();
        // As a full disk does, this lets no new file be written.
        fs::create_dir(dir.path().join("broker.json.tmp")).unwrap();
        let second = Identity::open(dir.path(), 99_000).unwrap();
        assert_eq!(second.last_alive_ms, Some(77_000));
        assert_eq!(second.cluster_id, cluster_id);
        assert_eq!(disk::modified_ms(&dir.path().join(FILE)).unwrap(), written);
        assert!(second.next_producer_id().is_err(), "ids are written down");
    }
}

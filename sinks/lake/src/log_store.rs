//! What everything that writes the log has at hand.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use tidegauge_tables::LogReader;
use uuid::Uuid;

use crate::clock::Clock;
use crate::store::RetrySettings;

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Commits between two full states: as many entries are read when the lake is opened.
    pub state_every: u64,
    /// Commits between two Delta checkpoints, and clean-ups.
    pub checkpoint_every: u64,
    /// How long entries are kept after a checkpoint has made them superfluous, milliseconds.
    pub log_grace_ms: i64,
    /// How the commit's put is made again.
    pub retry: RetrySettings,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            state_every: 20,
            checkpoint_every: 100,
            log_grace_ms: 3_600_000,
            retry: RetrySettings::default(),
        }
    }
}

/// The store that the log lies in, with the clock and the chance by which it is written.
#[derive(Debug)]
pub(crate) struct LogStore {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: LogSettings,
    pub(crate) reader: LogReader,
    rng: Mutex<SmallRng>,
}

impl LogStore {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        rng: SmallRng,
        settings: LogSettings,
    ) -> Self {
        Self {
            reader: LogReader::new(Arc::clone(&store), &Path::default()),
            store,
            clock,
            settings,
            rng: Mutex::new(rng),
        }
    }

    pub(crate) fn nonce(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.lock().random()).into_uuid()
    }

    /// Waits as long as becomes the `failures`th failure in a row.
    pub(crate) async fn back_off(&self, failures: u32) {
        let wait = {
            let mut rng = self.rng.lock();
            self.settings.retry.backoff(failures, &mut *rng)
        };
        self.clock.sleep(wait).await;
    }
}

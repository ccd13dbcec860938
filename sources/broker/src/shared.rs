//! What connections and background tasks share, and the signal that ends them.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::coordinator::Coordinator;
use crate::identity::Identity;
use crate::log::force;
use crate::outages::Outages;
use crate::settings::{Fsync, Settings};
use crate::topics::{Partition, Topics};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) outages: Outages,
    pub(crate) topics: Topics,
    pub(crate) coordinator: Coordinator,
}

impl Shared {
    /// Where the settings ask for it, waits until each log is on disk before the offset beside it.
    pub(crate) async fn force(&self, written: Vec<(Partition, i64)>) -> io::Result<()> {
        if self.settings.fsync != Fsync::Always || written.is_empty() {
            return Ok(());
        }
        let force_all = move || {
            written
                .iter()
                .try_for_each(|(log, next_offset)| force::force(log, *next_offset))
        };
        tokio::task::spawn_blocking(force_all)
            .await
            .unwrap_or_else(|died| Err(io::Error::other(died)))
    }
}

/// Ends when the broker is told to stop, or is dropped.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

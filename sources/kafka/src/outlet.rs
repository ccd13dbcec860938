//! The way out: a bounded channel that holds reading back when it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender};
use tidegauge_model::SourceEvent;

use crate::error::SourceError;
use crate::hooks::Wake;
use crate::shared::Shared;

/// Why the reader ends.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It was told to, or nobody listens any more.
    Stopped,
    /// It can't go on.
    Failed(SourceError),
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

/// How often a wait for room looks whether it should end.
const SLICE: Duration = Duration::from_millis(20);

/// Sends events, in order, waiting while the channel is full.
pub(crate) struct Outlet {
    pub(crate) events: Sender<SourceEvent>,
    pub(crate) wake: Wake,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) shared: Arc<Shared>,
    /// Whether anything was sent since the worker was last woken.
    pub(crate) sent: bool,
}

impl Outlet {
    /// Sends one event. While the channel is full nothing is polled, and the client stops fetching
    /// once its own bounded queue is full.
    pub(crate) fn send(&mut self, mut event: SourceEvent) -> Result<(), Halt> {
        loop {
            match self.events.send_timeout(event, SLICE) {
                Ok(()) => {
                    self.sent = true;
                    return Ok(());
                }
                Err(SendTimeoutError::Disconnected(_)) => return Err(Halt::Stopped),
                Err(SendTimeoutError::Timeout(back)) => event = back,
            }
            self.shared
                .full_ms
                .fetch_add(SLICE.as_millis() as u64, Ordering::Relaxed);
            // Whoever waits for the start must not wait for what waits for its draining.
            self.shared.ready.store(true, Ordering::Release);
            (self.wake)();
            if self.stop.load(Ordering::Relaxed) {
                return Err(Halt::Stopped);
            }
        }
    }

    /// Wakes the worker if there is something for it.
    pub(crate) fn wake(&mut self) {
        if std::mem::take(&mut self.sent) {
            (self.wake)();
        }
    }
}

//! What the thread that looks and the thread that delivers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::counters::Counters;
use crate::spool::Spool;

/// What the two threads share.
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    pub(crate) wake: Notify,
    /// Set to when delivering has to end.
    pub(crate) stop: watch::Sender<Option<Instant>>,
    spool: Mutex<Spool>,
    scraper_done: AtomicBool,
}

impl Shared {
    pub(crate) fn new(spool: Spool) -> Self {
        Self {
            counters: Counters::default(),
            wake: Notify::new(),
            stop: watch::Sender::new(None),
            spool: Mutex::new(spool),
            scraper_done: AtomicBool::new(false),
        }
    }

    pub(crate) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more will come from here on.
    pub(crate) fn end_of_scraping(&self) {
        self.scraper_done.store(true, Ordering::Release);
    }

    /// Whether nothing more will come.
    pub(crate) fn scraper_is_done(&self) -> bool {
        self.scraper_done.load(Ordering::Acquire)
    }
}

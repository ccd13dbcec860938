//! How the store is doing: counters and the present trouble, for metrics and the status line.

use parking_lot::Mutex;

/// How the store is doing. Shared by whoever shows it.
#[derive(Debug, Default)]
pub struct StoreHealth {
    now: Mutex<StoreReport>,
}

/// A moment's view of [`StoreHealth`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// Requests answered, also with "not found".
    pub answered: u64,
    /// Attempts that failed and were, or will be, made again.
    pub failed: u64,
    /// Since when attempts fail, milliseconds; none while the store answers.
    pub failing_since: Option<i64>,
    /// What the last failure said.
    pub last_error: Option<String>,
}

impl StoreHealth {
    /// The present view.
    #[must_use]
    pub fn report(&self) -> StoreReport {
        self.now.lock().clone()
    }

    /// Notes an answer; returns for how many milliseconds there was none before it, if so.
    pub(super) fn answered(&self, now_ms: i64) -> Option<i64> {
        let mut report = self.now.lock();
        report.answered += 1;
        report.failing_since.take().map(|since| now_ms - since)
    }

    pub(super) fn failed(&self, now_ms: i64, error: String) {
        let mut report = self.now.lock();
        report.failed += 1;
        report.failing_since.get_or_insert(now_ms);
        report.last_error = Some(error);
    }
}

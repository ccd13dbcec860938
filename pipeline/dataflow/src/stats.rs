//! What the dataflow shows of itself.

use std::sync::{Arc, Mutex, PoisonError};

use crate::open::Open;
use crate::watermark::Hold;

/// A notice board: operators pin what they see, anyone reads.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Stats>>);

/// One reading of the board.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The newest opening.
    pub open: Option<Open>,
    /// What holds the watermark; only process 0 knows.
    pub hold: Option<Hold>,
    /// Samples taken by this process since its start.
    pub samples: u64,
    /// Of them late.
    pub late: u64,
    /// Of them quarantined.
    pub quarantined: u64,
    /// Duplicates found by this process.
    pub duplicate: u64,
    /// Records or parts of records refused.
    pub rejected: u64,
    /// Samples taken and not yet committed, by worker.
    pub in_flight: Vec<u64>,
    /// Samples held in open windows at the last seal, by worker.
    pub open_samples: Vec<u64>,
    /// Series known at the last seal, by worker.
    pub series: Vec<u64>,
}

impl Board {
    /// Reads the board.
    #[must_use]
    pub fn read(&self) -> Stats {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn write(&self, pin: impl FnOnce(&mut Stats)) {
        pin(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sets the entry of `worker` in a column by worker.
pub(crate) fn by_worker(column: &mut Vec<u64>, worker: usize, value: u64) {
    if column.len() <= worker {
        column.resize(worker + 1, 0);
    }
    column[worker] = value;
}

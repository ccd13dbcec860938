//! Samples by what became of them.

use serde::{Deserialize, Serialize};

/// Samples by what became of them; each is a count of samples but for `records` and `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All that came.
    pub samples: u64,
    /// At or before the watermark of their epoch.
    pub late: u64,
    /// Past the future cutoff.
    pub quarantined: u64,
    /// Of the same series and time as another of the same commit or an open window.
    pub duplicate: u64,
    /// Records or parts of records refused.
    pub rejected: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.late += other.late;
        self.quarantined += other.quarantined;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
    }
}

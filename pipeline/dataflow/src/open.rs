//! What is fixed when an epoch opens.

use serde::{Deserialize, Serialize};

/// The beginning of epoch `epoch`, minted once and broadcast to every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Which epoch begins; the one before it ends with this.
    pub epoch: u64,
    /// The watermark `J`: samples at or before it are late, windows with end ≤ J close at the next
    /// seal. None while a partition has none of its own.
    pub watermark: Option<i64>,
    /// The future cutoff `F`: samples after it are quarantined.
    pub cutoff: i64,
    /// The greatest cutoff of the epochs that are not yet sealed, this one's among them: it falls between
    /// them where the clock is set back.
    pub reach: i64,
    /// Whether all epochs before this one that are not yet sealed now make a commit.
    pub seal: bool,
    /// Whether this is the end: nothing is taken any more.
    pub stop: bool,
    /// Every epoch before this one is committed.
    pub committed: u64,
}

/// What drives epochs on: a reading of the wall clock. The dataflow has no clock of its own, so a
/// test can replay any hour in any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Milliseconds since the Unix epoch.
    pub now: i64,
    /// Make a commit now, due or not.
    pub seal: bool,
    /// Make the last commit and end.
    pub stop: bool,
}

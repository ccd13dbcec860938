//! Where seals leave the dataflow, and commits.

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use tidegauge_model::{Counts, PartitionCut, Sealed};
use timely::ExchangeData;

use crate::open::Open;
use crate::wake::Bell;
use crate::windows::SealNote;

/// What a sink says of a seal it has written: all that worker 0 needs to commit it.
pub trait Receipt: ExchangeData {}

impl<R: ExchangeData> Receipt for R {}

/// One worker's way out. The sink takes seals, writes them, and answers each with a receipt, in any
/// order, ringing the bell. Both queues hold at most the two seals that may be on their way.
#[derive(Debug)]
pub struct Outlet<R> {
    /// (the epoch that the seal ends before, its rows).
    pub seals: Sender<(u64, Sealed)>,
    /// (the same epoch, the receipt).
    pub receipts: Receiver<(u64, R)>,
    /// Rung by the sink after each receipt.
    pub bell: Bell,
}

/// One worker's share of a commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Share<R> {
    pub(crate) open: Open,
    pub(crate) note: SealNote,
    pub(crate) receipt: R,
}

/// A whole commit: everything that came in epochs before `epoch` and after the commit before.
#[derive(Clone, Debug)]
pub struct Draft<R> {
    /// The first epoch not in it.
    pub epoch: u64,
    /// The watermark up to which windows are closed.
    pub watermark: Option<i64>,
    /// The greatest future cutoff of its epochs.
    pub cutoff: i64,
    /// How far each partition that has moved is taken.
    pub cuts: Vec<PartitionCut>,
    /// Starts of dirty minutes, ascending.
    pub dirty: Vec<i64>,
    /// What came in.
    pub counts: Counts,
    /// What each worker's sink said.
    pub receipts: Vec<R>,
}

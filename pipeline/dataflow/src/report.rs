//! What sources tell the minter and the assembler when an epoch ends.

use serde::{Deserialize, Serialize};
use tidegauge_model::{Counts, Partition, PartitionCut};

use crate::watermark::Progress;

/// One worker's sources at the end of one epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whose sources they are.
    pub(crate) worker: usize,
    /// The epoch that ends.
    pub(crate) epoch: u64,
    /// Progress of partitions where it has changed; none where the partition is gone.
    pub(crate) progress: Vec<(Partition, Option<Progress>)>,
    /// Partitions that have moved.
    pub(crate) cuts: Vec<PartitionCut>,
    /// What came in.
    pub(crate) counts: Counts,
    /// What of it is held until its commit, as so many samples.
    pub(crate) held: u64,
}

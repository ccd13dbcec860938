//! Watermarks that neither stall nor drop: one per partition, the least of them for all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegauge_model::Partition;

/// What is known of one partition's progress in event time. All times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How long after the newest event time samples are still on time.
    pub(crate) lateness_ms: i64,
    /// Up to where input is taken as complete; none before the first sample or proof.
    pub(crate) watermark: Option<i64>,
    /// Since when the partition can't be read.
    pub(crate) blocked_since: Option<i64>,
}

impl Progress {
    pub(crate) const fn new(lateness_ms: i64) -> Self {
        Self {
            lateness_ms,
            watermark: None,
            blocked_since: None,
        }
    }

    /// Takes the greatest on-time event time of a chunk. It counts no further than the wall clock
    /// at the poll: a producer whose clock runs ahead must not make everyone else late.
    pub(crate) fn saw(&mut self, newest: i64, polled_at: i64) {
        self.advance(newest.min(polled_at));
    }

    /// Takes the proof that at `asked_at` there was nothing more to read.
    pub(crate) fn proven_idle(&mut self, asked_at: i64) {
        self.advance(asked_at);
    }

    fn advance(&mut self, to: i64) {
        self.watermark = self.watermark.max(Some(to - self.lateness_ms));
    }
}

/// What holds the watermark back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is registered yet.
    NoPartitions,
    /// The partition has the least watermark, or none.
    Partition(Partition),
}

/// The least watermark of all partitions that hold, and which one it is. A partition that can't be
/// read holds for `blocked_after_ms`; with all of them blocked that long, the watermark stays.
pub(crate) fn least<'a>(
    partitions: impl Iterator<Item = (&'a Partition, &'a Progress)>,
    now: i64,
    blocked_after_ms: i64,
) -> (Option<i64>, Hold) {
    let holds = |progress: &Progress| {
        progress
            .blocked_since
            .is_none_or(|since| now.saturating_sub(since) < blocked_after_ms)
    };
    partitions
        .filter(|(_, progress)| holds(progress))
        .min_by_key(|(_, progress)| progress.watermark)
        .map_or((None, Hold::NoPartitions), |(partition, progress)| {
            (progress.watermark, Hold::Partition(partition.clone()))
        })
}

/// Progress by partition, as the minter keeps it.
pub(crate) type Partitions = BTreeMap<Partition, Progress>;

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32) -> Partition {
        Partition {
            topic: "metrics".into(),
            index,
        }
    }

    #[test]
    fn a_clock_ahead_moves_the_watermark_no_further_than_ours() {
        let mut progress = Progress::new(15);
        progress.saw(160, 100);
        assert_eq!(progress.watermark, Some(85));
    }

    #[test]
    fn the_watermark_of_a_partition_never_falls() {
        let mut progress = Progress::new(10);
        progress.saw(100, 1_000);
        progress.saw(50, 1_000);
        assert_eq!(progress.watermark, Some(90));
    }

    #[test]
    fn the_silent_partition_holds_until_idleness_is_proven() {
        let mut partitions = Partitions::from([
            (partition(0), Progress::new(10)),
            (partition(1), Progress::new(10)),
        ]);
        partitions
            .get_mut(&partition(0))
            .expect("there")
            .saw(500, 1_000);
        let (watermark, hold) = least(partitions.iter(), 1_000, 300);
        assert_eq!((watermark, hold), (None, Hold::Partition(partition(1))));
        partitions
            .get_mut(&partition(1))
            .expect("there")
            .proven_idle(600);
        assert_eq!(least(partitions.iter(), 1_000, 300).0, Some(490));
    }

    #[test]
    fn a_blocked_partition_holds_for_its_time_and_no_longer() {
        let mut partitions = Partitions::from([
            (partition(0), Progress::new(10)),
            (partition(1), Progress::new(10)),
        ]);
        partitions
            .get_mut(&partition(0))
            .expect("there")
            .saw(500, 1_000);
        partitions
            .get_mut(&partition(1))
            .expect("there")
            .blocked_since = Some(1_000);
        assert_eq!(least(partitions.iter(), 1_299, 300).0, None);
        assert_eq!(least(partitions.iter(), 1_300, 300).0, Some(490));
        partitions
            .get_mut(&partition(0))
            .expect("there")
            .blocked_since = Some(1_000);
        assert_eq!(
            least(partitions.iter(), 1_300, 300),
            (None, Hold::NoPartitions)
        );
    }
}

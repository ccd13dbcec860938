//! Which worker reads which partition.

use tidegauge_model::Partition;
use xxhash_rust::xxh3::xxh3_64;

/// Which of the workers this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerShare {
    /// This worker, counted from 0.
    pub index: usize,
    /// How many workers there are in all processes.
    pub peers: usize,
}

impl WorkerShare {
    /// Whether this worker reads `partition`.
    #[must_use]
    pub fn owns(&self, partition: &Partition) -> bool {
        owner(partition, self.peers) == self.index
    }
}

/// The worker that reads `partition`, out of `peers`: partitions of one topic go round the workers,
/// beginning at one that the topic's name gives. The same in every process and version.
///
/// ```
/// use tidegauge_kafka::owner;
/// use tidegauge_model::Partition;
/// let at = |index| owner(&Partition { topic: "metrics".into(), index }, 4);
/// let mut workers = [at(0), at(1), at(2), at(3)];
/// workers.sort();
/// assert_eq!(workers, [0, 1, 2, 3]);
/// ```
///
/// # Panics
/// If `peers` is 0.
#[must_use]
pub fn owner(partition: &Partition, peers: usize) -> usize {
    assert!(peers > 0, "partition {partition} is shared among 0 workers");
    let peers = peers as u64;
    let first = xxh3_64(partition.topic.as_bytes()) % peers;
    let step = u64::from(partition.index.cast_unsigned()) % peers;
    usize::try_from((first + step) % peers).expect("less than `peers`, a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_one_owner_and_a_topic_is_spread_evenly() {
        for topic in ["metrics", "a", "otlp.eu", ""] {
            for peers in [1, 2, 4, 7] {
                let mut loads = vec![0; peers];
                for index in 0..i32::try_from(peers * 3).expect("small") {
                    let partition = Partition {
                        topic: topic.into(),
                        index,
                    };
                    let owners: Vec<usize> = (0..peers)
                        .filter(|&index| WorkerShare { index, peers }.owns(&partition))
                        .collect();
                    assert_eq!(owners, [owner(&partition, peers)], "{partition} of {peers}");
                    loads[owners[0]] += 1;
                }
                assert_eq!(loads, vec![3; peers], "{topic} over {peers}");
            }
        }
    }

    #[test]
    fn the_assignment_never_changes() {
        let at = |topic: &str, index| {
            owner(
                &Partition {
                    topic: topic.into(),
                    index,
                },
                4,
            )
        };
        assert_eq!(
            [at("metrics", 0), at("metrics", 1), at("telegraf", 0)],
            PINNED
        );
    }

    /// A change here moves partitions between workers on an upgrade: harmless, but not by accident.
    const PINNED: [usize; 3] = [1, 2, 2];
}

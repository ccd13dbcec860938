//! `mint`: worker 0 decides when an epoch opens and what is fixed for it.
//!
//! It never waits for the frontier: sources hold epoch `e` until `e + 1` opens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;

use crate::open::{Open, Tick};
use crate::report::Report;
use crate::settings::{SAMPLE_BYTES, Settings};
use crate::stats::Board;
use crate::wake::Bell;
use crate::watermark::{Partitions, least};

/// What the minter of worker 0 stands between; other workers have none.
pub(crate) struct MintEnds {
    pub(crate) ticks: Receiver<Tick>,
    pub(crate) bell: Bell,
    /// Every epoch before this is committed; the committer moves it.
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) board: Board,
}

/// Turns reports into openings: one for each tick, at the time of the epoch before.
pub(crate) fn mint<'scope>(
    reports: StreamVec<'scope, u64, Report>,
    first: Mint,
    ends: Option<MintEnds>,
) -> StreamVec<'scope, u64, Open> {
    let worker = reports.scope().worker();
    reports.unary_frontier::<CapacityContainerBuilder<_>, _, _, _>(
        Exchange::new(|_: &Report| 0),
        "mint",
        move |capability, info| {
            if let Some(ends) = &ends {
                ends.bell
                    .hang(worker.sync_activator_for(info.address.to_vec()));
            }
            let mut mint = first;
            let mut capability = ends.is_some().then_some(capability);
            move |(input, _), output| {
                input.for_each(|_, reports| reports.drain(..).for_each(|report| mint.take(report)));
                let (Some(ends), Some(held)) = (&ends, &mut capability) else {
                    return;
                };
                // Ticks that piled up behind a busy worker are one tick.
                let Some(tick) = ends.ticks.try_iter().reduce(Tick::join) else {
                    return;
                };
                let open = mint.open(tick, ends.committed.load(Ordering::Acquire));
                ends.board
                    .write(|stats| stats.hold = Some(mint.hold.clone()));
                output.session(&*held).give(open);
                if open.stop {
                    capability = None;
                } else {
                    // A message at `e` leaves the feedback loop at `e + 1`.
                    held.downgrade(&open.epoch);
                }
            }
        },
    )
}

impl Tick {
    fn join(self, later: Self) -> Self {
        Self {
            now: later.now,
            seal: self.seal || later.seal,
            stop: self.stop || later.stop,
        }
    }
}

/// The minter's decisions, pure.
pub(crate) struct Mint {
    settings: Settings,
    partitions: Partitions,
    /// Workers whose sources have not yet said which partitions they have. Until they all have, the
    /// least watermark of those known would be too great.
    silent: BTreeSet<usize>,
    /// The epoch that this life begins with.
    first: u64,
    epoch: u64,
    watermark: Option<i64>,
    hold: crate::watermark::Hold,
    sealed_at: Option<i64>,
    /// The greatest cutoff of the epochs that are not yet sealed.
    reach: i64,
    /// Seals that are not committed, oldest first.
    pending: Vec<u64>,
    /// What is held for the next seal, as so many samples.
    logged: u64,
}

impl Mint {
    /// Goes on at `epoch` with the watermark that was committed.
    pub(crate) fn new(
        settings: Settings,
        peers: usize,
        epoch: u64,
        watermark: Option<i64>,
    ) -> Self {
        Self {
            settings,
            partitions: Partitions::new(),
            silent: (0..peers).collect(),
            first: epoch,
            epoch,
            watermark,
            hold: crate::watermark::Hold::NoPartitions,
            sealed_at: None,
            reach: i64::MIN,
            pending: Vec::new(),
            logged: 0,
        }
    }

    fn take(&mut self, report: Report) {
        self.logged += report.held;
        if report.epoch > self.first {
            self.silent.remove(&report.worker);
        }
        for (partition, progress) in report.progress {
            match progress {
                Some(progress) => drop(self.partitions.insert(partition, progress)),
                None => drop(self.partitions.remove(&partition)),
            }
        }
    }

    fn open(&mut self, tick: Tick, committed: u64) -> Open {
        let Settings {
            commit_interval_ms,
            commit_bytes,
            blocked_after_ms,
            future_ms,
            ..
        } = self.settings;
        for since in self
            .partitions
            .values_mut()
            .filter_map(|it| it.blocked_since.as_mut())
        {
            // A clock that was set back must not add to how long it holds.
            *since = (*since).min(tick.now);
        }
        let (watermark, hold) = least(self.partitions.iter(), tick.now, blocked_after_ms);
        if self.silent.is_empty() {
            self.watermark = self.watermark.max(watermark);
        }
        self.hold = hold;
        self.epoch += 1;
        self.pending.retain(|&seal| seal > committed);
        // A clock that was set back must not hold commits until it has caught up.
        let sealed_at = self.sealed_at.map_or(tick.now, |at| at.min(tick.now));
        self.sealed_at = Some(sealed_at);
        let since = tick.now - sealed_at;
        let due =
            since >= commit_interval_ms || self.logged * SAMPLE_BYTES >= commit_bytes || tick.seal;
        // One seal may be on its way to the store while the next one fills; a third must wait.
        let seal = tick.stop || (due && self.pending.len() < 2);
        let cutoff = tick.now + future_ms;
        let reach = self.reach.max(cutoff);
        self.reach = if seal { cutoff } else { reach };
        if seal {
            self.sealed_at = Some(tick.now);
            self.logged = 0;
            self.pending.push(self.epoch);
        }
        Open {
            epoch: self.epoch,
            watermark: self.watermark,
            cutoff,
            reach,
            seal,
            stop: tick.stop,
            committed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::Progress;
    use tidegauge_model::Partition;

    fn tick(now: i64) -> Tick {
        Tick {
            now,
            seal: false,
            stop: false,
        }
    }

    fn mint() -> Mint {
        let settings = Settings {
            commit_interval_ms: 10,
            commit_bytes: 1_200,
            future_ms: 60,
            ..Settings::default()
        };
        Mint::new(settings, 1, 7, Some(5))
    }

    fn report(watermark: i64, samples: u64) -> Report {
        let partition = Partition {
            topic: "metrics".into(),
            index: 0,
        };
        let progress = Progress {
            watermark: Some(watermark),
            ..Progress::new(0)
        };
        Report {
            epoch: 8,
            progress: vec![(partition, Some(progress))],
            held: samples,
            ..Report::default()
        }
    }

    #[test]
    fn the_watermark_never_falls() {
        let mut mint = mint();
        mint.take(report(3, 0));
        assert_eq!(mint.open(tick(100), 0).watermark, Some(5));
        mint.take(report(50, 0));
        assert_eq!(mint.open(tick(101), 0).watermark, Some(50));
    }

    #[test]
    fn a_seal_comes_by_time_or_bytes_and_waits_for_the_one_before_the_last() {
        let mut mint = mint();
        assert!(!mint.open(tick(100), 0).seal);
        assert!(mint.open(tick(110), 0).seal, "by time");
        mint.take(report(50, 100));
        assert!(mint.open(tick(111), 0).seal, "by bytes");
        mint.take(report(50, 100));
        assert!(!mint.open(tick(130), 0).seal, "two are pending");
        assert!(
            mint.open(tick(131), 9).seal,
            "epochs before 9 are committed"
        );
    }

    #[test]
    fn a_blocked_partition_holds_no_longer_for_a_clock_that_is_set_back() {
        let mut mint = mint();
        let blocked_after_ms = mint.settings.blocked_after_ms;
        let mut blocked = report(50, 0);
        let progress = blocked.progress[0].1.as_mut().expect("known");
        progress.blocked_since = Some(90_000_000);
        mint.take(blocked);
        let mut other = report(70, 0);
        other.progress[0].0.index = 1;
        mint.take(other);
        assert_eq!(mint.open(tick(1_000), 0).watermark, Some(50));
        let later = 1_000 + blocked_after_ms;
        assert_eq!(mint.open(tick(later), 0).watermark, Some(70));
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_seal() {
        let mut mint = mint();
        assert!(!mint.open(tick(100_000), 0).seal);
        assert!(!mint.open(tick(100), 0).seal);
        assert!(mint.open(tick(110), 0).seal);
    }

    #[test]
    fn a_seal_reaches_as_far_as_any_of_its_epochs() {
        let mut mint = mint();
        mint.open(tick(100_000), 0);
        let seal = mint.open(tick(100), 0);
        assert_eq!((seal.cutoff, seal.reach, seal.seal), (160, 100_060, false));
        let seal = mint.open(tick(110), 0);
        assert_eq!((seal.reach, seal.seal), (100_060, true));
        assert_eq!(mint.open(tick(111), 0).reach, 171, "the next one's own");
    }
}

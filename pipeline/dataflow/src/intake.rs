//! What a worker's sources hold between two epochs: progress, cuts, and room for more.

use std::collections::{BTreeMap, VecDeque};

use crossbeam_channel::Sender;
use tidegauge_model::{
    Chunk, Counts, Definition, MINUTE_MS, Partition, PartitionCut, Reject, SourceControl,
    SourceEvent,
};

use crate::batch::Batch;
use crate::open::Open;
use crate::report::Report;
use crate::settings::SAMPLE_BYTES;
use crate::stats::Board;
use crate::watermark::Progress;

/// How far ahead of the watermark a partition may be while open windows are over their bound.
const AHEAD_MS: i64 = MINUTE_MS;

/// What a worker may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of samples taken and not yet committed.
    pub(crate) in_flight: u64,
    /// Bytes of samples in open windows.
    pub(crate) open_windows: u64,
}

/// One worker's intake.
pub(crate) struct Intake {
    worker: usize,
    peers: u64,
    bounds: Bounds,
    controls: Sender<SourceControl>,
    next_slot: u32,
    open: Option<Open>,
    partitions: BTreeMap<Partition, Registered>,
    /// Partitions that are gone, and how far each was taken since the last report.
    gone: Vec<(Partition, Option<PartitionCut>)>,
    counts: Counts,
    /// What this epoch holds, as so many samples: its samples, and rejects by their bytes.
    held: u64,
    /// The same of this seal's epochs before, and of seals not yet committed by the epoch that ends them.
    taken: u64,
    sealed: VecDeque<(u64, u64)>,
    board: Board,
}

struct Registered {
    source: u32,
    /// The worker that each local series belongs to.
    targets: Vec<u32>,
    progress: Progress,
    progress_changed: bool,
    paused: bool,
    cut: Option<PartitionCut>,
}

impl Intake {
    pub(crate) fn new(
        worker: usize,
        peers: usize,
        bounds: Bounds,
        controls: Sender<SourceControl>,
        board: Board,
    ) -> Self {
        Self {
            worker,
            peers: peers as u64,
            bounds,
            controls,
            next_slot: 0,
            open: None,
            partitions: BTreeMap::new(),
            gone: Vec::new(),
            counts: Counts::default(),
            held: 0,
            taken: 0,
            sealed: VecDeque::new(),
            board,
        }
    }

    /// Whether an epoch is open: before the first there is no watermark to hold samples against.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether uncommitted samples are within their bound.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() * SAMPLE_BYTES < self.bounds.in_flight
    }

    fn in_flight(&self) -> u64 {
        self.held + self.taken + self.sealed.iter().map(|(_, samples)| samples).sum::<u64>()
    }

    /// Ends the epoch before `open` and says what came in it.
    pub(crate) fn begin(&mut self, open: Open) -> Report {
        let held = std::mem::take(&mut self.held);
        self.taken += held;
        if open.seal {
            self.sealed
                .push_back((open.epoch, std::mem::take(&mut self.taken)));
        }
        while self
            .sealed
            .front()
            .is_some_and(|(epoch, _)| *epoch <= open.committed)
        {
            self.sealed.pop_front();
        }
        self.open = Some(open);
        self.hold_back(open);
        let mut report = Report {
            worker: self.worker,
            epoch: open.epoch - 1,
            counts: self.counts,
            held,
            ..Report::default()
        };
        // First: a partition may have come anew since.
        for (partition, cut) in self.gone.drain(..) {
            report.progress.push((partition, None));
            report.cuts.extend(cut);
        }
        for (partition, registered) in &mut self.partitions {
            if std::mem::take(&mut registered.progress_changed) {
                report
                    .progress
                    .push((partition.clone(), Some(registered.progress.clone())));
            }
            report.cuts.extend(registered.cut.take());
        }
        let (counts, in_flight) = (self.counts, self.in_flight());
        self.board.write(|stats| {
            if stats.open.is_none_or(|last| last.epoch < open.epoch) {
                stats.open = Some(open);
            }
            stats.samples += counts.samples;
            stats.late += counts.late;
            stats.quarantined += counts.quarantined;
            stats.rejected += counts.rejected;
            crate::stats::by_worker(&mut stats.in_flight, self.worker, in_flight);
        });
        self.counts = Counts::default();
        report
    }

    /// While open windows hold more than their bound, pauses the partitions furthest ahead, never
    /// those that hold the watermark back.
    fn hold_back(&mut self, open: Open) {
        let held = self
            .board
            .read()
            .open_samples
            .get(self.worker)
            .copied()
            .unwrap_or_default();
        let crowded = held * SAMPLE_BYTES > self.bounds.open_windows;
        for (partition, registered) in &mut self.partitions {
            let ahead = match (registered.progress.watermark, open.watermark) {
                (Some(own), Some(least)) => own - least > AHEAD_MS,
                (own, _) => own.is_some(),
            };
            if registered.paused != (crowded && ahead) {
                registered.paused = !registered.paused;
                let ask = if registered.paused {
                    SourceControl::Pause
                } else {
                    SourceControl::Resume
                };
                tracing::info!(%partition, paused = registered.paused, held, "open windows are over their bound");
                // A source that is gone reads nothing anyway.
                let _ = self.controls.send(ask(partition.clone()));
            }
        }
    }

    /// Takes one event into the open epoch.
    pub(crate) fn take(&mut self, event: SourceEvent, mut give: impl FnMut(Batch)) {
        match event {
            SourceEvent::Registered {
                partition,
                lateness_ms,
            } => self.register(partition, lateness_ms),
            SourceEvent::Chunk(chunk) => self.chunk(chunk, give),
            SourceEvent::Blocked {
                partition,
                since,
                reason,
            } => {
                tracing::warn!(%partition, reason, "partition can't be read");
                if let Some(registered) = self.partitions.get_mut(&partition) {
                    registered.progress.blocked_since.get_or_insert(since);
                    registered.progress_changed = true;
                }
            }
            SourceEvent::Withdrawn { partition, reason } => {
                tracing::warn!(%partition, reason, "partition is gone");
                self.withdraw(&partition, &mut give);
            }
        }
    }

    fn withdraw(&mut self, partition: &Partition, give: &mut impl FnMut(Batch)) {
        let Some(registered) = self.partitions.remove(partition) else {
            return;
        };
        if registered.paused {
            // Should it come back, it is a new one, of which nobody remembers that it was held back.
            let _ = self.controls.send(SourceControl::Resume(partition.clone()));
        }
        for target in 0..self.peers {
            give(Batch::last(target, registered.source, partition));
        }
        self.gone.push((partition.clone(), registered.cut));
    }

    fn register(&mut self, partition: Partition, lateness_ms: i64) {
        // Numbers are never used twice: a partition that comes again is a new source, as its
        // decoder counts its series anew.
        let slot = self.next_slot;
        self.next_slot += 1;
        let worker = u32::try_from(self.worker).expect("fewer than 2^12 workers");
        assert!(
            slot < 1 << 20 && worker < 1 << 12,
            "source {slot} of worker {worker} is one too many"
        );
        let registered = Registered {
            source: worker << 20 | slot,
            targets: Vec::new(),
            progress: Progress::new(lateness_ms),
            progress_changed: true,
            paused: false,
            cut: None,
        };
        self.partitions.insert(partition, registered);
    }

    fn chunk(&mut self, chunk: Chunk, mut give: impl FnMut(Batch)) {
        let open = self.open.expect("events are taken once an epoch is open");
        let registered = self
            .partitions
            .get_mut(&chunk.partition)
            .unwrap_or_else(|| {
                panic!(
                    "a chunk of {} came before its registration",
                    chunk.partition
                )
            });
        let extent = Extent::of(&chunk.samples.time, open);
        registered.progress_changed = true;
        registered.progress.blocked_since = None;
        if let Some(newest) = extent.newest_on_time {
            registered.progress.saw(newest, chunk.polled_at);
        }
        if let Some(asked_at) = chunk.proven_end_at {
            registered.progress.proven_idle(asked_at);
        }
        registered.cut = Some(PartitionCut {
            partition: chunk.partition.clone(),
            next: chunk.next,
            mark: chunk
                .mark
                .or(registered.cut.as_ref().and_then(|cut| cut.mark)),
        });
        self.counts += Counts {
            samples: chunk.samples.len() as u64,
            late: extent.late,
            quarantined: extent.quarantined,
            duplicate: 0,
            rejected: chunk.rejects.len() as u64,
        };
        let refused: usize = chunk.rejects.iter().map(Reject::held_bytes).sum();
        self.held += chunk.samples.len() as u64 + refused as u64 / SAMPLE_BYTES;
        registered.route(
            chunk,
            extent.quarantined > 0,
            open.cutoff,
            self.peers,
            &mut give,
        );
    }
}

/// Where a chunk's times lie.
struct Extent {
    newest_on_time: Option<i64>,
    late: u64,
    quarantined: u64,
}

impl Extent {
    fn of(time: &[i64], open: Open) -> Self {
        let watermark = open.watermark.unwrap_or(i64::MIN);
        let (mut newest, mut late, mut quarantined) = (i64::MIN, 0, 0);
        for &at in time {
            let ahead = at > open.cutoff;
            newest = newest.max(if ahead { i64::MIN } else { at });
            late += u64::from(at <= watermark);
            quarantined += u64::from(ahead);
        }
        Self {
            newest_on_time: (newest != i64::MIN).then_some(newest),
            late,
            quarantined,
        }
    }
}

impl Registered {
    /// Sends a chunk on: one batch a target worker, and one more for what is quarantined.
    fn route(
        &mut self,
        chunk: Chunk,
        any_quarantined: bool,
        cutoff: i64,
        peers: u64,
        give: &mut impl FnMut(Batch),
    ) {
        let Chunk {
            partition,
            clock,
            samples,
            definitions,
            rejects,
            ..
        } = chunk;
        let empty = |target: u64| Batch::new(target, self.source, &partition, clock);
        if peers == 1 && !any_quarantined {
            // All is for the one worker there is, and `targets` says so to a later chunk.
            let locals = definitions.iter().map(|it| it.local as usize + 1).max();
            self.targets
                .resize(self.targets.len().max(locals.unwrap_or_default()), 0);
            let batch = Batch {
                definitions,
                rejects,
                series: samples.series,
                time: samples.time,
                value: samples.value,
                ..empty(0)
            };
            give(batch);
            return;
        }
        let mut batches: Vec<Batch> = (0..peers).map(empty).collect();
        let mut ahead: Vec<Batch> = (0..peers)
            .map(|target| Batch {
                quarantined: true,
                ..empty(target)
            })
            .collect();
        batches[0].rejects = rejects;
        learn(&mut self.targets, definitions, &mut batches);
        let columns = samples.series.iter().zip(&samples.time).zip(&samples.value);
        for ((&series, &time), &value) in columns {
            let target = self.targets[series as usize] as usize;
            let batch = if time > cutoff {
                &mut ahead[target]
            } else {
                &mut batches[target]
            };
            batch.push(series, time, value);
        }
        // An empty batch still tells its receiver the source's clock.
        batches.into_iter().for_each(&mut *give);
        ahead
            .into_iter()
            .filter(|batch| !batch.is_empty())
            .for_each(give);
    }
}

/// Notes whose each new series is, and sends its definition there.
fn learn(targets: &mut Vec<u32>, definitions: Vec<Definition>, batches: &mut [Batch]) {
    for definition in definitions {
        let target = definition.series.id().0 % batches.len() as u64;
        let local = definition.local as usize;
        if targets.len() <= local {
            targets.resize(local + 1, 0);
        }
        targets[local] = u32::try_from(target).expect("fewer than 2^32 workers");
        batches[usize::try_from(target).expect("an index")]
            .definitions
            .push(definition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_model::{Columns, NextOffset};

    fn open(epoch: u64) -> Open {
        Open {
            epoch,
            watermark: None,
            cutoff: 1_000,
            reach: 1_000,
            seal: true,
            stop: false,
            committed: 0,
        }
    }

    fn chunk(partition: &Partition, next: i64) -> Chunk {
        Chunk {
            partition: partition.clone(),
            next: NextOffset(next),
            mark: None,
            polled_at: 50,
            clock: 40,
            samples: Columns::default(),
            definitions: Vec::new(),
            rejects: Vec::new(),
            proven_end_at: None,
        }
    }

    #[test]
    fn a_partition_that_goes_leaves_how_far_it_was_taken_before_that_of_its_successor() {
        let bounds = Bounds {
            in_flight: 1_000,
            open_windows: 1_000,
        };
        let (controls, _) = crossbeam_channel::unbounded();
        let mut intake = Intake::new(0, 1, bounds, controls, Board::default());
        intake.begin(open(1));
        let partition = Partition {
            topic: "metrics".into(),
            index: 0,
        };
        let mut clocks = Vec::new();
        let mut take = |intake: &mut Intake, event| {
            intake.take(event, |batch: Batch| clocks.push(batch.clock));
        };
        let registered = || SourceEvent::Registered {
            partition: partition.clone(),
            lateness_ms: 10,
        };
        take(&mut intake, registered());
        take(&mut intake, SourceEvent::Chunk(chunk(&partition, 7)));
        let gone = SourceEvent::Withdrawn {
            partition: partition.clone(),
            reason: "deleted".into(),
        };
        take(&mut intake, gone);
        take(&mut intake, registered());
        take(&mut intake, SourceEvent::Chunk(chunk(&partition, 3)));
        assert_eq!(clocks[0], 40, "the decoder's, not the poll's");
        let report = intake.begin(open(2));
        let cuts: Vec<_> = report.cuts.iter().map(|cut| cut.next.0).collect();
        assert_eq!(cuts, [7, 3]);
        let known: Vec<_> = report.progress.iter().map(|(_, it)| it.is_some()).collect();
        assert_eq!(known, [false, true]);
    }
}

//! What one worker does with its series: logs samples, and at a seal sorts them once, writes them
//! down, folds the windows that close and keeps the samples of those that stay open.
//!
//! Here is no engine: the operator of the same name only moves data and frontiers. Final rows
//! depend on the set of samples alone. A sample whose minute is closed when it is sealed marks that
//! minute dirty instead of touching a row; upkeep recomputes it from raw.

mod carry;
mod catalog;
mod log;
mod seal;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidegauge_model::{Counts, Reject, RejectReason, Series, Tier};

use crate::batch::Batch;
use crate::recovered::Recovered;
use crate::settings::{SAMPLE_BYTES, Settings};
use carry::Carry;
use catalog::{Catalog, Collision, REFUSED};
use log::Log;

/// The windows of one worker's series.
#[derive(Debug)]
pub(crate) struct Windows {
    catalog: Catalog,
    /// Samples since the last seal.
    log: Log,
    /// Those of them past their epoch's future cutoff.
    quarantine: Log,
    /// Those that are absolute though their series has a running total.
    absolute: Log,
    carry: Carry,
    /// Windows with end ≤ this are closed and their rows written.
    closed: Option<i64>,
    /// Minutes dirtied while a coarse window that holds them was open: they are dirty again once
    /// that window's row is written without them.
    touched: BTreeSet<i64>,
    coarse: Vec<(Tier, i64)>,
    rejects: Vec<Reject>,
    /// Series that were refused, by source and local number.
    colliding: BTreeMap<(u32, u32), Series>,
    /// How many of the rejects were found here; the others are counted at the source.
    refused: u64,
    /// By source, the clock of its decoder, which by it forgets a series unused for the silence; we drop
    /// it after twice that, so a number in use is never unknown.
    clocks: BTreeMap<u32, i64>,
    silence_ms: i64,
}

/// What a seal says besides the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealNote {
    /// Starts of dirty minutes, ascending.
    pub(crate) dirty: Vec<i64>,
    /// Duplicates and refused samples found by the worker; the rest is counted at the source.
    pub(crate) counts: Counts,
    /// Samples held in open windows.
    pub(crate) open_samples: u64,
    /// Series known.
    pub(crate) series: u64,
}

impl Windows {
    pub(crate) fn new(settings: &Settings, recovered: Recovered) -> Self {
        let coarse: Vec<(Tier, i64)> = settings
            .coarse_tiers()
            .into_iter()
            .map(|tier| (tier, tier.width_ms().expect("coarse tiers have windows")))
            .collect();
        let floor = recovered.watermark.unwrap_or(i64::MIN);
        let mut windows = Self {
            catalog: Catalog::new(coarse.len(), floor),
            log: Log::with_room(settings.in_flight_bytes / SAMPLE_BYTES),
            quarantine: Log::default(),
            absolute: Log::default(),
            carry: Carry::default(),
            closed: recovered.watermark,
            touched: recovered.touched.iter().copied().collect(),
            coarse,
            rejects: Vec::new(),
            colliding: BTreeMap::new(),
            refused: 0,
            clocks: BTreeMap::new(),
            silence_ms: settings.silence_ms,
        };
        windows.restore(recovered);
        windows
    }

    /// Takes a batch: maps its series to ours and logs its samples.
    pub(crate) fn absorb(&mut self, batch: Batch) {
        if batch.last {
            self.forget(batch.source);
            return;
        }
        self.clocks.insert(batch.source, batch.clock);
        for definition in &batch.definitions {
            if let Err(Collision) = self.catalog.define(batch.source, definition) {
                tracing::warn!(series = ?definition.series, "two series have one id; this one is refused");
                let local = (batch.source, definition.local);
                self.colliding.insert(local, definition.series.clone());
            }
        }
        for dense in self.catalog.take_turned() {
            self.log.hand_over(dense, &mut self.absolute);
        }
        let locals = self.catalog.locals(batch.source);
        let log = if batch.quarantined {
            &mut self.quarantine
        } else {
            &mut self.log
        };
        let before = log.len();
        log.series
            .extend(batch.series.iter().map(|&local| locals[local as usize]));
        if log.series[before..].contains(&REFUSED) || self.catalog.has_mixed() {
            log.series.truncate(before);
            self.absorb_each(&batch);
        } else {
            log.time.extend_from_slice(&batch.time);
            log.value.extend_from_slice(&batch.value);
        }
        self.rejects.extend(batch.rejects);
    }

    /// Logs samples of which some may be refused, or belong to another log than the rest.
    fn absorb_each(&mut self, batch: &Batch) {
        let samples = batch.series.iter().zip(&batch.time).zip(&batch.value);
        for ((&local, &time), &value) in samples {
            let dense = self.catalog.locals(batch.source)[local as usize];
            if dense == REFUSED {
                let series = self.colliding.get(&(batch.source, local));
                self.refused += 1;
                self.rejects.push(collision(series, batch, time, value));
                continue;
            }
            let log = if batch.quarantined {
                &mut self.quarantine
            } else if self.catalog.sets_total(batch.source, local, dense) {
                &mut self.absolute
            } else {
                &mut self.log
            };
            log.push(dense, time, value);
        }
    }

    /// Forgets a source that has ended. While its clock stood here, no series could leave.
    fn forget(&mut self, source: u32) {
        self.clocks.remove(&source);
        self.catalog.forget(source);
        self.colliding.retain(|(of, _), _| *of != source);
    }
}

/// A sample of a series that was refused.
fn collision(series: Option<&Series>, batch: &Batch, time: i64, value: f64) -> Reject {
    Reject {
        tenant: series.map_or("", Series::tenant).into(),
        partition: batch.partition.clone(),
        offset: -1,
        time,
        reason: RejectReason::SeriesCollision,
        detail: format!("{value} at {time} of {series:?}: another series has its 64-bit id"),
        bytes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_model::{Definition, Limits, Partition};

    /// `samples` of one series, whose number in source `source` is 0.
    fn batch(source: u32, delta: bool, samples: &[(i64, f64)]) -> Batch {
        let partition = Partition {
            topic: "metrics".into(),
            index: 0,
        };
        let labels = &mut Vec::new();
        let series = Series::new("t", "sum_total", labels, &Limits::default()).expect("valid");
        let mut batch = Batch::new(0, source, &partition, 0);
        batch.definitions.push(Definition {
            local: 0,
            series,
            metadata: std::sync::Arc::default(),
            delta,
        });
        for &(time, value) in samples {
            batch.push(0, time, value);
        }
        batch
    }

    /// What seals bring of one series, in order of time.
    fn sealed(windows: &mut Windows) -> Vec<(i64, f64)> {
        let (sealed, _) = windows.seal(None);
        let runs = [sealed.samples, sealed.overlay].into_iter();
        let rows = runs.flat_map(|runs| std::iter::zip(runs.time, runs.value));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| row.0);
        rows
    }

    #[test]
    fn an_absolute_value_sets_the_total_whichever_came_first() {
        let absolute = || batch(0, false, &[(1, 40.0), (4, 50.0)]);
        let deltas = || batch(1, true, &[(2, 1.0), (3, 1.0), (5, 1.0)]);
        let expected = [(1, 40.0), (2, 41.0), (3, 42.0), (4, 50.0), (5, 51.0)];
        for batches in [[absolute(), deltas()], [deltas(), absolute()]] {
            let mut windows = Windows::new(&Settings::default(), Recovered::default());
            batches.into_iter().for_each(|batch| windows.absorb(batch));
            assert_eq!(sealed(&mut windows), expected);
            windows.absorb(batch(1, true, &[(6, 1.0)]));
            windows.absorb(batch(0, false, &[(7, 60.0)]));
            assert_eq!(sealed(&mut windows), [(6, 52.0), (7, 60.0)]);
        }
    }

    #[test]
    fn deltas_past_the_cutoff_are_rejects_and_in_no_total() {
        let mut windows = Windows::new(&Settings::default(), Recovered::default());
        windows.absorb(batch(0, true, &[(1, 3.0)]));
        let mut ahead = batch(0, true, &[(1_000_000, 5.0)]);
        ahead.quarantined = true;
        windows.absorb(ahead);
        let (first, _) = windows.seal(None);
        assert_eq!(
            (first.samples.value, first.overlay.value),
            (vec![3.0], vec![])
        );
        assert_eq!(first.rejects[0].reason, RejectReason::FutureDelta);
        windows.absorb(batch(0, true, &[(2, 4.0)]));
        assert_eq!(sealed(&mut windows), [(2, 7.0)]);
    }
}

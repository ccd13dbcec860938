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
    /// By source, the wall clock of its newest chunk. Decoders forget a series unused for the
    /// silence, by the same clock; we drop it after twice that, so a number in use is never unknown.
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
        self.clocks.insert(batch.source, batch.polled_at);
        for definition in &batch.definitions {
            if let Err(Collision) = self.catalog.define(batch.source, definition) {
                tracing::warn!(series = ?definition.series, "two series have one id; this one is refused");
                let local = (batch.source, definition.local);
                self.colliding.insert(local, definition.series.clone());
            }
        }
        let locals = self.catalog.locals(batch.source);
        let log = if batch.quarantined {
            &mut self.quarantine
        } else {
            &mut self.log
        };
        let is_refused = |local: &u32| locals[*local as usize] == REFUSED;
        let any_refused = batch.series.iter().any(is_refused);
        if any_refused {
            let refused = collisions(&self.colliding, locals, &batch);
            self.refused += refused.len() as u64;
            self.rejects.extend(refused);
        }
        let before = log.len();
        log.series
            .extend(batch.series.iter().map(|&local| locals[local as usize]));
        log.time.extend_from_slice(&batch.time);
        log.value.extend_from_slice(&batch.value);
        if any_refused {
            log.drop_refused(before);
        }
        self.rejects.extend(batch.rejects);
    }

    /// Forgets a source that has ended. While its clock stood here, no series could leave.
    fn forget(&mut self, source: u32) {
        self.clocks.remove(&source);
        self.catalog.forget(source);
        self.colliding.retain(|(of, _), _| *of != source);
    }
}

/// The samples of series that were refused, as rejects.
fn collisions(
    colliding: &BTreeMap<(u32, u32), Series>,
    locals: &[u32],
    batch: &Batch,
) -> Vec<Reject> {
    let samples = batch.series.iter().zip(&batch.time).zip(&batch.value);
    let refused = samples.filter(|((local, _), _)| locals[**local as usize] == REFUSED);
    let reject = |((&local, &time), &value): ((&u32, &i64), &f64)| {
        let series = colliding.get(&(batch.source, local));
        Reject {
            tenant: series.map_or("", Series::tenant).into(),
            partition: batch.partition.clone(),
            offset: -1,
            time,
            reason: RejectReason::SeriesCollision,
            detail: format!("{value} at {time} of {series:?}: another series has its 64-bit id"),
            bytes: Vec::new(),
        }
    };
    refused.map(reject).collect()
}

//! What the doors count.

use std::sync::atomic::{AtomicU64, Ordering};

use tidegauge_decode::Skipped;

use crate::door::Door;

/// Counts of all doors since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// One for each door.
    pub doors: Vec<DoorStats>,
    /// Series that decoders remember between requests.
    pub remembered_series: usize,
    /// Memory that this takes, in bytes.
    pub remembered_bytes: usize,
}

/// Counts of one door since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorStats {
    /// The door's name: `json`, `remote_write`, `influx` or `otlp`.
    pub door: &'static str,
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies, as sent.
    pub bytes: u64,
    /// Samples that Kafka has acknowledged.
    pub accepted: u64,
    /// Items that were refused.
    pub rejected: u64,
    /// What bodies held that was passed over on purpose.
    pub skipped: Skipped,
    /// Requests refused whole: 400, 408, 413 and 415.
    pub refused: u64,
    /// Requests answered 503.
    pub unavailable: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    doors: [DoorCounters; Door::ALL.len()],
}

#[derive(Debug, Default)]
pub(crate) struct DoorCounters {
    pub(crate) requests: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    string_fields: AtomicU64,
    exemplars: AtomicU64,
    relabel_drops: AtomicU64,
    folded_rejects: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unavailable: AtomicU64,
}

impl Counters {
    pub(crate) const fn door(&self, door: Door) -> &DoorCounters {
        &self.doors[door as usize]
    }

    pub(crate) fn stats(&self) -> Vec<DoorStats> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats = |door: Door| {
            let counters = self.door(door);
            DoorStats {
                door: door.name(),
                requests: read(&counters.requests),
                bytes: read(&counters.bytes),
                accepted: read(&counters.accepted),
                rejected: read(&counters.rejected),
                skipped: Skipped {
                    string_fields: read(&counters.string_fields),
                    exemplars: read(&counters.exemplars),
                    relabel_drops: read(&counters.relabel_drops),
                    folded_rejects: read(&counters.folded_rejects),
                },
                refused: read(&counters.refused),
                unavailable: read(&counters.unavailable),
            }
        };
        Door::ALL.map(stats).to_vec()
    }
}

impl DoorCounters {
    pub(crate) fn skipped(&self, skipped: Skipped) {
        for (counter, count) in [
            (&self.string_fields, skipped.string_fields),
            (&self.exemplars, skipped.exemplars),
            (&self.relabel_drops, skipped.relabel_drops),
            (&self.folded_rejects, skipped.folded_rejects),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

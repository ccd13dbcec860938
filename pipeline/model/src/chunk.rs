//! What sources hand to the dataflow.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::partition::{NextOffset, Partition, RecordMark};
use crate::reject::Reject;
use crate::series::{Metadata, Series};

/// Samples as columns of equal length. `series` are numbers that only their partition's decoder
/// gave, dense from 0 in order of first sight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Source-local series numbers.
    pub series: Vec<u32>,
    /// Event times, milliseconds since the Unix epoch.
    pub time: Vec<i64>,
    /// Values; a stale marker is the NaN of [`crate::stale`], every other NaN has one bit pattern.
    pub value: Vec<f64>,
}

impl Columns {
    /// How many samples there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Adds one sample.
    pub fn push(&mut self, series: u32, time: i64, value: f64) {
        self.series.push(series);
        self.time.push(time);
        self.value.push(value);
    }
}

/// Says which series a source-local number stands for. It comes before, or in one chunk with, the
/// first sample that uses the number, and again when the series' metadata has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The source-local number.
    pub local: u32,
    /// The series.
    pub series: Series,
    /// What its producer says of it.
    pub metadata: Arc<Metadata>,
    /// Whether its values are deltas, to be accumulated into a running total (OTLP sums of delta
    /// temporality).
    pub delta: bool,
}

/// What one poll took from one partition: records `[previous next, next)`.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Which partition.
    pub partition: Partition,
    /// What to read next, once this chunk is committed.
    pub next: NextOffset,
    /// The last record taken, if this chunk holds one.
    pub mark: Option<RecordMark>,
    /// Wall clock at the poll, milliseconds since the Unix epoch.
    pub polled_at: i64,
    /// The clock by which the partition's decoder forgets silent series, milliseconds: that of polls, but it
    /// never falls.
    pub clock: i64,
    /// The samples.
    pub samples: Columns,
    /// Series seen for the first time.
    pub definitions: Vec<Definition>,
    /// What could not be taken.
    pub rejects: Vec<Reject>,
    /// Set if a request proved that `next` was the partition's end: the wall clock, in
    /// milliseconds, when that request was sent.
    pub proven_end_at: Option<i64>,
}

/// What a source tells the dataflow, in order for each partition.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// The partition is this worker's from now on. It comes before anything else of the partition,
    /// and from then on the partition holds the watermark back until it has one of its own.
    Registered {
        /// Which partition.
        partition: Partition,
        /// How long after the newest event time of the partition samples are still on time, in
        /// milliseconds.
        lateness_ms: i64,
    },
    /// Records were taken, or the end was proven, or both.
    Chunk(Chunk),
    /// The partition can't be read now (no leader, broker away). A chunk says that it can again.
    Blocked {
        /// Which partition.
        partition: Partition,
        /// Wall clock at which this was first seen, milliseconds since the Unix epoch.
        since: i64,
        /// What the client said.
        reason: String,
    },
    /// The partition is gone for good (its topic was deleted); it holds nothing back any more.
    Withdrawn {
        /// Which partition.
        partition: Partition,
        /// Why.
        reason: String,
    },
}

/// What the dataflow asks of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceControl {
    /// Read no more of the partition for now: it is ahead of others, and what it brings must wait in
    /// memory for them.
    Pause(Partition),
    /// Read on.
    Resume(Partition),
}

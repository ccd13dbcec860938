//! What the dataflow hands to a sink when it seals a run of epochs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::reject::Reject;
use crate::runs::{RollupRuns, Runs};
use crate::series::{Metadata, Series};
use crate::tier::Tier;

/// One worker's share of a commit. Workers hold disjoint series.
#[derive(Clone, Debug, Default)]
pub struct Sealed {
    /// Samples newer than any the worker has sealed of their series: no other row has their series
    /// and time.
    pub samples: Runs,
    /// Late, quarantined and repeated samples: rows that may have the series and time of others.
    pub overlay: Runs,
    /// Rows of the windows that this seal closes, finest tier first.
    pub rollups: Vec<(Tier, RollupRuns)>,
    /// Series to be written down for a day, in no order.
    pub series: Vec<SeriesSeen>,
    /// What could not be taken.
    pub rejects: Vec<Reject>,
}

/// That a series had samples on a day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesSeen {
    /// The series.
    pub series: Series,
    /// What its producer says of it.
    pub metadata: Arc<Metadata>,
    /// Event time of the earliest sample known of that day, milliseconds.
    pub first_seen: i64,
    /// Event time of the latest sample known of the same day, milliseconds.
    pub last_seen: i64,
}

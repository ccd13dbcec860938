//! What could not be taken: queryable rows, never silent loss.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::partition::Partition;

/// How many of a rejected record's first bytes are kept.
pub const REJECT_BYTES: usize = 1024;

/// A record, or one sample of it, that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The tenant the record belongs to.
    pub tenant: Arc<str>,
    /// Where it came from.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp in milliseconds, or the time of reading where it has none.
    pub time: i64,
    /// The class of fault, for counting.
    pub reason: RejectReason,
    /// What exactly was wrong and where, in words.
    pub detail: String,
    /// The first [`REJECT_BYTES`] bytes of the record.
    pub bytes: Vec<u8>,
}

impl Reject {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.detail.len() + self.bytes.len()
    }
}

/// The classes of fault, by which rejects are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The record's bytes are not of the format.
    Malformed,
    /// No decoder fits the record.
    UnknownFormat,
    /// A metric name that is empty, too long or not allowed.
    BadName,
    /// A label that is empty-named, too long, or not allowed.
    BadLabel,
    /// One label name twice.
    DuplicateLabel,
    /// More labels than allowed.
    TooManyLabels,
    /// A value that is not a number.
    BadValue,
    /// A timestamp that cannot be read or lies outside years 1678–2261.
    BadTimestamp,
    /// A native or exponential histogram.
    NativeHistogram,
    /// A record larger than allowed.
    TooLarge,
    /// A tenant that is empty, too long or not allowed.
    BadTenant,
    /// A delta that came after a later one of its series: it counts in the totals after that.
    LateDelta,
    /// A delta past the future cutoff: there is no total that it could be added to.
    FutureDelta,
    /// Two series whose 64-bit ids collide; the later one is refused.
    SeriesCollision,
    /// Not one record but a range of them, gone from Kafka before they were read; going on without
    /// them was an explicit choice.
    Lost,
}

impl RejectReason {
    /// The word in the `reason` column and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownFormat => "unknown_format",
            Self::BadName => "bad_name",
            Self::BadLabel => "bad_label",
            Self::DuplicateLabel => "duplicate_label",
            Self::TooManyLabels => "too_many_labels",
            Self::BadValue => "bad_value",
            Self::BadTimestamp => "bad_timestamp",
            Self::NativeHistogram => "native_histogram",
            Self::TooLarge => "too_large",
            Self::BadTenant => "bad_tenant",
            Self::LateDelta => "late_delta",
            Self::FutureDelta => "future_delta",
            Self::SeriesCollision => "series_collision",
            Self::Lost => "lost",
        }
    }
}

//! The words of Tidegauge as types.
//!
//! A *sample* is (tenant, series, event time, value). Sources hand over [`Chunk`]s of samples, the
//! dataflow sorts them into [`Runs`] and folds those into [`Rollup`]s, sinks write both into
//! [`Tier`]s. Nothing here knows an engine or does I/O, so every crate may lean on it.

mod chunk;
mod counts;
mod partition;
mod reject;
mod rollup;
mod runs;
mod sealed;
mod series;
mod tier;
mod value;
mod window;

pub use chunk::{Chunk, Columns, Definition, SourceControl, SourceEvent};
pub use counts::Counts;
pub use partition::{NextOffset, Partition, PartitionCut, RecordMark};
pub use reject::{REJECT_BYTES, Reject, RejectReason};
pub use rollup::Rollup;
pub use runs::{RollupRuns, Run, Runs};
pub use sealed::{Sealed, SeriesSeen};
pub use series::{Limits, Metadata, MetricType, Series, SeriesError, SeriesId};
pub use tier::Tier;
pub use value::{STALE, is_stale, normal, prefer, settle_run, stale};
pub use window::{DAY_MS, HOUR_MS, MINUTE_MS, Window, floor};

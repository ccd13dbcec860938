//! The timely dataflow. `graph.rs` reads as the way of the data does: sources are cut into epochs,
//! samples travel to their series' worker, windows fold and seal, and worker 0 assembles commits.
//!
//! Nothing here does I/O or knows a clock. Sources, sinks and the wall clock stand at the ends of
//! channels, so the whole graph runs in a test with neither Kafka nor a store.

mod batch;
mod coarse;
mod graph;
mod intake;
mod open;
mod operators;
mod outlet;
mod recovered;
mod report;
mod run;
mod settings;
mod stats;
mod wake;
mod watermark;
mod windows;

pub use coarse::{NONE_OPEN, OpenWindows};
pub use open::{Open, Tick};
pub use outlet::{Draft, Outlet, Receipt};
pub use recovered::{Recovered, RecoveredSeries, fold_open, rebuild_from};
pub use run::{Cluster, Lead, RunError, WorkerEnds, run};
pub use settings::Settings;
pub use stats::{Board, Stats};
pub use wake::Bell;
pub use watermark::Hold;

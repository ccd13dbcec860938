//! What a source is given from outside: a clock, and a way to wake its worker.

use std::sync::Arc;

/// Tells the wall clock, in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Wakes the worker that drains the events.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

//! The time of day, handed in so that tests decide what it is.

use std::sync::Arc;

/// Tells the time in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

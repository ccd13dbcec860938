//! Time as a parameter: what the clock says, and waiting.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;

/// Tells the time and waits. Tests give one whose time only moves when all wait.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall clock, milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Is done when `span` has passed.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one clock that all others stand in for"
    )]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

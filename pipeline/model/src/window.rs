//! Tumbling windows over event time.

use serde::{Deserialize, Serialize};

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A half-open span of event time, `[start, end)`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first millisecond inside.
    pub start: i64,
    /// The first millisecond past it.
    pub end: i64,
}

impl Window {
    /// The window of `width_ms` that holds `time`; windows are aligned to the Unix epoch.
    ///
    /// ```
    /// use tidegauge_model::Window;
    /// assert_eq!(Window::holding(-1, 60_000), Window { start: -60_000, end: 0 });
    /// ```
    #[must_use]
    pub const fn holding(time: i64, width_ms: i64) -> Self {
        let start = floor(time, width_ms);
        Self {
            start,
            end: start + width_ms,
        }
    }

    /// Whether `time` lies inside.
    #[must_use]
    pub const fn contains(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether the two share an instant.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The greatest multiple of `width` at or below `time`, also before 1970.
#[must_use]
pub const fn floor(time: i64, width: i64) -> i64 {
    time - time.rem_euclid(width)
}

//! The tiers: raw samples and their downsampled forms.

use serde::{Deserialize, Serialize};

use crate::window::{HOUR_MS, MINUTE_MS};

/// A table of samples or rollups with its own retention, finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Every sample as it came.
    #[serde(rename = "raw")]
    Raw,
    /// 1-minute rollups.
    #[serde(rename = "1m")]
    M1,
    /// 5-minute rollups, where configured.
    #[serde(rename = "5m")]
    M5,
    /// 1-hour rollups.
    #[serde(rename = "1h")]
    H1,
}

impl Tier {
    /// All tiers, finest first.
    pub const ALL: [Self; 4] = [Self::Raw, Self::M1, Self::M5, Self::H1];

    /// The table that holds the tier.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Raw => "samples",
            Self::M1 => "rollup_1m",
            Self::M5 => "rollup_5m",
            Self::H1 => "rollup_1h",
        }
    }

    /// The width of the tier's windows in milliseconds; none for raw.
    #[must_use]
    pub const fn width_ms(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::M1 => Some(MINUTE_MS),
            Self::M5 => Some(5 * MINUTE_MS),
            Self::H1 => Some(HOUR_MS),
        }
    }
}

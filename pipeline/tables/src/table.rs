//! The tables of a lake.

use serde::{Deserialize, Serialize};
use tidegauge_model::Tier;

/// One table: a folder of Parquet files under its name, with a Delta log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// The raw tier; its log is the lake's.
    Samples,
    /// 1-minute rollups.
    #[serde(rename = "rollup_1m")]
    Rollup1m,
    /// 5-minute rollups, where configured.
    #[serde(rename = "rollup_5m")]
    Rollup5m,
    /// 1-hour rollups.
    #[serde(rename = "rollup_1h")]
    Rollup1h,
    /// Series with their labels, once a day each.
    Series,
    /// What could not be taken.
    Rejects,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 6] = [
        Self::Samples,
        Self::Rollup1m,
        Self::Rollup5m,
        Self::Rollup1h,
        Self::Series,
        Self::Rejects,
    ];

    /// The table's name in SQL and its folder in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Rollup1m => "rollup_1m",
            Self::Rollup5m => "rollup_5m",
            Self::Rollup1h => "rollup_1h",
            Self::Series => "series",
            Self::Rejects => "rejects",
        }
    }

    /// The tier the table holds, if it holds one.
    #[must_use]
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Self::Samples => Some(Tier::Raw),
            Self::Rollup1m => Some(Tier::M1),
            Self::Rollup5m => Some(Tier::M5),
            Self::Rollup1h => Some(Tier::H1),
            Self::Series | Self::Rejects => None,
        }
    }

    /// The table that holds `tier`.
    #[must_use]
    pub const fn of(tier: Tier) -> Self {
        match tier {
            Tier::Raw => Self::Samples,
            Tier::M1 => Self::Rollup1m,
            Tier::M5 => Self::Rollup5m,
            Tier::H1 => Self::Rollup1h,
        }
    }
}

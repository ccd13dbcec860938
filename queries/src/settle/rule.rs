//! How the rows of a table settle.

use tidegauge_tables::Table;

/// How a table settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The preferred value counts, as [`prefer`] has it; NULL is a stale marker.
    Value,
    /// The row of the newest file counts. A row just computed from raw stands above them, unless it
    /// counts fewer samples: samples only ever come, so then part of the raw tier has expired.
    Newest,
    /// The newest row counts, with the earliest `first_seen` and the latest `last_seen` of all.
    Seen,
}

impl Rule {
    pub(crate) const fn of(table: Table) -> Self {
        match table {
            Table::Samples => Self::Value,
            Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => Self::Newest,
            Table::Series | Table::Rejects => Self::Seen,
        }
    }
}

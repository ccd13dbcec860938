//! What can go wrong with tidying.

use parquet::errors::ParquetError;
use thiserror::Error;
use tidegauge_tables::Table;

/// Why the log could not be tidied. Nothing depends on it at once; the next call tries again.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The store refused.
    #[error("tidying the lake's log failed")]
    Store(#[from] object_store::Error),
    /// A checkpoint could not be encoded.
    #[error("encoding a Delta checkpoint of table {} failed", .table.name())]
    Checkpoint {
        /// Which table.
        table: Table,
        /// Why.
        #[source]
        source: ParquetError,
    },
}

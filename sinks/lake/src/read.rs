//! Reading files back: for recovery, which rebuilds open windows from samples, and for upkeep, which
//! recomputes and compacts.
//!
//! A [`RowReader`] streams one file in blocks of sorted runs, and passes over what its [`Filter`]
//! does not want: row groups and pages unread, rows undelivered. A [`Merge`] settles many files into
//! one sorted stream, a series at a time. Memory is one block and one compressed row group a file,
//! and all rows of the series at hand.

mod block;
mod filter;
mod merge;
mod object;
mod rollups;
mod rows;
mod samples;
mod series;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;
use tidegauge_tables::{DataFile, Table};

pub use block::{Block, Stored};
pub use filter::Filter;
pub use merge::{Merge, Merged};
use object::Object;
pub use rows::RowReader;

/// Files read at a time.
const AT_ONCE: usize = 8;

/// Why files could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store or the Parquet library failed.
    #[error("reading {path} failed: {source}; if the object is gone, something outside removed it")]
    Parquet {
        /// The object.
        path: Path,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
    /// A file has not the columns that its table has.
    #[error(
        "{path} does not hold what its table holds: {what}; it was not written by this program"
    )]
    Foreign {
        /// The object.
        path: Path,
        /// What is missing or of another type.
        what: String,
    },
}

/// Where a data file of `table` lies in the store.
#[must_use]
pub fn data_path(table: Table, file: &DataFile) -> Path {
    Path::from(format!("{}/{}", table.name(), file.path))
}

/// The rows that `filter` wants, one block a file in the order of `files`; a file without any gives
/// an empty block. All of it is held in memory, as recovery wants it.
///
/// # Errors
/// If the store fails or a file is not ours.
pub async fn read_rows<T: Stored>(
    store: &Arc<dyn ObjectStore>,
    table: Table,
    files: &[Arc<DataFile>],
    filter: &Filter,
) -> Result<Vec<Block<T>>, ReadError> {
    futures::stream::iter(files)
        .map(|file| async move {
            let mut whole = Block::default();
            let mut reader = RowReader::open(store, table, file, filter).await?;
            while let Some(block) = reader.next().await? {
                whole.append(block);
            }
            Ok(whole)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// All rows of a file of a table that is not read by series, as the file has them.
///
/// # Errors
/// If the store fails.
pub(crate) async fn read_batches(
    store: &Arc<dyn ObjectStore>,
    table: Table,
    file: &DataFile,
) -> Result<Vec<RecordBatch>, ReadError> {
    let path = data_path(table, file);
    let read = async {
        let object = Object::open(store, &path, file.bytes).await?;
        let builder = ParquetRecordBatchStreamBuilder::new(object).await?;
        builder.build()?.try_collect().await
    };
    let read: Result<_, ParquetError> = read.await;
    read.map_err(|source| ReadError::Parquet {
        path: path.clone(),
        source,
    })
}

/// The samples that `filter` wants, one block a file in the order of `files`; a stale marker comes
/// back as the value [`tidegauge_model::stale`].
///
/// # Errors
/// If the store fails or a file is not ours.
pub async fn read_samples(
    store: &Arc<dyn ObjectStore>,
    files: &[Arc<DataFile>],
    filter: &Filter,
) -> Result<Vec<Block<f64>>, ReadError> {
    read_rows(store, Table::Samples, files, filter).await
}

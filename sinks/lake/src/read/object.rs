//! An object of the store, as the Parquet library reads it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

/// Objects up to this size are read in one request, as most files of commits are.
const SMALL_BYTES: u64 = 1 << 18;
/// Bytes fetched from the end of others at first: the footer and page index of most.
const FOOTER_BYTES: usize = 1 << 16;

/// Reads ranges of one object.
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    whole: Option<Bytes>,
}

impl Object {
    /// The object at `path`, which is `bytes` long.
    pub(crate) async fn open(
        store: &Arc<dyn ObjectStore>,
        path: &Path,
        bytes: u64,
    ) -> Result<Self> {
        let whole = if bytes <= SMALL_BYTES {
            let read = store.get_range(path, 0..bytes).await.map_err(failed)?;
            Some(read)
        } else {
            None
        };
        Ok(Self {
            store: Arc::clone(store),
            path: path.clone(),
            bytes,
            whole,
        })
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            match &self.whole {
                Some(whole) => slice(whole, &range),
                None => self
                    .store
                    .get_range(&self.path, range)
                    .await
                    .map_err(failed),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            match &self.whole {
                Some(whole) => ranges.iter().map(|range| slice(whole, range)).collect(),
                None => {
                    let read = self.store.get_ranges(&self.path, &ranges).await;
                    read.map_err(failed)
                }
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(FOOTER_BYTES))
                .load_and_finish(self, bytes)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

fn slice(whole: &Bytes, range: &Range<u64>) -> Result<Bytes> {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    if start <= end && end <= whole.len() {
        Ok(whole.slice(start..end))
    } else {
        let what = format!("bytes {start} to {end} of {} are asked for", whole.len());
        Err(ParquetError::General(what))
    }
}

fn failed(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

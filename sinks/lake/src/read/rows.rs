//! One file as a stream of blocks.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::schema::types::SchemaDescriptor;
use tidegauge_tables::{DataFile, Table};

use super::block::{Block, Stored};
use super::filter::{Filter, KeyColumns};
use super::object::Object;
use super::{ReadError, data_path};

/// Rows a block at most.
const BLOCK_ROWS: usize = 1 << 16;

/// Streams the rows of one file that a filter wants.
pub struct RowReader<T> {
    path: Path,
    filter: Filter,
    version: u64,
    stream: Option<ParquetRecordBatchStream<Object>>,
    rows: PhantomData<T>,
}

impl<T: Stored> RowReader<T> {
    /// Reads the footer, and nothing if the file's entry shows already that it holds no wanted row.
    ///
    /// # Errors
    /// If the store fails or the file is not ours.
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        table: Table,
        file: &DataFile,
        filter: &Filter,
    ) -> Result<Self, ReadError> {
        let path = data_path(table, file);
        let stream = if filter.wants_file(file) {
            let opened = open::<T>(store, &path, file.bytes, filter).await;
            Some(opened.map_err(|source| ReadError::Parquet {
                path: path.clone(),
                source,
            })?)
        } else {
            None
        };
        Ok(Self {
            path,
            filter: filter.clone(),
            version: file.version,
            stream,
            rows: PhantomData,
        })
    }

    /// The log version that added the file.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The next block that is not empty; none at the end.
    ///
    /// # Errors
    /// If the store fails or the file is not ours.
    pub async fn next(&mut self) -> Result<Option<Block<T>>, ReadError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        loop {
            let batch = stream
                .try_next()
                .await
                .map_err(|source| ReadError::Parquet {
                    path: self.path.clone(),
                    source,
                })?;
            let Some(batch) = batch else {
                self.stream = None;
                return Ok(None);
            };
            let block = Block::decode(
                &batch,
                |key| self.filter.wants_series(key),
                |time| self.filter.window.contains(time),
            )
            .map_err(|what| ReadError::Foreign {
                path: self.path.clone(),
                what,
            })?;
            if !block.time.is_empty() {
                return Ok(Some(block));
            }
        }
    }
}

async fn open<T: Stored>(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes: u64,
    filter: &Filter,
) -> Result<ParquetRecordBatchStream<Object>, ParquetError> {
    let indexed = filter.only.is_some() || filter.keys.is_some();
    let mut reader = Object::open(store, path, bytes).await?;
    let policy = if indexed {
        PageIndexPolicy::Optional
    } else {
        PageIndexPolicy::Skip
    };
    let options = ArrowReaderOptions::new().with_page_index_policy(policy);
    let metadata = ArrowReaderMetadata::load_async(&mut reader, options.clone()).await?;
    let schema = with_dictionaries(metadata.schema());
    let metadata = ArrowReaderMetadata::try_new(
        Arc::clone(metadata.metadata()),
        options.with_schema(Arc::new(schema)),
    )?;
    let columns = key_columns(metadata.parquet_schema(), T::TIME)?;
    let (groups, selection) = filter.select(metadata.metadata(), &columns);
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_batch_size(BLOCK_ROWS)
        .with_row_groups(groups);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    builder.build()
}

/// Tenants and names as dictionaries, as they are in the file: no string is made for a row.
fn with_dictionaries(schema: &Schema) -> Schema {
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "tenant" | "name" => Field::new(field.name(), text(), field.is_nullable()),
            _ => field.as_ref().clone(),
        });
    Schema::new(fields.collect::<Vec<_>>())
}

fn key_columns(schema: &SchemaDescriptor, time: &str) -> Result<KeyColumns, ParquetError> {
    let find = |name: &str| {
        schema
            .columns()
            .iter()
            .position(|column| column.path().string() == name)
            .ok_or_else(|| ParquetError::General(format!("no column `{name}`")))
    };
    Ok(KeyColumns {
        tenant: find("tenant")?,
        name: find("name")?,
        series_id: find("series_id")?,
        time: find(time)?,
    })
}

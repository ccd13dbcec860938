//! A file in the making: row groups of columns, then the footer.

use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::ZstdLevel;
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::SchemaDescPtr;
use std::sync::Arc;
use zstd::bulk::Compressor;

use arrow::datatypes::Schema;

use super::chunk::Chunk;
use super::settings::Profile;

/// A file whose first four columns are tenant, name, series id and time, its sort order.
pub(crate) struct FileWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    schema: SchemaDescPtr,
    zstd: Compressor<'static>,
    level: ZstdLevel,
}

impl FileWriter {
    pub(crate) fn new(schema: &Schema, profile: &Profile) -> Result<Self> {
        let schema = Arc::new(ArrowSchemaConverter::new().convert(schema)?);
        let ascending = |column_idx| SortingColumn {
            column_idx,
            descending: false,
            nulls_first: false,
        };
        let properties = WriterProperties::builder()
            .set_sorting_columns(Some((0..4).map(ascending).collect()))
            .build();
        let level = ZstdLevel::try_new(profile.zstd_level)?;
        Ok(Self {
            writer: SerializedFileWriter::new(
                Vec::new(),
                schema.root_schema_ptr(),
                Arc::new(properties),
            )?,
            schema,
            zstd: Compressor::new(profile.zstd_level)?,
            level,
        })
    }

    /// Writes one row group; `columns` writes every column of the schema in its order.
    pub(crate) fn row_group(
        &mut self,
        columns: impl FnOnce(&mut Group<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut group = Group {
            writer: self.writer.next_row_group()?,
            schema: &self.schema,
            zstd: &mut self.zstd,
            level: self.level,
            next: 0,
        };
        columns(&mut group)?;
        group.writer.close()?;
        Ok(())
    }

    /// Bytes written so far: those of finished row groups.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner()
    }
}

/// A row group in the making.
pub(crate) struct Group<'w> {
    writer: SerializedRowGroupWriter<'w, Vec<u8>>,
    schema: &'w SchemaDescPtr,
    zstd: &'w mut Compressor<'static>,
    level: ZstdLevel,
    next: usize,
}

impl Group<'_> {
    /// Writes the next column.
    pub(crate) fn column(
        &mut self,
        write: impl FnOnce(&mut Chunk<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut chunk = Chunk::new(self.schema.column(self.next), self.zstd, self.level);
        write(&mut chunk)?;
        let (bytes, close) = chunk.finish()?;
        self.next += 1;
        self.writer.append_column(&bytes, close)
    }
}

//! One column of one row group: compressed pages, statistics, and the indexes by which a reader
//! finds the page it needs.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

/// The least and the greatest value of a page or chunk.
#[derive(Clone, Debug)]
pub(crate) enum Bounds {
    Int(i64, i64),
    Text(String, String),
}

impl Bounds {
    fn widen(&mut self, other: &Self) {
        match (self, other) {
            (Self::Int(least, most), Self::Int(a, b)) => {
                *least = (*least).min(*a);
                *most = (*most).max(*b);
            }
            (Self::Text(least, most), Self::Text(a, b)) => {
                if a < least {
                    least.clone_from(a);
                }
                if b > most {
                    most.clone_from(b);
                }
            }
            (this, other) => panic!("bounds of one column differ in type: {this:?}, {other:?}"),
        }
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Int(least, most) => (least.to_le_bytes().into(), most.to_le_bytes().into()),
            Self::Text(least, most) => (least.as_bytes().into(), most.as_bytes().into()),
        }
    }
}

/// What a page holds.
pub(crate) struct PageRows {
    pub(crate) rows: usize,
    pub(crate) nulls: usize,
    pub(crate) encoding: Encoding,
    pub(crate) bounds: Option<Bounds>,
}

impl PageRows {
    /// Rows of a column that readers do not search by.
    pub(crate) const fn unindexed(rows: usize, nulls: usize, encoding: Encoding) -> Self {
        Self {
            rows,
            nulls,
            encoding,
            bounds: None,
        }
    }
}

/// A column chunk in the making.
pub(crate) struct Chunk<'z> {
    column: ColumnDescPtr,
    zstd: &'z mut Compressor<'static>,
    level: ZstdLevel,
    out: TrackedWrite<Vec<u8>>,
    compressed: Vec<u8>,
    dictionary: bool,
    first_page: Option<u64>,
    encodings: Vec<Encoding>,
    rows: usize,
    nulls: usize,
    uncompressed: usize,
    bounds: Option<Bounds>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
}

impl<'z> Chunk<'z> {
    pub(crate) fn new(
        column: ColumnDescPtr,
        zstd: &'z mut Compressor<'static>,
        level: ZstdLevel,
    ) -> Self {
        Self {
            column_index: ColumnIndexBuilder::new(column.physical_type()),
            column,
            zstd,
            level,
            out: TrackedWrite::new(Vec::new()),
            compressed: Vec::new(),
            dictionary: false,
            first_page: None,
            encodings: vec![Encoding::RLE],
            rows: 0,
            nulls: 0,
            uncompressed: 0,
            bounds: None,
            offset_index: OffsetIndexBuilder::new(),
        }
    }

    /// The dictionary page, which must come first: `count` values in the plain encoding.
    pub(crate) fn dictionary(&mut self, body: &[u8], count: usize) -> Result<()> {
        let page = Page::DictionaryPage {
            buf: self.compress(body)?,
            num_values: count_of(count)?,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.dictionary = true;
        self.encodings.push(Encoding::PLAIN);
        self.put(page, body.len())?;
        Ok(())
    }

    /// A data page: levels, where the column may hold nulls, and values.
    pub(crate) fn page(&mut self, body: &[u8], page: PageRows) -> Result<()> {
        let compressed = self.compress(body)?;
        self.put_data(compressed, body.len(), page)
    }

    /// The smaller of two forms of the same data page; whether that is the first.
    pub(crate) fn smaller_page(
        &mut self,
        one: (&[u8], PageRows),
        other: (&[u8], PageRows),
    ) -> Result<bool> {
        let (first, second) = (self.compress(one.0)?, self.compress(other.0)?);
        let is_first = first.len() <= second.len();
        if is_first {
            self.put_data(first, one.0.len(), one.1)?;
        } else {
            self.put_data(second, other.0.len(), other.1)?;
        }
        Ok(is_first)
    }

    fn put_data(&mut self, compressed: Bytes, uncompressed: usize, page: PageRows) -> Result<()> {
        let data = Page::DataPage {
            buf: compressed,
            num_values: count_of(page.rows)?,
            encoding: page.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (offset, size) = self.put(data, uncompressed)?;
        self.note(offset, size, page)
    }

    /// Enters a page into the indexes.
    fn note(&mut self, offset: u64, size: u64, page: PageRows) -> Result<()> {
        self.first_page.get_or_insert(offset);
        if !self.encodings.contains(&page.encoding) {
            self.encodings.push(page.encoding);
        }
        self.offset_index.append_row_count(as_i64(page.rows));
        self.offset_index.append_offset_and_size(
            offset.cast_signed(),
            i32::try_from(size).map_err(too_large)?,
        );
        self.rows += page.rows;
        self.nulls += page.nulls;
        let Some(bounds) = page.bounds else {
            self.column_index.to_invalid();
            return Ok(());
        };
        let (least, most) = bounds.bytes();
        self.column_index
            .append(false, least, most, as_i64(page.nulls));
        match &mut self.bounds {
            Some(all) => all.widen(&bounds),
            None => self.bounds = Some(bounds),
        }
        Ok(())
    }

    /// The chunk's bytes and what a row group needs to take them.
    pub(crate) fn finish(self) -> Result<(Bytes, ColumnCloseResult)> {
        let bytes = self.out.into_inner()?;
        let statistics = statistics(&self.column, self.bounds.as_ref(), self.nulls);
        let data_offset = self.first_page.unwrap_or(0).cast_signed();
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_encodings(self.encodings)
            .set_compression(Compression::ZSTD(self.level))
            .set_num_values(as_i64(self.rows))
            .set_total_compressed_size(as_i64(bytes.len()))
            .set_total_uncompressed_size(as_i64(self.uncompressed))
            .set_data_page_offset(data_offset)
            .set_dictionary_page_offset(self.dictionary.then_some(0))
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: self
                .column_index
                .valid()
                .then(|| self.column_index.build())
                .transpose()?,
            offset_index: Some(self.offset_index.build()),
        };
        Ok((bytes.into(), close))
    }

    fn compress(&mut self, body: &[u8]) -> Result<Bytes> {
        self.compressed.clear();
        self.compressed
            .reserve(zstd::zstd_safe::compress_bound(body.len()));
        self.zstd.compress_to_buffer(body, &mut self.compressed)?;
        Ok(Bytes::copy_from_slice(&self.compressed))
    }

    /// Offset and size, header included.
    fn put(&mut self, page: Page, uncompressed: usize) -> Result<(u64, u64)> {
        let page = CompressedPage::new(page, uncompressed);
        let spec = SerializedPageWriter::new(&mut self.out).write_page(page)?;
        self.uncompressed += spec.uncompressed_size;
        Ok((spec.offset, spec.bytes_written))
    }
}

fn statistics(column: &ColumnDescPtr, bounds: Option<&Bounds>, nulls: usize) -> Statistics {
    let nulls = Some(nulls as u64);
    match (column.physical_type(), bounds) {
        (_, Some(Bounds::Int(a, b))) => Statistics::int64(Some(*a), Some(*b), None, nulls, false),
        (_, Some(Bounds::Text(a, b))) => {
            let text = |s: &String| Some(ByteArray::from(s.as_str()));
            Statistics::byte_array(text(a), text(b), None, nulls, false)
        }
        (Type::INT64, None) => Statistics::int64(None, None, None, nulls, false),
        (Type::INT32, None) => Statistics::int32(None, None, None, nulls, false),
        (Type::DOUBLE, None) => Statistics::double(None, None, None, nulls, false),
        (_, None) => Statistics::byte_array(None, None, None, nulls, false),
    }
}

fn count_of(rows: usize) -> Result<u32> {
    u32::try_from(rows).map_err(too_large)
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).expect("lengths fit 63 bits")
}

fn too_large(error: std::num::TryFromIntError) -> ParquetError {
    ParquetError::General(format!("a page is too large; lower the page rows: {error}"))
}

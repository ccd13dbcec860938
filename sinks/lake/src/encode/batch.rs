//! Files of few rows and many shapes of column, written through Arrow: series and rejects.

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::settings::Profile;

/// `batch` as a Parquet file, with statistics a page on `indexed` columns and none on others.
pub(crate) fn write_batch(
    batch: &RecordBatch,
    indexed: &[&str],
    profile: &Profile,
) -> Result<Vec<u8>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(profile.zstd_level)?))
        .set_data_page_row_count_limit(profile.page_rows)
        .set_data_page_size_limit(64 << 20)
        .set_max_row_group_row_count(Some(profile.row_group_rows))
        .set_statistics_enabled(EnabledStatistics::None);
    for column in indexed {
        properties =
            properties.set_column_statistics_enabled((*column).into(), EnabledStatistics::Page);
    }
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build()))?;
    writer.write(batch)?;
    writer.into_inner()
}

//! Files of what could not be taken.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::record_batch::RecordBatch;
use tidegauge_model::Reject;
use tidegauge_tables::{FileKind, Key, Table};
use uuid::Uuid;

use super::batch::write_batch;
use super::file::{EncodeError, Encoded, Extent};
use super::file_schema;
use super::run::day_of;
use super::settings::Profile;

/// Writes rejects of one day as one file of `rejects`, sorted by tenant, time, partition and
/// offset; none for none.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_rejects(
    rejects: &[&Reject],
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let mut rejects = rejects.to_vec();
    rejects.sort_by(|a, b| order(a).cmp(&order(b)));
    let (Some(first), Some(last)) = (rejects.first(), rejects.last()) else {
        return Ok(None);
    };
    let key = |reject: &Reject| Key {
        tenant: reject.tenant.to_string(),
        name: String::new(),
    };
    let extent = Extent {
        date: day_of(first.time),
        rows: rejects.len() as u64,
        min_time: rejects.iter().map(|r| r.time).min().unwrap_or_default(),
        max_time: rejects.iter().map(|r| r.time).max().unwrap_or_default(),
        min_key: key(first),
        max_key: key(last),
    };
    let batch = batch(&rejects).map_err(EncodeError::of(Table::Rejects))?;
    let bytes = write_batch(&batch, &["tenant", "time"], profile)
        .map_err(EncodeError::of(Table::Rejects))?;
    Ok(Some(extent.finish(
        Table::Rejects,
        FileKind::Main,
        id,
        bytes,
    )))
}

fn order(reject: &Reject) -> (&str, i64, &str, i32, i64) {
    let partition = &reject.partition;
    (
        &reject.tenant,
        reject.time,
        &partition.topic,
        partition.index,
        reject.offset,
    )
}

fn batch(rejects: &[&Reject]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let strings = |get: fn(&Reject) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(
            rejects.iter().map(|r| get(r)),
        ))
    };
    let times = rejects.iter().map(|r| r.time);
    let columns: Vec<ArrayRef> = vec![
        strings(|r| &r.tenant),
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC")),
        strings(|r| &r.partition.topic),
        Arc::new(Int32Array::from_iter_values(
            rejects.iter().map(|r| r.partition.index),
        )),
        Arc::new(Int64Array::from_iter_values(
            rejects.iter().map(|r| r.offset),
        )),
        strings(|r| r.reason.as_str()),
        strings(|r| &r.detail),
        Arc::new(BinaryArray::from_iter_values(
            rejects.iter().map(|r| &r.bytes),
        )),
    ];
    RecordBatch::try_new(file_schema(Table::Rejects), columns)
}

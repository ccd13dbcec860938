//! Files of what could not be taken.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMillisecondType;
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
    let batch = batch(&rejects).map_err(EncodeError::of(Table::Rejects))?;
    write_rejects(&batch, profile, id)
}

/// Writes the files' own columns of rejects of one day, sorted as [`encode_rejects`] sorts them; none
/// for none.
pub(crate) fn write_rejects(
    batch: &RecordBatch,
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let tenants = batch["tenant"].as_string::<i32>();
    let times = batch["time"].as_primitive::<TimestampMillisecondType>();
    let (Some(min_time), Some(max_time)) = (min(times), max(times)) else {
        return Ok(None);
    };
    let key = |row: usize| Key {
        tenant: tenants.value(row).to_owned(),
        name: String::new(),
    };
    let extent = Extent {
        date: day_of(min_time),
        rows: batch.num_rows() as u64,
        min_time,
        max_time,
        min_key: key(0),
        max_key: key(batch.num_rows() - 1),
    };
    let bytes = write_batch(batch, &["tenant", "time"], profile)
        .map_err(EncodeError::of(Table::Rejects))?;
    let (table, kind) = (Table::Rejects, FileKind::Main);
    Ok(Some(extent.finish(table, kind, id, bytes)))
}

/// The columns that [`encode_rejects`] sorts by.
pub(crate) const REJECTS_ORDER: [&str; 5] = ["tenant", "time", "topic", "partition", "offset"];

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

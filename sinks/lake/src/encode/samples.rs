//! Files of samples.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use tidegauge_model::is_stale;
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::batch::write_batch;
use super::file::{EncodeError, Encoded, Extent};
use super::file_schema;
use super::key::Keyed;
use super::run::{SampleRun, day_of};
use super::settings::{Profile, Values};

/// Writes runs of one day, in file order, as one file of `samples`; none for no rows.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_samples<K: Keyed>(
    runs: &[SampleRun<'_, K>],
    kind: FileKind,
    _values: Values,
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let Some(extent) = extent(runs) else {
        return Ok(None);
    };
    let failed = EncodeError::of(Table::Samples);
    let mut tenant = Vec::new();
    let mut name = Vec::new();
    let mut series_id = Vec::new();
    let mut time = Vec::new();
    let mut value = Vec::new();
    for run in runs {
        for (&at, &v) in run.time.iter().zip(run.value) {
            tenant.push(run.key.tenant());
            name.push(run.key.name());
            series_id.push(run.key.series_id().as_i64());
            time.push(at);
            value.push((!is_stale(v)).then_some(v));
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(tenant)),
        Arc::new(StringArray::from(name)),
        Arc::new(Int64Array::from(series_id)),
        Arc::new(TimestampMillisecondArray::from(time).with_timezone("UTC")),
        Arc::new(Float64Array::from(value)),
    ];
    let batch = RecordBatch::try_new(file_schema(Table::Samples), columns)
        .map_err(EncodeError::of(Table::Samples))?;
    let bytes =
        write_batch(&batch, &["tenant", "name", "series_id", "time"], profile).map_err(failed)?;
    Ok(Some(extent.finish(Table::Samples, kind, id, bytes)))
}

fn extent<K: Keyed>(runs: &[SampleRun<'_, K>]) -> Option<Extent> {
    let (first, last) = (runs.first()?, runs.last()?);
    let starts = runs.iter().filter_map(|run| run.time.first());
    let ends = runs.iter().filter_map(|run| run.time.last());
    Some(Extent {
        date: day_of(*first.time.first()?),
        rows: runs.iter().map(|run| run.time.len() as u64).sum(),
        min_time: *starts.min()?,
        max_time: *ends.max()?,
        min_key: first.key.key(),
        max_key: last.key.key(),
    })
}

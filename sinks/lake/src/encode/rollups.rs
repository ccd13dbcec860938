//! Files of rollup rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use tidegauge_model::Rollup;
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::batch::write_batch;
use super::file::{EncodeError, Encoded, Extent};
use super::file_schema;
use super::key::Keyed;
use super::run::{RollupRun, day_of};
use super::settings::Profile;

/// Writes runs of one day, in file order, as one file of `table`; none for no rows.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_rollups<K: Keyed>(
    table: Table,
    runs: &[RollupRun<'_, K>],
    kind: FileKind,
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let Some(extent) = extent(runs) else {
        return Ok(None);
    };
    let mut tenant = Vec::new();
    let mut name = Vec::new();
    let mut series_id = Vec::new();
    for run in runs {
        for _ in run.time {
            tenant.push(run.key.tenant());
            name.push(run.key.name());
            series_id.push(run.key.series_id().as_i64());
        }
    }
    let rows = || runs.iter().flat_map(|run| run.rows);
    let integers = |get: fn(&Rollup) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            rows().map(|row| get(row).cast_signed()),
        ))
    };
    let doubles = |get: fn(&Rollup) -> f64| -> ArrayRef {
        Arc::new(
            rows()
                .map(|row| (row.count > 0).then(|| get(row)))
                .collect::<Float64Array>(),
        )
    };
    let times = |get: fn(&Rollup) -> Option<i64>| -> ArrayRef {
        let times: TimestampMillisecondArray = rows().map(get).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let starts = runs.iter().flat_map(|run| run.time.iter().copied());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(tenant)),
        Arc::new(StringArray::from(name)),
        Arc::new(Int64Array::from(series_id)),
        Arc::new(TimestampMillisecondArray::from_iter_values(starts).with_timezone("UTC")),
        integers(|row| row.count),
        doubles(|row| row.sum),
        doubles(|row| row.min),
        doubles(|row| row.max),
        doubles(|row| row.first),
        times(|row| (row.count > 0).then_some(row.first_time)),
        doubles(|row| row.last),
        times(|row| (row.count > 0).then_some(row.last_time)),
        integers(|row| row.resets),
        Arc::new(Float64Array::from_iter_values(
            rows().map(|row| row.reset_adj),
        )),
        times(|row| row.stale_time),
    ];
    let batch =
        RecordBatch::try_new(file_schema(table), columns).map_err(EncodeError::of(table))?;
    let bytes = write_batch(&batch, &["tenant", "name", "series_id", "time"], profile)
        .map_err(EncodeError::of(table))?;
    Ok(Some(extent.finish(table, kind, id, bytes)))
}

fn extent<K: Keyed>(runs: &[RollupRun<'_, K>]) -> Option<Extent> {
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

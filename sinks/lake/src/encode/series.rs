//! Files of series with their labels.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, StringArray, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use tidegauge_model::SeriesSeen;
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::batch::write_batch;
use super::file::{EncodeError, Encoded, Extent};
use super::file_schema;
use super::key::Keyed;
use super::run::day_of;
use super::settings::Profile;

/// Writes series of one day as one file of `series`, sorted by tenant, name and id; none for none.
/// The file is an overlay, since another file may name the same series with other instants.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_series(
    seen: &[&SeriesSeen],
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let mut seen = seen.to_vec();
    seen.sort_by(|a, b| a.series.file_order(&b.series));
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
        return Ok(None);
    };
    let extent = Extent {
        date: day_of(first.first_seen),
        rows: seen.len() as u64,
        min_time: seen.iter().map(|s| s.first_seen).min().unwrap_or_default(),
        max_time: seen.iter().map(|s| s.last_seen).max().unwrap_or_default(),
        min_key: first.series.key(),
        max_key: last.series.key(),
    };
    let batch = batch(&seen).map_err(EncodeError::of(Table::Series))?;
    let indexed = ["tenant", "name", "series_id", "first_seen", "last_seen"];
    let bytes = write_batch(&batch, &indexed, profile).map_err(EncodeError::of(Table::Series))?;
    Ok(Some(extent.finish(
        Table::Series,
        FileKind::Overlay,
        id,
        bytes,
    )))
}

fn batch(seen: &[&SeriesSeen]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let strings = |get: fn(&SeriesSeen) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(seen.iter().map(|s| get(s))))
    };
    let times = |get: fn(&SeriesSeen) -> i64| -> ArrayRef {
        let times = seen.iter().map(|s| get(s));
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        strings(|s| s.series.tenant()),
        Arc::new(Int64Array::from_iter_values(
            seen.iter().map(|s| s.series.id().as_i64()),
        )),
        strings(|s| s.series.name()),
        labels(seen)?,
        strings(|s| s.metadata.metric_type.as_str()),
        strings(|s| &s.metadata.unit),
        strings(|s| &s.metadata.help),
        times(|s| s.first_seen),
        times(|s| s.last_seen),
    ];
    RecordBatch::try_new(file_schema(Table::Series), columns)
}

fn labels(seen: &[&SeriesSeen]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let names = MapFieldNames {
        entry: "key_value".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Field::new("value", DataType::Utf8, false));
    for one in seen {
        for (label, value) in one.series.labels() {
            maps.keys().append_value(label);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}

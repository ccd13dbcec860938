//! Files of series with their labels.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, StringArray, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use tidegauge_model::{Metadata, SeriesSeen};
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::batch::write_batch;
use super::file::{EncodeError, Encoded, Extent};
use super::file_schema;
use super::key::Keyed;
use super::run::day_of;
use super::settings::Profile;

/// Writes series of one day as one file of `series`, a row each, sorted by tenant, name and id; none for
/// none. Several seals of a commit may each have told of a series, the later ones with what they learned.
/// The file is an overlay, since another file may name the same series with other instants.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_series(
    seen: &[&SeriesSeen],
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let mut told = seen.to_vec();
    told.sort_by(|a, b| a.series.file_order(&b.series));
    let each = told.chunk_by(|a, b| a.series.file_order(&b.series).is_eq());
    let each: Vec<SeriesSeen> = each.map(once).collect();
    let seen: Vec<&SeriesSeen> = each.iter().collect();
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

/// All that was told of one series, in one row: the newest description that says anything.
fn once(told: &[&SeriesSeen]) -> SeriesSeen {
    let newest = told[told.len() - 1];
    let mut described = told.iter().rev();
    let described = described.find(|seen| *seen.metadata != Metadata::default());
    SeriesSeen {
        series: newest.series.clone(),
        metadata: Arc::clone(&described.unwrap_or(&newest).metadata),
        first_seen: told.iter().map(|s| s.first_seen).min().unwrap_or_default(),
        last_seen: told.iter().map(|s| s.last_seen).max().unwrap_or_default(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::EncodeSettings;
    use tidegauge_model::{Limits, MetricType, Series};

    #[test]
    fn what_several_seals_told_of_a_series_is_one_row() {
        let seen = |host, first_seen, last_seen, help: &str| SeriesSeen {
            series: Series::new("t", "up", &mut vec![("host", host)], &Limits::default())
                .expect("a valid series"),
            metadata: Arc::new(Metadata {
                help: help.into(),
                ..Metadata::default()
            }),
            first_seen,
            last_seen,
        };
        let told = [
            seen("a", 10, 20, ""),
            seen("b", 5, 5, "other"),
            seen("a", 15, 30, "is up"),
            seen("a", 12, 12, ""),
        ];
        let told: Vec<&SeriesSeen> = told.iter().collect();
        let profile = EncodeSettings::default().commit;
        let file = encode_series(&told, &profile, Uuid::nil()).expect("good settings");
        assert_eq!(file.expect("rows").file.rows, 2);
        let one = once(&[told[0], told[2], told[3]]);
        assert_eq!((one.first_seen, one.last_seen), (10, 30));
        assert_eq!(&*one.metadata.help, "is up");
        assert_eq!(one.metadata.metric_type, MetricType::default());
    }
}

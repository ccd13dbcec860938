//! Series: the earliest first and the latest last sight count, with the newest file's metadata.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use tidegauge_model::{Limits, Metadata, MetricType, Series, SeriesSeen};

use super::block::{Stored, column};

impl Stored for SeriesSeen {
    const TIME: &'static str = "first_seen";

    fn decode(batch: &RecordBatch) -> Result<Vec<Self>, String> {
        let [tenant, name, kind, unit, help] =
            ["tenant", "name", "type", "unit", "help"].map(|name| text(batch, name));
        let (tenant, name, kind, unit, help) = (tenant?, name?, kind?, unit?, help?);
        let first = times(batch, "first_seen")?;
        let last = times(batch, "last_seen")?;
        let labels = column(batch, "labels")?
            .as_map_opt()
            .ok_or("`labels` is no map")?;
        let mut rows = Vec::with_capacity(batch.num_rows());
        for i in 0..batch.num_rows() {
            let entries = labels.value(i);
            let keys = entries.column(0).as_string::<i32>();
            let values = entries.column(1).as_string::<i32>();
            let mut pairs = (0..entries.len())
                .map(|label| (keys.value(label), values.value(label)))
                .collect();
            let series = Series::new(tenant.value(i), name.value(i), &mut pairs, &no_limits())
                .map_err(|error| error.to_string())?;
            rows.push(Self {
                series,
                metadata: Arc::new(Metadata {
                    metric_type: metric_type(kind.value(i)),
                    unit: unit.value(i).to_owned(),
                    help: help.value(i).to_owned(),
                }),
                first_seen: first[i],
                last_seen: last[i],
            });
        }
        Ok(rows)
    }

    fn settle(time: &mut Vec<i64>, rows: &mut Vec<Self>, pieces: &[(usize, u64)]) {
        let mut newest = (0, 0);
        let mut at = 0;
        for &(count, version) in pieces {
            newest = newest.max((version, at));
            at += count;
        }
        let first_seen = rows.iter().map(|row| row.first_seen).min();
        let last_seen = rows.iter().map(|row| row.last_seen).max();
        if let (Some(first_seen), Some(last_seen)) = (first_seen, last_seen) {
            let mut kept = rows.swap_remove(newest.1);
            kept.first_seen = first_seen;
            kept.last_seen = last_seen;
            time.clear();
            time.push(first_seen);
            rows.clear();
            rows.push(kept);
        }
    }
}

/// What is in a file has passed the limits of its day.
const fn no_limits() -> Limits {
    Limits {
        labels_per_series: usize::MAX,
        name_bytes: usize::MAX,
        value_bytes: usize::MAX,
        record_bytes: usize::MAX,
    }
}

/// A word of a newer program counts as unknown.
fn metric_type(word: &str) -> MetricType {
    [
        MetricType::Gauge,
        MetricType::Counter,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == word)
    .unwrap_or_default()
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, String> {
    let plain = cast(column(batch, name)?, &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(plain.as_string::<i32>().clone())
}

fn times<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a [i64], String> {
    Ok(column(batch, name)?
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(|| format!("`{name}` is no time"))?
        .values())
}

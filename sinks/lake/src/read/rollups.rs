//! Rollup rows: of equal series and window that of the newest file counts.

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use tidegauge_model::Rollup;

use super::block::{Stored, column};

impl Stored for Rollup {
    const TIME: &'static str = "time";

    fn decode(batch: &RecordBatch) -> Result<Vec<Self>, String> {
        let count = get::<Int64Type>(batch, "count")?;
        let sum = get::<Float64Type>(batch, "sum")?;
        let min = get::<Float64Type>(batch, "min")?;
        let max = get::<Float64Type>(batch, "max")?;
        let first = get::<Float64Type>(batch, "first")?;
        let first_time = get::<TimestampMillisecondType>(batch, "first_time")?;
        let last = get::<Float64Type>(batch, "last")?;
        let last_time = get::<TimestampMillisecondType>(batch, "last_time")?;
        let resets = get::<Int64Type>(batch, "resets")?;
        let reset_adj = get::<Float64Type>(batch, "reset_adj")?;
        let stale_time = get::<TimestampMillisecondType>(batch, "stale_time")?;
        let row = |i: usize| {
            // What a window of nothing but stale markers holds, as the fold leaves it.
            let empty = count.value(i) == 0;
            let double = |values: &PrimitiveArray<Float64Type>| {
                if empty { f64::NAN } else { values.value(i) }
            };
            Self {
                count: count.value(i).cast_unsigned(),
                sum: if empty { 0.0 } else { sum.value(i) },
                min: double(min),
                max: double(max),
                first: double(first),
                first_time: if empty { i64::MAX } else { first_time.value(i) },
                last: double(last),
                last_time: if empty { i64::MIN } else { last_time.value(i) },
                resets: resets.value(i).cast_unsigned(),
                reset_adj: reset_adj.value(i),
                stale_time: stale_time.is_valid(i).then(|| stale_time.value(i)),
            }
        };
        Ok((0..batch.num_rows()).map(row).collect())
    }

    fn settle(time: &mut Vec<i64>, rows: &mut Vec<Self>, pieces: &[(usize, u64)]) {
        if time.is_sorted_by(|a, b| a < b) {
            return;
        }
        let versions = pieces
            .iter()
            .flat_map(|&(rows, version)| std::iter::repeat_n(version, rows));
        let mut all: Vec<(i64, u64, Self)> = time
            .drain(..)
            .zip(versions)
            .zip(rows.drain(..))
            .map(|((time, version), row)| (time, version, row))
            .collect();
        all.sort_by_key(|&(time, version, _)| (time, std::cmp::Reverse(version)));
        all.dedup_by_key(|row| row.0);
        time.extend(all.iter().map(|row| row.0));
        rows.extend(all.iter().map(|row| row.2));
    }
}

fn get<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>, String> {
    column(batch, name)?
        .as_primitive_opt::<T>()
        .ok_or_else(|| format!("`{name}` is not of type {}", T::DATA_TYPE))
}

//! Samples: of equal series and time the preferred value counts.

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use tidegauge_model::{settle_run, stale};
use tidegauge_tables::decimal::value_column;

use super::block::Stored;

impl Stored for f64 {
    const TIME: &'static str = "time";

    fn decode(batch: &RecordBatch) -> Result<Vec<Self>, String> {
        let values = value_column(batch).ok_or("no `value`, in either form")?;
        let mut rows = values.values().to_vec();
        if values.null_count() > 0 {
            for (row, value) in rows.iter_mut().enumerate() {
                if values.is_null(row) {
                    *value = stale();
                }
            }
        }
        Ok(rows)
    }

    fn settle(time: &mut Vec<i64>, rows: &mut Vec<Self>, _pieces: &[(usize, u64)]) {
        settle_run(time, rows);
    }
}

//! Rows drawn as a table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::pretty::pretty_format_batches;

/// Columns are as wide as their widest value, so nothing is drawn before the end.
pub(super) struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            batches: Vec::new(),
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.batches.push(batch.clone());
        Ok(Vec::new())
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        if self.batches.is_empty() {
            self.batches
                .push(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let unit = if rows == 1 { "row" } else { "rows" };
        let drawn = pretty_format_batches(&self.batches)?;
        Ok(format!("{drawn}\n{rows} {unit}\n").into_bytes())
    }
}

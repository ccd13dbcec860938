//! Rows as CSV.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::make_encoder;

use super::json;

/// The head line comes before the first row.
pub(super) struct Csv {
    schema: SchemaRef,
    head_is_due: bool,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let fields: Vec<Field> = schema.fields().iter().map(flat_field).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            head_is_due: true,
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields());
        let columns = columns.map(|(column, field)| flat(column, field));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        self.write(&RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        if self.head_is_due {
            return self.write(&RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        Ok(Vec::new())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut bytes = Vec::new();
        let head = std::mem::take(&mut self.head_is_due);
        WriterBuilder::new()
            .with_header(head)
            .build(&mut bytes)
            .write(batch)?;
        Ok(bytes)
    }
}

fn flat_field(field: &FieldRef) -> Field {
    if field.data_type().is_nested() {
        Field::new(field.name(), DataType::Utf8, true)
    } else {
        field.as_ref().clone()
    }
}

/// Maps and lists have no form in CSV: they become texts of JSON.
fn flat(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    if !column.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    let options = json::options();
    let mut encoder = make_encoder(field, column, &options)?;
    let mut texts = StringBuilder::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        let mut text = Vec::new();
        encoder.encode(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}

//! Rows as JSON objects.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonArray, LineDelimited, NullableEncoder, Writer,
    WriterBuilder,
};

use super::error_object;
use crate::error::QueryError;

fn builder() -> WriterBuilder {
    WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Numbers))
}

/// One array.
pub(super) struct Json {
    writer: Writer<Vec<u8>, JsonArray>,
    rows: usize,
}

impl Json {
    pub(super) fn new() -> Self {
        Self {
            writer: builder().build(Vec::new()),
            rows: 0,
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.rows += batch.num_rows();
        self.writer.write(batch)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.writer.finish()?;
        let mut end = std::mem::take(self.writer.get_mut());
        end.push(b'\n');
        Ok(end)
    }

    pub(super) fn broken_off(&self, error: &QueryError) -> Vec<u8> {
        let before = if self.rows == 0 { "[" } else { "," };
        format!("{before}{}\n", error_object(error)).into_bytes()
    }
}

/// One object a line.
pub(super) struct JsonLines {
    writer: Writer<Vec<u8>, LineDelimited>,
}

impl JsonLines {
    pub(super) fn new() -> Self {
        Self {
            writer: builder().build(Vec::new()),
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.writer.write(batch)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}

/// Writes the numbers that JSON lacks as texts, as Prometheus does, instead of losing them.
#[derive(Debug)]
pub(super) struct Numbers;

impl EncoderFactory for Numbers {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if *array.data_type() != DataType::Float64 {
            return Ok(None);
        }
        let values = array.as_primitive::<Float64Type>();
        let encoder = Box::new(Floats(values.clone()));
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Floats(Float64Array);

impl Encoder for Floats {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        if value.is_finite() {
            // The shortest text that reads back as the same bits.
            let number = serde_json::Number::from_f64(value).expect("finite numbers are JSON's");
            out.extend_from_slice(number.to_string().as_bytes());
        } else if value.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else if value > 0.0 {
            out.extend_from_slice(b"\"+Inf\"");
        } else {
            out.extend_from_slice(b"\"-Inf\"");
        }
    }
}

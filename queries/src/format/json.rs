//! Rows as JSON objects.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonArray, LineDelimited, NullableEncoder, Writer,
    WriterBuilder,
};
use serde::Serialize;

use super::error_object;
use crate::error::QueryError;

/// How values are written, in JSON and wherever else values are JSON.
pub(super) fn options() -> EncoderOptions {
    EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Numbers))
}

fn builder() -> WriterBuilder {
    WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Numbers))
}

/// An object has one value a name.
pub(super) fn check_names(schema: &SchemaRef) -> Result<(), QueryError> {
    let mut names = HashSet::new();
    let mut all = schema.fields().iter().map(|field| field.name());
    match all.find(|name| !names.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(QueryError::Invalid(format!(
            "two columns are called `{name}`, and JSON's objects have one value a name; give one \
             another name with AS"
        ))),
    }
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
struct Numbers;

impl EncoderFactory for Numbers {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float16 => {
                let wider = array.as_primitive::<Float16Type>().unary(f32::from);
                Box::new(Floats::<Float32Type>(wider))
            }
            DataType::Float32 => Box::new(Floats(array.as_primitive::<Float32Type>().clone())),
            DataType::Float64 => Box::new(Floats(array.as_primitive::<Float64Type>().clone())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Floats<T: ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: ArrowPrimitiveType<Native: Serialize + Into<f64>>> Encoder for Floats<T> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let number = self.0.value(row);
        let value: f64 = number.into();
        if value.is_finite() {
            // The shortest text that reads back as the same bits.
            serde_json::to_writer(out, &number).expect("finite numbers are JSON's");
        } else if value.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else if value > 0.0 {
            out.extend_from_slice(b"\"+Inf\"");
        } else {
            out.extend_from_slice(b"\"-Inf\"");
        }
    }
}

//! Answers as bytes: the same writers for HTTP and the command line.

mod arrow_stream;
mod csv;
mod json;
mod table;

use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::QueryError;

/// The forms an answer can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Drawn with lines, for reading. Nothing is drawn before the first 10,000 rows are there, which tell how wide
    /// columns are.
    Table,
    /// A head line, then a line a row (RFC 4180); NULL is empty, maps are JSON.
    Csv,
    /// An array of objects, one a row. Times are RFC 3339, numbers that JSON lacks are the texts
    /// "NaN", "+Inf" and "-Inf", bytes are hexadecimal.
    Json,
    /// The same objects, each on a line of its own.
    JsonLines,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Table,
        Self::Csv,
        Self::Json,
        Self::JsonLines,
        Self::Arrow,
    ];

    /// The word for it in options and parameters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonLines => "ndjson",
            Self::Arrow => "arrow",
        }
    }

    /// The media type it is served as.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no format `{text}`; formats are {names}")
        })
    }
}

/// Turns the batches of one answer into bytes, piece by piece.
pub struct Encoder(Kind);

enum Kind {
    Table(table::Table),
    Csv(csv::Csv),
    Json(json::Json),
    JsonLines(json::JsonLines),
    Arrow(Box<arrow_stream::ArrowStream>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// For an answer with the columns of `schema`.
    ///
    /// # Errors
    /// If a column has no form in `format`, or two of one name have none beside each other.
    pub fn new(format: Format, schema: &SchemaRef) -> Result<Self, QueryError> {
        if matches!(format, Format::Json | Format::JsonLines) {
            json::check_names(schema)?;
        }
        let kind = match format {
            Format::Table => Kind::Table(table::Table::new(schema)),
            Format::Csv => Kind::Csv(csv::Csv::new(schema)),
            Format::Json => Kind::Json(json::Json::new()),
            Format::JsonLines => Kind::JsonLines(json::JsonLines::new()),
            Format::Arrow => {
                let stream = arrow_stream::ArrowStream::new(schema);
                Kind::Arrow(Box::new(stream.map_err(|e| failed(&e))?))
            }
        };
        Ok(Self(kind))
    }

    /// The bytes of one more batch.
    ///
    /// # Errors
    /// If a value has no form in the format.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let bytes = match &mut self.0 {
            Kind::Table(table) => table.batch(batch),
            Kind::Csv(csv) => csv.batch(batch),
            Kind::Json(json) => json.batch(batch),
            Kind::JsonLines(lines) => lines.batch(batch),
            Kind::Arrow(stream) => stream.batch(batch),
        };
        bytes.map_err(|e| failed(&e))
    }

    /// The bytes that end a whole answer.
    ///
    /// # Errors
    /// If what was held back can't be written.
    pub fn finish(&mut self) -> Result<Vec<u8>, QueryError> {
        let bytes = match &mut self.0 {
            Kind::Table(table) => table.finish(),
            Kind::Csv(csv) => csv.finish(),
            Kind::Json(json) => json.finish(),
            Kind::JsonLines(_) => Ok(Vec::new()),
            Kind::Arrow(stream) => stream.finish(),
        };
        bytes.map_err(|e| failed(&e))
    }

    /// The bytes that show, where the format can, that the answer breaks off. What came before is
    /// then never a whole document: the array of JSON stays open.
    pub fn broken_off(&mut self, error: &QueryError) -> Vec<u8> {
        match &self.0 {
            Kind::Json(json) => json.broken_off(error),
            Kind::JsonLines(_) => [error_object(error).into_bytes(), vec![b'\n']].concat(),
            Kind::Table(_) | Kind::Csv(_) | Kind::Arrow(_) => Vec::new(),
        }
    }
}

/// An error as the object that all our HTTP answers use.
pub(crate) fn error_object(error: &QueryError) -> String {
    serde_json::json!({
        "status": "error",
        "code": error.code(),
        "error": error.to_string(),
    })
    .to_string()
}

fn failed(error: &ArrowError) -> QueryError {
    QueryError::Invalid(format!(
        "the answer can't be written in this format: {error}"
    ))
}

#[cfg(test)]
mod tests;

//! Rows drawn as a table.
//!
//! Columns are as wide as their widest value among the first rows. What is wider later widens its own line
//! alone, so that a table of any length is drawn as it comes and none of it is held.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;

/// How many rows are looked at before the first is drawn.
const FIRST_ROWS: usize = 10_000;

pub(super) struct Table {
    schema: SchemaRef,
    /// The first rows, until the widths are known.
    first: Vec<RecordBatch>,
    widths: Option<Vec<usize>>,
    rows: usize,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            first: Vec::new(),
            widths: None,
            rows: 0,
        }
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.rows += batch.num_rows();
        let mut out = String::new();
        if let Some(widths) = &self.widths {
            let rows = cells(batch)?;
            rows.iter().for_each(|row| draw(&mut out, row, widths));
        } else {
            self.first.push(batch.clone());
            if self.rows >= FIRST_ROWS {
                self.begin(&mut out)?;
            }
        }
        Ok(out.into_bytes())
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        let mut out = String::new();
        if self.widths.is_none() {
            self.begin(&mut out)?;
        }
        if self.rows > 0 {
            rule(&mut out, self.widths.as_deref().unwrap_or_default());
        }
        let unit = if self.rows == 1 { "row" } else { "rows" };
        out.push_str(&format!("{} {unit}\n", self.rows));
        Ok(out.into_bytes())
    }

    /// Draws the head and the first rows, in columns as wide as these need.
    fn begin(&mut self, out: &mut String) -> Result<(), ArrowError> {
        let names = self.schema.fields().iter();
        let head: Vec<String> = names.map(|field| field.name().clone()).collect();
        let mut rows = Vec::new();
        for batch in std::mem::take(&mut self.first) {
            rows.append(&mut cells(&batch)?);
        }
        let mut widths = vec![0; head.len()];
        for row in std::iter::once(&head).chain(&rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell
                    .lines()
                    .map(UnicodeWidthStr::width)
                    .fold(*width, usize::max);
            }
        }
        rule(out, &widths);
        draw(out, &head, &widths);
        rule(out, &widths);
        rows.iter().for_each(|row| draw(out, row, &widths));
        self.widths = Some(widths);
        Ok(())
    }
}

/// The texts of a batch, row by row.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default();
    let columns = batch.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()?;
    let row = |row| {
        let texts = columns
            .iter()
            .map(|column| column.value(row).try_to_string());
        texts.collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// One row; a text of several lines makes it as high.
fn draw(out: &mut String, row: &[String], widths: &[usize]) {
    let height = row.iter().map(|cell| cell.lines().count()).max();
    for line in 0..height.unwrap_or(1).max(1) {
        for (cell, &width) in row.iter().zip(widths) {
            let text = cell.lines().nth(line).unwrap_or_default();
            let blanks = width.saturating_sub(text.width());
            out.push_str("| ");
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', blanks + 1));
        }
        out.push_str("|\n");
    }
}

fn rule(out: &mut String, widths: &[usize]) {
    for width in widths {
        out.push('+');
        out.extend(std::iter::repeat_n('-', width + 2));
    }
    out.push_str("+\n");
}

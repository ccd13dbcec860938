//! Columns of doubles.

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::chunk::{Chunk, PageRows};
use super::hybrid::{put_full_levels, put_levels};
use super::span::pages;

/// Doubles without nulls, plain, in a column that allows none.
pub(crate) fn doubles(chunk: &mut Chunk<'_>, page_rows: usize, values: &[f64]) -> Result<()> {
    let mut body = Vec::new();
    for page in pages(values.len(), page_rows) {
        body.clear();
        put_doubles(&mut body, &values[page.clone()]);
        chunk.page(&body, PageRows::unindexed(page.len(), 0, Encoding::PLAIN))?;
    }
    Ok(())
}

/// Doubles in a column that allows nulls; `is_null` says which are.
pub(crate) fn optional_doubles(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    values: &[f64],
    is_null: impl Fn(usize) -> bool,
) -> Result<()> {
    let (mut body, mut present) = (Vec::new(), Vec::new());
    for page in pages(values.len(), page_rows) {
        body.clear();
        let rows = page.len();
        let nulls = page.clone().filter(|&row| is_null(row)).count();
        if nulls == 0 {
            put_full_levels(&mut body, rows);
            put_doubles(&mut body, &values[page]);
        } else {
            put_levels(&mut body, page.clone().map(|row| !is_null(row)));
            present.clear();
            present.extend(page.filter(|&row| !is_null(row)).map(|row| values[row]));
            put_doubles(&mut body, &present);
        }
        chunk.page(&body, PageRows::unindexed(rows, nulls, Encoding::PLAIN))?;
    }
    Ok(())
}

fn put_doubles(out: &mut Vec<u8>, values: &[f64]) {
    let start = out.len();
    out.resize(start + values.len() * 8, 0);
    for (to, value) in out[start..].chunks_exact_mut(8).zip(values) {
        to.copy_from_slice(&value.to_le_bytes());
    }
}

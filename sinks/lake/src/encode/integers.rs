//! Columns of integers: times, counts, and exponents of the compact form.

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::chunk::{Bounds, Chunk, PageRows};
use super::hybrid::{index_bytes, put_deltas, put_levels, put_packed, put_repeated, start_indices};
use super::intern::{Dictionary, intern};
use super::span::pages;

/// Integers without nulls, as a dictionary where they repeat and as deltas where they don't.
pub(crate) fn integers(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    values: &[i64],
    indexed: bool,
) -> Result<()> {
    let dictionary = intern(values);
    if let Some(dictionary) = &dictionary {
        put_dictionary(chunk, dictionary)?;
    }
    let mut body = Vec::new();
    for page in pages(values.len(), page_rows) {
        body.clear();
        let encoding = put_integers(
            &mut body,
            &values[page.clone()],
            dictionary.as_ref().map(|d| (d, &d.indices[page.clone()])),
        );
        let bounds = indexed.then(|| bounds(&values[page.clone()]));
        chunk.page(
            &body,
            PageRows {
                rows: page.len(),
                nulls: 0,
                encoding,
                bounds,
            },
        )?;
    }
    Ok(())
}

/// Integers of which some are null.
pub(crate) fn optional_integers(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    values: &[Option<i64>],
) -> Result<()> {
    let present: Vec<i64> = values.iter().copied().flatten().collect();
    let dictionary = intern(&present);
    if let Some(dictionary) = &dictionary {
        put_dictionary(chunk, dictionary)?;
    }
    let mut body = Vec::new();
    let mut taken = 0;
    for page in pages(values.len(), page_rows) {
        body.clear();
        let rows = &values[page];
        put_levels(&mut body, rows.iter().map(Option::is_some));
        let count = rows.iter().flatten().count();
        let range = taken..taken + count;
        taken += count;
        let encoding = put_integers(
            &mut body,
            &present[range.clone()],
            dictionary.as_ref().map(|d| (d, &d.indices[range])),
        );
        chunk.page(
            &body,
            PageRows {
                rows: rows.len(),
                nulls: rows.len() - count,
                encoding,
                bounds: None,
            },
        )?;
    }
    Ok(())
}

/// Small integers that are mostly constant along runs, through a dictionary of all of `least..`.
pub(crate) fn small(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    values: &[i8],
    least: i8,
    most: i8,
) -> Result<()> {
    let mut dictionary = Vec::new();
    for value in least..=most {
        dictionary.extend_from_slice(&i32::from(value).to_le_bytes());
    }
    chunk.dictionary(&dictionary, dictionary.len() / 4)?;
    let mut body = Vec::new();
    for page in pages(values.len(), page_rows) {
        let values = &values[page];
        body.clear();
        start_indices(&mut body, 1);
        for run in values.chunk_by(|a, b| a == b) {
            let index = u32::from((run[0] - least).cast_unsigned());
            put_repeated(&mut body, index, run.len(), 1);
        }
        chunk.page(
            &body,
            PageRows::unindexed(values.len(), 0, Encoding::RLE_DICTIONARY),
        )?;
    }
    Ok(())
}

fn put_dictionary(chunk: &mut Chunk<'_>, dictionary: &Dictionary) -> Result<()> {
    let bytes: Vec<u8> = dictionary
        .values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    chunk.dictionary(&bytes, dictionary.values.len())
}

/// Appends values as indices, where there is a dictionary, or as deltas; says which.
fn put_integers(
    body: &mut Vec<u8>,
    values: &[i64],
    dictionary: Option<(&Dictionary, &[u32])>,
) -> Encoding {
    match dictionary {
        Some((dictionary, indices)) => {
            let width = index_bytes(dictionary.values.len());
            start_indices(body, width);
            put_packed(body, indices, width);
            Encoding::RLE_DICTIONARY
        }
        None => {
            put_deltas(body, values);
            Encoding::DELTA_BINARY_PACKED
        }
    }
}

fn bounds(values: &[i64]) -> Bounds {
    let start = (i64::MAX, i64::MIN);
    let (least, most) = values.iter().fold(start, |(least, most), &value| {
        (least.min(value), most.max(value))
    });
    Bounds::Int(least, most)
}

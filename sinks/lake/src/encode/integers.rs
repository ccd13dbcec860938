//! Columns of integers: times, counts, and the mantissas of the compact form.

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::chunk::{Bounds, Chunk, PageRows};
use super::hybrid::{index_bytes, put_deltas, put_levels, put_packed, put_repeated, start_indices};
use super::intern::{Dictionary, intern};
use super::span::{Span, alike, pages};

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

/// Mantissas: as byte planes, which suits what hovers, or as deltas, which suits what climbs by
/// uneven steps. With `both`, each page is tried in both and the smaller kept. Pages end with a
/// metric's name where they are not too small, so that one kind of series fills each.
pub(crate) fn mantissas(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    both: bool,
    spans: &[Span<'_>],
    values: &[i64],
) -> Result<()> {
    let (mut planes, mut deltas) = (Vec::new(), Vec::new());
    let mut rest = values;
    for rows in pages_by_name(spans, page_rows, both) {
        let (page, tail) = rest.split_at(rows);
        rest = tail;
        planes.clear();
        put_planes(&mut planes, page);
        let in_planes = PageRows::unindexed(rows, 0, Encoding::BYTE_STREAM_SPLIT);
        if both {
            deltas.clear();
            put_deltas(&mut deltas, page);
            let in_deltas = PageRows::unindexed(rows, 0, Encoding::DELTA_BINARY_PACKED);
            chunk.smaller_page((&planes, in_planes), (&deltas, in_deltas))?;
        } else {
            chunk.page(&planes, in_planes)?;
        }
    }
    Ok(())
}

/// All lowest bytes, then all next ones, and so on.
fn put_planes(body: &mut Vec<u8>, values: &[i64]) {
    body.resize(values.len() * 8, 0);
    for (byte, plane) in body.chunks_exact_mut(values.len()).enumerate() {
        for (to, value) in plane.iter_mut().zip(values) {
            *to = (value >> (byte * 8)).to_le_bytes()[0];
        }
    }
}

/// Lengths of pages of at most `page_rows` rows that, with `by_name`, end where a name does once
/// they hold a sixteenth of that.
fn pages_by_name(spans: &[Span<'_>], page_rows: usize, by_name: bool) -> Vec<usize> {
    let page_rows = page_rows.max(1);
    let mut lengths = Vec::new();
    let mut length = 0;
    for (i, span) in spans.iter().enumerate() {
        length += span.rows;
        while length >= page_rows {
            lengths.push(page_rows);
            length -= page_rows;
        }
        let name_ends = spans
            .get(i + 1)
            .is_none_or(|next| !alike(next.name, span.name));
        if by_name && name_ends && length >= page_rows / 16 && length > 0 {
            lengths.push(length);
            length = 0;
        }
    }
    if length > 0 {
        lengths.push(length);
    }
    lengths
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

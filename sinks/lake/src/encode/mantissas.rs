//! Mantissas of the compact form, and their bases.
//!
//! Two encodings are in question: byte planes, which suit what hovers, and deltas, which suit what
//! climbs by uneven steps. Both are spoilt where runs meet: planes because each run hovers somewhere
//! else, so that no byte is rare; deltas because one leap widens all of its block. So where runs are
//! long enough to pay for it, each has a base that is taken off its mantissas: its least one before
//! planes, and before deltas what makes it go on where the run before ended.

use std::collections::BTreeMap;

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::chunk::{Chunk, PageRows};
use super::hybrid::{
    index_bytes, put_deltas, put_full_levels, put_levels, put_repeated, start_indices,
};
use super::span::{Span, alike};

/// A base costs about ten bytes a run: with as many rows as this, less than it saves.
const LONG_RUN: usize = 256;

/// Neighbouring rows and their base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Based {
    rows: usize,
    base: i64,
}

/// Writes mantissas and returns, page by page, what was taken off them.
///
/// With `both`, each page is tried in both encodings and the smaller kept, and pages end with a
/// metric's name where they are not too small, so that one kind of series fills each. Without, bases
/// are 0.
pub(crate) fn mantissas(
    chunk: &mut Chunk<'_>,
    page_rows: usize,
    both: bool,
    spans: &[Span<'_>],
    values: &[i64],
) -> Result<Vec<Vec<Based>>> {
    let mut pages = Vec::new();
    let (mut planes, mut deltas, mut shifted) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = values;
    for mut pieces in pages_by_name(spans, page_rows, both) {
        let rows = pieces.iter().map(|piece| piece.rows).sum();
        let (page, tail) = rest.split_at(rows);
        rest = tail;
        planes.clear();
        let in_planes = PageRows::unindexed(rows, 0, Encoding::BYTE_STREAM_SPLIT);
        if !both {
            put_planes(&mut planes, page);
            chunk.page(&planes, in_planes)?;
            pages.push(pieces);
            continue;
        }
        let is_long = rows >= pieces.len() * LONG_RUN;
        let mut joined = pieces.clone();
        if is_long {
            level(&mut pieces, page);
            join(&mut joined, page);
        }
        shift(&mut shifted, &pieces, page);
        put_planes(&mut planes, &shifted);
        shift(&mut shifted, &joined, page);
        deltas.clear();
        put_deltas(&mut deltas, &shifted);
        let in_deltas = PageRows::unindexed(rows, 0, Encoding::DELTA_BINARY_PACKED);
        let first = chunk.smaller_page((&planes, in_planes), (&deltas, in_deltas))?;
        pages.push(if first { pieces } else { joined });
    }
    Ok(pages)
}

/// Writes bases in a column that allows nulls: a page in which all are 0 holds nulls.
pub(crate) fn bases(chunk: &mut Chunk<'_>, pages: &[Vec<Based>]) -> Result<()> {
    let is_plain = |page: &[Based]| page.iter().all(|piece| piece.base == 0);
    let used = pages.iter().filter(|page| !is_plain(page)).flatten();
    let mut places: BTreeMap<i64, u32> = used.map(|piece| (piece.base, 0)).collect();
    for (place, at) in places.values_mut().zip(0..) {
        *place = at;
    }
    let width = index_bytes(places.len());
    if !places.is_empty() {
        let dictionary: Vec<u8> = places.keys().flat_map(|base| base.to_le_bytes()).collect();
        chunk.dictionary(&dictionary, places.len())?;
    }
    let mut body = Vec::new();
    for page in pages {
        body.clear();
        let rows = page.iter().map(|piece| piece.rows).sum();
        if is_plain(page) {
            put_levels(&mut body, std::iter::repeat_n(false, rows));
            let nulls = PageRows::unindexed(rows, rows, Encoding::PLAIN);
            chunk.page(&body, nulls)?;
            continue;
        }
        put_full_levels(&mut body, rows);
        start_indices(&mut body, width);
        for alike in page.chunk_by(|one, next| one.base == next.base) {
            let rows = alike.iter().map(|piece| piece.rows).sum();
            put_repeated(&mut body, places[&alike[0].base], rows, width);
        }
        let all = PageRows::unindexed(rows, 0, Encoding::RLE_DICTIONARY);
        chunk.page(&body, all)?;
    }
    Ok(())
}

/// Takes its least mantissa for each piece's base.
fn level(pieces: &mut [Based], values: &[i64]) {
    let mut rest = values;
    for piece in pieces {
        let (run, tail) = rest.split_at(piece.rows);
        piece.base = run.iter().copied().min().unwrap_or(0);
        rest = tail;
    }
}

/// Takes for each piece the base with which it begins as high as the one before it ends.
fn join(pieces: &mut [Based], values: &[i64]) {
    let mut rest = values;
    let mut height = None;
    for piece in pieces {
        let (run, tail) = rest.split_at(piece.rows);
        rest = tail;
        if let [first, .., last] | [first @ last] = run {
            // What overflows here comes back as it was when a reader adds it, which wraps as well.
            piece.base = first.wrapping_sub(height.unwrap_or(*first));
            height = Some(last.wrapping_sub(piece.base));
        }
    }
}

fn shift(shifted: &mut Vec<i64>, pieces: &[Based], values: &[i64]) {
    shifted.clear();
    let mut rest = values;
    for piece in pieces {
        let (run, tail) = rest.split_at(piece.rows);
        shifted.extend(run.iter().map(|value| value.wrapping_sub(piece.base)));
        rest = tail;
    }
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

/// Cuts runs into pages of at most `page_rows` rows that, with `by_name`, end where a name does once
/// they hold a sixteenth of that. Bases are 0 at first.
fn pages_by_name(spans: &[Span<'_>], page_rows: usize, by_name: bool) -> Vec<Vec<Based>> {
    let page_rows = page_rows.max(1);
    let (mut pages, mut page) = (Vec::new(), Vec::new());
    let mut length = 0;
    for (i, span) in spans.iter().enumerate() {
        let mut left = span.rows;
        while left > 0 {
            let rows = left.min(page_rows - length);
            page.push(Based { rows, base: 0 });
            left -= rows;
            length += rows;
            if length == page_rows {
                pages.push(std::mem::take(&mut page));
                length = 0;
            }
        }
        let name_ends = spans
            .get(i + 1)
            .is_none_or(|next| !alike(next.name, span.name));
        if by_name && name_ends && length >= page_rows / 16 && length > 0 {
            pages.push(std::mem::take(&mut page));
            length = 0;
        }
    }
    if length > 0 {
        pages.push(page);
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_level_or_join_runs() {
        let values = [100, 103, 101, 7, 9, i64::MIN, i64::MAX];
        let mut pieces = [3, 2, 1, 1].map(|rows| Based { rows, base: 0 });
        let mut shifted = Vec::new();
        level(&mut pieces, &values);
        shift(&mut shifted, &pieces, &values);
        assert_eq!(shifted, [0, 3, 1, 0, 2, 0, 0]);
        join(&mut pieces, &values);
        shift(&mut shifted, &pieces, &values);
        assert_eq!(shifted, [100, 103, 101, 101, 103, 103, 103]);
        let bases = pieces
            .iter()
            .flat_map(|piece| [piece.base].repeat(piece.rows));
        let back: Vec<i64> = std::iter::zip(&shifted, bases)
            .map(|(value, base)| value.wrapping_add(base))
            .collect();
        assert_eq!(back, values);
    }

    #[test]
    fn pages_are_full_or_end_with_a_name() {
        let span = |name, rows| Span {
            tenant: "",
            name,
            id: 0,
            rows,
        };
        let spans = [span("a", 20), span("a", 20), span("b", 1), span("c", 9)];
        let lengths = |by_name| -> Vec<Vec<usize>> {
            let pages = pages_by_name(&spans, 32, by_name);
            let rows = |page: &Vec<Based>| page.iter().map(|piece| piece.rows).collect();
            pages.iter().map(rows).collect()
        };
        assert_eq!(lengths(false), [vec![20, 12], vec![8, 1, 9]]);
        assert_eq!(lengths(true), [vec![20, 12], vec![8], vec![1, 9]]);
    }
}

//! Columns that are constant along runs: tenant, name and series id. A page of them costs bytes a
//! run and not a row.

use hashbrown::HashMap;
use parquet::basic::Encoding;
use parquet::errors::Result;

use super::chunk::{Bounds, Chunk, PageRows};
use super::hybrid::{index_bytes, put_repeated, start_indices};
use super::span::{Span, alike, cut};
use super::writer::Group;

/// The three of them, in pages of `page_rows` rows.
pub(crate) fn columns(
    group: &mut Group<'_>,
    spans: &[Span<'_>],
    rows: usize,
    page_rows: usize,
) -> Result<()> {
    let pieces = cut(spans, page_rows);
    group.column(|chunk| texts(chunk, &pieces, |span| span.tenant))?;
    group.column(|chunk| texts(chunk, &pieces, |span| span.name))?;
    group.column(|chunk| ids(chunk, spans, &pieces, rows))
}

fn texts<'a>(
    chunk: &mut Chunk<'_>,
    pieces: &[Vec<Span<'a>>],
    text: impl Fn(&Span<'a>) -> &'a str,
) -> Result<()> {
    let mut places = HashMap::<&str, u32>::new();
    let mut dictionary = Vec::new();
    let mut runs: Vec<Vec<(&str, u32, usize)>> = Vec::new();
    for piece in pieces {
        let mut page: Vec<(&str, u32, usize)> = Vec::new();
        for span in piece {
            let text = text(span);
            match page.last_mut() {
                Some(last) if alike(last.0, text) => last.2 += span.rows,
                _ => {
                    let next = u32::try_from(places.len()).expect("one a row at most");
                    let place = *places.entry(text).or_insert_with(|| {
                        put_text(&mut dictionary, text);
                        next
                    });
                    page.push((text, place, span.rows));
                }
            }
        }
        runs.push(page);
    }
    let width = index_bytes(places.len());
    chunk.dictionary(&dictionary, places.len())?;
    let mut body = Vec::new();
    for page in &runs {
        body.clear();
        start_indices(&mut body, width);
        for &(_, place, rows) in page {
            put_repeated(&mut body, place, rows, width);
        }
        let least = page.iter().map(|run| run.0).min().unwrap_or_default();
        let most = page.iter().map(|run| run.0).max().unwrap_or_default();
        chunk.page(
            &body,
            PageRows {
                rows: page.iter().map(|run| run.2).sum(),
                nulls: 0,
                encoding: Encoding::RLE_DICTIONARY,
                bounds: Some(Bounds::Text(least.to_owned(), most.to_owned())),
            },
        )?;
    }
    Ok(())
}

/// Series ids of spans that are already cut into pages.
fn ids(
    chunk: &mut Chunk<'_>,
    spans: &[Span<'_>],
    pieces: &[Vec<Span<'_>>],
    rows: usize,
) -> Result<()> {
    if spans.len() * 2 > rows {
        ids_plain(chunk, pieces)
    } else {
        ids_by_run(chunk, spans, pieces)
    }
}

fn ids_by_run(chunk: &mut Chunk<'_>, spans: &[Span<'_>], pieces: &[Vec<Span<'_>>]) -> Result<()> {
    let mut dictionary = Vec::with_capacity(spans.len() * 8);
    for span in spans {
        dictionary.extend_from_slice(&span.id.to_le_bytes());
    }
    let width = index_bytes(spans.len());
    chunk.dictionary(&dictionary, spans.len())?;
    let mut body = Vec::new();
    let mut place = 0;
    let mut taken = 0;
    for piece in pieces {
        body.clear();
        start_indices(&mut body, width);
        for span in piece {
            let index = u32::try_from(place).expect("runs of a row group fit 32 bits");
            put_repeated(&mut body, index, span.rows, width);
            taken += span.rows;
            if taken == spans[place].rows {
                place += 1;
                taken = 0;
            }
        }
        chunk.page(&body, id_rows(piece, Encoding::RLE_DICTIONARY))?;
    }
    Ok(())
}

/// With about one row a series a dictionary would hold every id again.
fn ids_plain(chunk: &mut Chunk<'_>, pieces: &[Vec<Span<'_>>]) -> Result<()> {
    let mut body = Vec::new();
    for piece in pieces {
        body.clear();
        for span in piece {
            for _ in 0..span.rows {
                body.extend_from_slice(&span.id.to_le_bytes());
            }
        }
        chunk.page(&body, id_rows(piece, Encoding::PLAIN))?;
    }
    Ok(())
}

fn id_rows(piece: &[Span<'_>], encoding: Encoding) -> PageRows {
    let ids = || piece.iter().map(|span| span.id);
    PageRows {
        rows: piece.iter().map(|span| span.rows).sum(),
        nulls: 0,
        encoding,
        bounds: ids().min().zip(ids().max()).map(|(a, b)| Bounds::Int(a, b)),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names are held below 4 GiB by their limits");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

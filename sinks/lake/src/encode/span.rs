//! Whose rows come next, and how many: the run lengths that key columns are written from.

use std::ops::Range;

use tidegauge_model::Run;

use super::key::{Keyed, RowKey};

/// A series and how many rows it has: what runs are to the encoders.
pub trait KeyedRun {
    /// Whose rows.
    fn key(&self) -> &impl Keyed;
    /// How many.
    fn rows(&self) -> usize;
}

impl KeyedRun for Run {
    fn key(&self) -> &impl Keyed {
        &self.series
    }

    fn rows(&self) -> usize {
        self.len
    }
}

impl KeyedRun for (RowKey, usize) {
    fn key(&self) -> &impl Keyed {
        &self.0
    }

    fn rows(&self) -> usize {
        self.1
    }
}

/// A run, resolved to what the columns hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) name: &'a str,
    pub(crate) id: i64,
    pub(crate) rows: usize,
}

/// Resolves runs; those without rows leave no trace.
///
/// The strings of a series lie somewhere in memory and are looked at once, here: neighbours with
/// equal names share one slice from then on, so that telling them alike is comparing pointers.
pub(crate) fn spans<R: KeyedRun>(runs: &[R]) -> Vec<Span<'_>> {
    let mut spans = Vec::with_capacity(runs.len());
    let (mut tenant, mut name) = ("", "");
    for run in runs.iter().filter(|run| run.rows() > 0) {
        let key = run.key();
        let (its_tenant, its_name) = (key.tenant(), key.name());
        if its_tenant != tenant {
            tenant = its_tenant;
        }
        if its_name != name {
            name = its_name;
        }
        spans.push(Span {
            tenant,
            name,
            id: key.series_id().as_i64(),
            rows: run.rows(),
        });
    }
    spans
}

/// Whether two strings are equal; quick where they are the same slice.
pub(crate) fn alike(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// Cuts spans into pieces of `rows` rows each, the last one shorter.
pub(crate) fn cut<'a>(spans: &[Span<'a>], rows: usize) -> Vec<Vec<Span<'a>>> {
    let rows = rows.max(1);
    if spans.iter().map(|span| span.rows).sum::<usize>() <= rows {
        return vec![spans.to_vec()];
    }
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut room = rows;
    for span in spans {
        let mut left = span.rows;
        while left > 0 {
            let taken = left.min(room);
            piece.push(Span {
                rows: taken,
                ..*span
            });
            left -= taken;
            room -= taken;
            if room == 0 {
                pieces.push(std::mem::take(&mut piece));
                room = rows;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// The row ranges of pages of `page_rows` rows.
pub(crate) fn pages(rows: usize, page_rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows)
        .step_by(page_rows.max(1))
        .map(move |start| start..rows.min(start + page_rows.max(1)))
}

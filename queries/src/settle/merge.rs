//! Merges sorted streams into one, a run of one series at a time, and settles rows of equal time.
//!
//! Nearly all runs stand in one stream only and pass through untouched, so the cost is a heap step a
//! run and a copy a row, not a comparison a row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::compute::interleave_record_batch;
use datafusion::common::Result;
use futures::future::try_join_all;

use super::cursor::Cursor;
use super::page::{Page, SeriesKey};
use super::pick::{Candidate, pick};
use super::rule::Rule;

/// The merge of some streams.
pub(crate) struct Merge {
    rule: Rule,
    cursors: Vec<Cursor>,
    heads: BinaryHeap<Reverse<(SeriesKey, usize)>>,
    out: Picked,
    batch_rows: usize,
    started: bool,
    /// Rows that gave way to another of their series and time.
    pub(crate) settled: usize,
}

/// Rows picked and not yet copied out.
#[derive(Default)]
struct Picked {
    pages: Vec<Arc<Page>>,
    rows: Vec<(usize, usize)>,
    /// For `series` alone: what replaces `first_seen` and `last_seen`.
    seen: Vec<(i64, i64)>,
}

impl Merge {
    pub(crate) fn new(rule: Rule, cursors: Vec<Cursor>, batch_rows: usize) -> Self {
        Self {
            rule,
            cursors,
            heads: BinaryHeap::new(),
            out: Picked::default(),
            batch_rows,
            started: false,
            settled: 0,
        }
    }

    /// The next batch; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.started {
            self.started = true;
            try_join_all(self.cursors.iter_mut().map(Cursor::settle_head)).await?;
            for i in 0..self.cursors.len() {
                self.queue(i);
            }
        }
        while self.out.rows.len() < self.batch_rows {
            let Some(Reverse((key, first))) = self.heads.pop() else {
                break;
            };
            let mut together = vec![first];
            while let Some(Reverse((other, _))) = self.heads.peek()
                && *other == key
            {
                together.extend(self.heads.pop().map(|Reverse((_, i))| i));
            }
            match together[..] {
                [alone] => self.pass(alone).await?,
                _ => self.join(&key, &together).await?,
            }
            for i in together {
                self.queue(i);
            }
        }
        self.flush()
    }

    fn queue(&mut self, i: usize) {
        if let Some(head) = self.cursors[i].head() {
            self.heads.push(Reverse((head.clone(), i)));
        }
    }

    /// Passes on a run that stands in one stream only.
    async fn pass(&mut self, i: usize) -> Result<()> {
        let number = self.number(i);
        let cursor = &mut self.cursors[i];
        let (start, end) = cursor.take_run();
        self.out.rows.extend((start..end).map(|row| (number, row)));
        if self.rule == Rule::Seen {
            let judged = &cursor.page().judged;
            self.out
                .seen
                .extend((start..end).map(|row| judged.seen(row)));
        }
        cursor.settle_head().await
    }

    /// Joins a run that stands in several streams.
    async fn join(&mut self, key: &SeriesKey, streams: &[usize]) -> Result<()> {
        let mut rows: Vec<(i64, Candidate)> = Vec::new();
        for &i in streams {
            while self.cursors[i].head() == Some(key) {
                let batch = self.number(i);
                let cursor = &mut self.cursors[i];
                let (start, end) = cursor.take_run();
                let (page, version) = (Arc::clone(cursor.page()), cursor.version);
                rows.extend((start..end).map(|row| {
                    let candidate = Candidate {
                        batch,
                        row,
                        version,
                    };
                    (page.time(row), candidate)
                }));
                cursor.settle_head().await?;
            }
        }
        rows.sort_by_key(|(time, _)| *time);
        let mut same = Vec::new();
        for rows in rows.chunk_by(|a, b| a.0 == b.0) {
            same.clear();
            same.extend(rows.iter().map(|(_, candidate)| *candidate));
            let picked = pick(self.rule, &same, &self.out.pages);
            self.settled += same.len() - 1;
            self.out.rows.push((picked.batch, picked.row));
            if self.rule == Rule::Seen {
                let seen = same
                    .iter()
                    .map(|c| self.out.pages[c.batch].judged.seen(c.row));
                let widest = seen.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
                self.out.seen.extend(widest);
            }
        }
        Ok(())
    }

    /// The number under which the current page of a stream is among those picked from.
    fn number(&mut self, i: usize) -> usize {
        let (cursor, pages) = (&mut self.cursors[i], &mut self.out.pages);
        *cursor.page_number.get_or_insert_with(|| {
            let page = cursor.page.as_ref().expect("a queued cursor has a page");
            pages.push(Arc::clone(page));
            pages.len() - 1
        })
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        let picked = std::mem::take(&mut self.out);
        for cursor in &mut self.cursors {
            cursor.page_number = None;
        }
        if picked.rows.is_empty() {
            return Ok(None);
        }
        let pages: Vec<&RecordBatch> = picked.pages.iter().map(|page| &page.batch).collect();
        let batch = interleave_record_batch(&pages, &picked.rows)?;
        match self.rule {
            Rule::Seen => Ok(Some(with_seen(&batch, &picked.seen)?)),
            Rule::Value | Rule::Newest => Ok(Some(batch)),
        }
    }
}

fn with_seen(batch: &RecordBatch, seen: &[(i64, i64)]) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    let mut replace = |name: &str, values: Vec<i64>| -> Result<()> {
        let at = batch.schema_ref().index_of(name)?;
        let times = TimestampMillisecondArray::from(values).with_timezone("UTC");
        columns[at] = Arc::new(times) as ArrayRef;
        Ok(())
    };
    replace("first_seen", seen.iter().map(|s| s.0).collect())?;
    replace("last_seen", seen.iter().map(|s| s.1).collect())?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

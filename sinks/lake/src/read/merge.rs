//! Many sorted files as one sorted, settled stream.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use object_store::ObjectStore;
use tidegauge_tables::{DataFile, Table};

use super::ReadError;
use super::block::{Block, Stored};
use super::filter::Filter;
use super::rows::RowReader;
use crate::encode::RowKey;

/// All settled rows of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged<T> {
    /// Whose rows.
    pub key: RowKey,
    /// Times, strictly ascending.
    pub time: Vec<i64>,
    /// Values, parallel to `time`.
    pub rows: Vec<T>,
    /// How many rows gave way to others of the same series and time.
    pub settled: usize,
}

/// Merges files of one table in the order of (tenant, name, series id, time).
pub struct Merge<T> {
    heads: BinaryHeap<Reverse<Head<T>>>,
}

impl<T: Stored> Merge<T> {
    /// Opens all files and reads the first block of each. An open file costs a block and a
    /// compressed row group of memory, so callers bound how many they merge at once.
    ///
    /// # Errors
    /// If the store fails or a file is not ours.
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        table: Table,
        files: &[Arc<DataFile>],
        filter: &Filter,
    ) -> Result<Self, ReadError> {
        let mut heads = BinaryHeap::with_capacity(files.len());
        for file in files {
            let reader = RowReader::open(store, table, file, filter).await?;
            if let Some(head) = Head::next(reader).await? {
                heads.push(Reverse(head));
            }
        }
        Ok(Self { heads })
    }

    /// The next series; none at the end.
    ///
    /// # Errors
    /// If the store fails or a file is not ours.
    pub async fn next(&mut self) -> Result<Option<Merged<T>>, ReadError> {
        let Some(Reverse(head)) = self.heads.peek() else {
            return Ok(None);
        };
        let mut merged = Merged {
            key: head.key().clone(),
            time: Vec::new(),
            rows: Vec::new(),
            settled: 0,
        };
        let mut pieces = Vec::new();
        while self
            .heads
            .peek()
            .is_some_and(|head| *head.0.key() == merged.key)
        {
            let Some(Reverse(mut head)) = self.heads.pop() else {
                break;
            };
            let (before, version) = (merged.time.len(), head.reader.version());
            let rest = loop {
                head.take(&mut merged);
                match head.advance().await? {
                    Some(next) if *next.key() == merged.key => head = next,
                    rest => break rest,
                }
            };
            pieces.push((merged.time.len() - before, version));
            self.heads.extend(rest.map(Reverse));
        }
        let before = merged.time.len();
        if pieces.len() > 1 {
            T::settle(&mut merged.time, &mut merged.rows, &pieces);
        }
        merged.settled = before - merged.time.len();
        Ok(Some(merged))
    }
}

/// Where a file stands: at a run of its current block.
struct Head<T> {
    reader: RowReader<T>,
    block: Block<T>,
    run: usize,
    row: usize,
}

impl<T: Stored> Head<T> {
    async fn next(mut reader: RowReader<T>) -> Result<Option<Self>, ReadError> {
        Ok(reader.next().await?.map(|block| Self {
            reader,
            block,
            run: 0,
            row: 0,
        }))
    }

    fn take(&self, merged: &mut Merged<T>) {
        let rows = self.row..self.row + self.block.runs[self.run].1;
        merged
            .time
            .extend_from_slice(&self.block.time[rows.clone()]);
        merged.rows.extend_from_slice(&self.block.rows[rows]);
    }

    async fn advance(mut self) -> Result<Option<Self>, ReadError> {
        self.row += self.block.runs[self.run].1;
        self.run += 1;
        if self.run < self.block.runs.len() {
            return Ok(Some(self));
        }
        Self::next(self.reader).await
    }
}

impl<T> Head<T> {
    fn key(&self) -> &RowKey {
        &self.block.runs[self.run].0
    }

    /// Files that follow each other in time are taken in that order, so that their rows need no
    /// sorting.
    fn place(&self) -> (&RowKey, i64) {
        (self.key(), self.block.time[self.row])
    }
}

impl<T> PartialEq for Head<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<T> Eq for Head<T> {}

impl<T> Ord for Head<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<T> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

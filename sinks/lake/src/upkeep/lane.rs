//! One of several sorted streams that are walked side by side.

use std::sync::Arc;

use object_store::ObjectStore;
use tidegauge_tables::{DataFile, Table};

use crate::encode::RowKey;
use crate::read::{Filter, Merge, Merged, ReadError, Stored};

/// The settled rows of some files, from which series are asked for in file order.
pub(super) struct Lane<T> {
    merge: Merge<T>,
    head: Option<Merged<T>>,
}

impl<T: Stored> Lane<T> {
    pub(super) async fn open(
        store: &Arc<dyn ObjectStore>,
        table: Table,
        files: &[Arc<DataFile>],
        filter: &Filter,
    ) -> Result<Self, ReadError> {
        let mut merge = Merge::open(store, table, files, filter).await?;
        let head = merge.next().await?;
        Ok(Self { merge, head })
    }

    /// The next series.
    pub(super) async fn next(&mut self) -> Result<Option<Merged<T>>, ReadError> {
        let next = match self.head {
            Some(_) => self.merge.next().await?,
            None => None,
        };
        Ok(std::mem::replace(&mut self.head, next))
    }

    /// The rows of the series of `key`, passing over those before it; none if it has none.
    pub(super) async fn seek(&mut self, key: &RowKey) -> Result<Option<Merged<T>>, ReadError> {
        while self.head.as_ref().is_some_and(|head| head.key < *key) {
            self.next().await?;
        }
        if self.head.as_ref().is_some_and(|head| head.key == *key) {
            return self.next().await;
        }
        Ok(None)
    }
}

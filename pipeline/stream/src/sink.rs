//! The sink of one worker: seals become Parquet files in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tidegauge_dataflow::Bell;
use tidegauge_lake::{EncodeError, EncodeSettings, data_path, encode_sealed};
use tidegauge_model::Sealed;
use tidegauge_tables::{DataFile, Table};
use tokio::runtime::Handle;
use uuid::Uuid;

/// Files put at a time.
const PUTS_AT_ONCE: usize = 8;

/// The files that one seal has become. They count only once a commit names them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) files: BTreeMap<Table, Vec<DataFile>>,
}

/// Writes seals until the dataflow ends.
pub(crate) struct Sink {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) settings: EncodeSettings,
    pub(crate) runtime: Handle,
    pub(crate) seals: Receiver<(u64, Sealed)>,
    pub(crate) receipts: Sender<(u64, Written)>,
    pub(crate) bell: Bell,
}

impl Sink {
    /// Takes seals one by one. A put is tried until it succeeds, so a slow or absent store stops
    /// the sink, and by the bound on samples in flight the sources, and nothing is lost.
    pub(crate) fn run(self) -> Result<(), EncodeError> {
        for (epoch, sealed) in &self.seals {
            let written = self.write(&sealed)?;
            if self.receipts.send((epoch, written)).is_err() {
                break;
            }
            self.bell.ring();
        }
        Ok(())
    }

    fn write(&self, sealed: &Sealed) -> Result<Written, EncodeError> {
        let began = Instant::now();
        let encoded = encode_sealed(sealed, &self.settings, &mut Uuid::now_v7)?;
        let took = began.elapsed();
        let (count, bytes) = (
            encoded.len(),
            encoded.iter().map(|it| it.bytes.len()).sum::<usize>(),
        );
        let mut written = Written::default();
        let puts = encoded.into_iter().map(|it| {
            written
                .files
                .entry(it.table)
                .or_default()
                .push(it.file.clone());
            async move { put(&*self.store, it.table, &it.file, it.bytes).await }
        });
        let puts: Vec<_> = puts.collect();
        self.runtime.block_on(
            futures::stream::iter(puts)
                .buffer_unordered(PUTS_AT_ONCE)
                .for_each(|()| async {}),
        );
        let put = began.elapsed().saturating_sub(took);
        tracing::debug!(count, bytes, ?took, ?put, "seal written");
        Ok(written)
    }
}

/// Puts a file until it is there. Names are unique, so a second try repeats the same bytes.
async fn put(store: &dyn ObjectStore, table: Table, file: &DataFile, bytes: bytes::Bytes) {
    let path = data_path(table, file);
    loop {
        match store.put(&path, bytes.clone().into()).await {
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%path, %error, "putting a file failed; it is tried again");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

//! A process that writes a lake and keeps it in shape, and what readers find there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::Rng;
use rand::rngs::SmallRng;
use tidegauge_lake::{
    Committer, Draft, EncodeSettings, Filter, Merge, RetentionSettings, Stored, Upkeep,
    UpkeepSettings, data_path, encode_sealed, read_rows,
};
use tidegauge_model::Sealed;
use tidegauge_tables::{CommitKind, FileChanges, LakeState, Table};
use uuid::Uuid;

use crate::common::{Lake, Way};
use crate::rows::Rows;
use crate::stream::Stream;

/// One life of the process.
pub(crate) struct Life {
    pub(crate) way: Way,
    writer: Committer,
    pub(crate) upkeep: Upkeep,
}

/// Few files at once, listings each time, and rows for as good as ever.
pub(crate) fn settings(stream: &Stream) -> UpkeepSettings {
    UpkeepSettings {
        most_files: 8,
        sweep_every_ms: 0,
        five_minute_tier: stream.coarse.len() > 1,
        retention: RetentionSettings {
            raw_ms: i64::MAX,
            m1_ms: i64::MAX,
            m5_ms: i64::MAX,
            h1_ms: i64::MAX,
            rules: Vec::new(),
        },
        ..UpkeepSettings::default()
    }
}

pub(crate) async fn begin(lake: &Lake, seed: u64, settings: UpkeepSettings) -> Life {
    let way = lake.way(seed);
    let writer = lake.claim(&way).await;
    let upkeep = Upkeep::new(
        writer.clone(),
        Arc::clone(&way.store),
        settings,
        EncodeSettings::default(),
        Arc::new(lake.clock.clone()),
    )
    .expect("good settings");
    Life {
        way,
        writer,
        upkeep,
    }
}

pub(crate) async fn commit(life: &Life, (sealed, kind): (Sealed, CommitKind), ids: &mut SmallRng) {
    let mut id = || uuid::Builder::from_random_bytes(ids.random()).into_uuid();
    let ids: &mut dyn FnMut() -> Uuid = &mut id;
    let encoded = encode_sealed(&sealed, &EncodeSettings::default(), ids).expect("valid settings");
    let mut files = BTreeMap::<Table, FileChanges>::new();
    for one in encoded {
        let path = data_path(one.table, &one.file);
        life.way
            .store
            .put(&path, one.bytes.into())
            .await
            .expect("a store that lives");
        files.entry(one.table).or_default().add.push(one.file);
    }
    life.writer
        .commit(Draft { kind, files })
        .await
        .expect("it is the writer");
}

/// What a reader that settles finds.
pub(crate) async fn settled<T: Stored>(
    lake: &Lake,
    state: &LakeState,
    table: Table,
    bits: fn(&T) -> Vec<u64>,
) -> Rows {
    let files: Vec<_> = state.files(table).cloned().collect();
    let merge = Merge::<T>::open(&lake.disk, table, &files, &Filter::all()).await;
    let mut merge = merge.expect("live files are there");
    let mut rows = Rows::new();
    while let Some(series) = merge.next().await.expect("live files are ours") {
        for (at, row) in series.time.iter().zip(&series.rows) {
            rows.insert((series.key.series_id, *at), bits(row));
        }
    }
    rows
}

/// The rows of `rejects`, which no reader settles: when each came, and its offset.
pub(crate) async fn rejects(lake: &Lake, state: &LakeState) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for file in state.files(Table::Rejects) {
        let bytes = lake.object(data_path(Table::Rejects, file)).await;
        let bytes = bytes.expect("live files are there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet");
        let from = rows.len();
        for batch in reader.build().expect("Parquet") {
            let batch = batch.expect("Parquet");
            let times = batch["time"].as_primitive::<TimestampMillisecondType>();
            let offsets = batch["offset"].as_primitive::<Int64Type>();
            rows.extend(std::iter::zip(times.values(), offsets.values()).map(|(t, o)| (*t, *o)));
        }
        assert!(rows[from..].is_sorted(), "{}", file.path);
        assert_eq!(rows[from].0, file.min_time, "{}", file.path);
        assert_eq!(rows[rows.len() - 1].0, file.max_time, "{}", file.path);
    }
    rows.sort_unstable();
    rows
}

/// What a reader finds that only lays files side by side.
pub(crate) async fn plain<T: Stored>(
    lake: &Lake,
    state: &LakeState,
    table: Table,
    bits: fn(&T) -> Vec<u64>,
) -> Rows {
    let files: Vec<_> = state.files(table).cloned().collect();
    let blocks = read_rows::<T>(&lake.disk, table, &files, &Filter::all()).await;
    let mut rows = Rows::new();
    for block in blocks.expect("live files are there and ours") {
        for (key, time, of) in block.iter() {
            for (at, row) in time.iter().zip(of) {
                let twice = rows.insert((key.series_id, *at), bits(row));
                assert_eq!(twice, None, "two plain rows of {table:?} at {at}");
            }
        }
    }
    rows
}

pub(crate) fn value_bits(value: &f64) -> Vec<u64> {
    vec![value.to_bits()]
}

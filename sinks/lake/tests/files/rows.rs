//! Rows to write, and rows as they were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::Rng;
use rand::rngs::SmallRng;
use tidegauge_lake::{Block, Encoded, Profile, data_path};
use tidegauge_model::{DAY_MS, Limits, Runs, Series, stale};
use tidegauge_tables::DataFile;
use uuid::Uuid;

pub(crate) const START: i64 = 20_000 * DAY_MS;

pub(crate) type Row = (String, String, i64, i64, u64);

pub(crate) fn series(tenant: usize, name: usize, host: usize) -> Series {
    let (tenant, name, host) = (format!("t{tenant}"), format!("m{name}"), format!("h{host}"));
    let mut labels = vec![("host", host.as_str()), ("az", "β")];
    Series::new(&tenant, &name, &mut labels, &Limits::default()).expect("a valid series")
}

/// Every class of value there is.
fn value(random: &mut SmallRng, last: f64) -> f64 {
    match random.random_range(0..16) {
        0 => stale(),
        1 => tidegauge_model::normal(f64::NAN),
        2 => [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE / 8.0,
            f64::MAX,
        ][random.random_range(0..6)],
        3 => random.random::<f64>(),
        4..8 => f64::from(random.random_range(-2000..2000)) / 100.0,
        _ if last.is_finite() => (last + f64::from(random.random_range(0..10))).trunc(),
        _ => 1e9,
    }
}

/// Runs over several tenants, names and days; some with one row, some with thousands.
pub(crate) fn runs(random: &mut SmallRng, days: i64) -> Runs {
    let mut all = BTreeMap::new();
    for _ in 0..random.random_range(1..60) {
        let one = series(
            random.random_range(0..4),
            random.random_range(0..5),
            random.random_range(0..6),
        );
        all.insert(
            (
                one.tenant().to_owned(),
                one.name().to_owned(),
                one.id().as_i64(),
            ),
            one,
        );
    }
    let mut runs = Runs::default();
    for one in all.values() {
        let rows = [1, 2, 10, random.random_range(1..2000)][random.random_range(0..4)];
        let mut at = START + random.random_range(0..days) * DAY_MS;
        let (mut time, mut values, mut last) = (vec![], vec![], 5.0);
        for _ in 0..rows {
            at += [1000, 1001, 15_000, random.random_range(1..90_000)][random.random_range(0..4)];
            last = value(random, last);
            time.push(at);
            values.push(last);
        }
        runs.push(one, &time, &values);
    }
    runs
}

pub(crate) fn rows_of(runs: &Runs) -> Vec<Row> {
    let mut rows = vec![];
    for (one, time, value) in runs.iter() {
        for (at, value) in time.iter().zip(value) {
            let id = one.id().as_i64();
            rows.push((
                one.tenant().into(),
                one.name().into(),
                id,
                *at,
                value.to_bits(),
            ));
        }
    }
    rows
}

pub(crate) fn rows_in(block: &Block<f64>) -> Vec<Row> {
    let mut rows = vec![];
    for (key, time, value) in block.iter() {
        for (at, value) in time.iter().zip(value) {
            let id = key.series_id.as_i64();
            rows.push((
                key.tenant.to_string(),
                key.name.to_string(),
                id,
                *at,
                value.to_bits(),
            ));
        }
    }
    rows
}

/// Small pages and row groups, so that runs cross both.
pub(crate) fn cramped(random: &mut SmallRng) -> Profile {
    Profile {
        zstd_level: 1,
        page_rows: random.random_range(1..500),
        plain_page_rows: random.random_range(1..500),
        try_both: random.random(),
        time_page_rows: random.random_range(1..900),
        row_group_rows: random.random_range(600..5000),
    }
}

pub(crate) fn names() -> impl FnMut() -> Uuid {
    let mut next = 0;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

pub(crate) async fn put(store: &Arc<dyn ObjectStore>, files: &[Encoded]) -> Vec<Arc<DataFile>> {
    let mut entries = vec![];
    for (version, file) in files.iter().enumerate() {
        let path = data_path(file.table, &file.file);
        store
            .put(&path, file.bytes.clone().into())
            .await
            .expect("memory takes all");
        let version = version as u64 + 1;
        entries.push(Arc::new(DataFile {
            version,
            ..file.file.clone()
        }));
    }
    entries
}

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Rows as a stock Parquet reader gives them; the plain form only.
pub(crate) fn stock(bytes: &Bytes) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .and_then(|builder| builder.build())
        .expect("a Parquet file");
    let mut rows = vec![];
    for batch in reader {
        let batch = batch.expect("a readable batch");
        let text = |i: usize| cast(batch.column(i), &DataType::Utf8).expect("text");
        let (tenant, name) = (text(0), text(1));
        let ids = batch.column(2).as_primitive::<Int64Type>();
        let time = batch.column(3).as_primitive::<TimestampMillisecondType>();
        assert_eq!(time.timezone(), Some("UTC"));
        let value = batch.column(4).as_primitive::<Float64Type>();
        for i in 0..batch.num_rows() {
            let value = if value.is_null(i) {
                stale()
            } else {
                value.value(i)
            };
            let (tenant, name) = (tenant.as_string::<i32>(), name.as_string::<i32>());
            rows.push((
                tenant.value(i).into(),
                name.value(i).into(),
                ids.value(i),
                time.value(i),
                value.to_bits(),
            ));
        }
    }
    rows
}

pub(crate) fn clip_to_first_day(all: &mut Runs) {
    let mut clipped = Runs::default();
    for (one, time, value) in all.iter() {
        let rows = time.partition_point(|&at| at < START + DAY_MS);
        clipped.push(one, &time[..rows], &value[..rows]);
    }
    *all = clipped;
}

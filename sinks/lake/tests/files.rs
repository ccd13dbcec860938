//! What is encoded reads back as it was: through our own reader and through a stock one, against
//! naive oracles over seeded input.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{
    Block, EncodeSettings, Encoded, Filter, Merge, Profile, RollupWriter, RowKey, SampleWriter,
    Values, data_path, encode_rollups, encode_samples, encode_sealed, read_rows, read_samples,
};
use tidegauge_model::{
    DAY_MS, Limits, MINUTE_MS, Metadata, MetricType, Partition, Reject, RejectReason, Rollup,
    RollupRuns, Runs, Sealed, Series, SeriesId, SeriesSeen, Tier, Window, prefer, stale,
};
use tidegauge_tables::{DataFile, FileKind, Table};
use uuid::Uuid;

const START: i64 = 20_000 * DAY_MS;

type Row = (String, String, i64, i64, u64);

fn series(tenant: usize, name: usize, host: usize) -> Series {
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
fn runs(random: &mut SmallRng, days: i64) -> Runs {
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

fn rows_of(runs: &Runs) -> Vec<Row> {
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

fn rows_in(block: &Block<f64>) -> Vec<Row> {
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
fn cramped(random: &mut SmallRng) -> Profile {
    Profile {
        zstd_level: 1,
        page_rows: random.random_range(1..500),
        plain_page_rows: random.random_range(1..500),
        try_both: random.random(),
        time_page_rows: random.random_range(1..900),
        row_group_rows: random.random_range(600..5000),
    }
}

fn names() -> impl FnMut() -> Uuid {
    let mut next = 0;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

async fn put(store: &Arc<dyn ObjectStore>, files: &[Encoded]) -> Vec<Arc<DataFile>> {
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

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Rows as a stock Parquet reader gives them; the plain form only.
fn stock(bytes: &Bytes) -> Vec<Row> {
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

#[tokio::test]
async fn samples_come_back_bit_for_bit() {
    for seed in 0..40 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let (one_day, profile) = (runs(random, 1), cramped(random));
        let mut one_day = one_day;
        clip_to_first_day(&mut one_day);
        let expected = rows_of(&one_day);
        for values in [Values::Plain, Values::Compact] {
            let Runs { runs, time, value } = &one_day;
            let (kind, id) = (FileKind::Overlay, Uuid::from_u128(9));
            let file = encode_samples(runs, time, value, kind, values, &profile, id)
                .expect("encodes")
                .expect("has rows");
            if values == Values::Plain {
                assert_eq!(stock(&file.bytes), expected, "seed {seed}");
            }
            assert_eq!(file.file.rows, expected.len() as u64);
            assert_eq!(
                file.file.path,
                "date=2024-10-04/00000000-0000-0000-0000-000000000009.parquet"
            );
            let store = memory();
            let files = put(&store, &[file]).await;
            let back = read_samples(&store, &files, &Filter::all())
                .await
                .expect("reads");
            assert_eq!(rows_in(&back[0]), expected, "seed {seed} {values:?}");
        }
    }
}

fn clip_to_first_day(all: &mut Runs) {
    let mut clipped = Runs::default();
    for (one, time, value) in all.iter() {
        let rows = time.partition_point(|&at| at < START + DAY_MS);
        clipped.push(one, &time[..rows], &value[..rows]);
    }
    *all = clipped;
}

#[tokio::test]
async fn a_writer_fed_in_pieces_writes_what_one_call_does() {
    for seed in 100..120 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let (mut all, profile) = (runs(random, 1), cramped(random));
        clip_to_first_day(&mut all);
        let mut writer = SampleWriter::new(Values::Compact, &profile).expect("valid settings");
        for (one, time, value) in all.iter() {
            let key = RowKey {
                tenant: one.tenant().into(),
                name: one.name().into(),
                series_id: one.id(),
            };
            let middle = random.random_range(0..=time.len());
            writer
                .push(&key, &time[..middle], &value[..middle])
                .expect("takes rows");
            writer
                .push(&key, &time[middle..], &value[middle..])
                .expect("takes rows");
        }
        assert_eq!(writer.rows(), all.time.len() as u64);
        let file = writer
            .finish(FileKind::Main, Uuid::nil())
            .expect("ends")
            .expect("has rows");
        let Runs { runs, time, value } = &all;
        let (kind, id) = (FileKind::Main, Uuid::nil());
        let whole = encode_samples(runs, time, value, kind, Values::Compact, &profile, id)
            .expect("encodes")
            .expect("has rows");
        assert_eq!(file.file, whole.file, "seed {seed}");
        assert_eq!(file.bytes, whole.bytes, "seed {seed}");
    }
}

#[tokio::test]
async fn a_seal_becomes_files_by_table_day_and_kind() {
    for seed in 200..220 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let sealed = seal(random);
        let settings = EncodeSettings {
            commit: cramped(random),
            ..EncodeSettings::default()
        };
        let files = encode_sealed(&sealed, &settings, &mut names()).expect("encodes");
        let store = memory();
        put(&store, &files).await;
        for (runs, kind) in [
            (&sealed.samples, FileKind::Main),
            (&sealed.overlay, FileKind::Overlay),
        ] {
            let mut back: Vec<Row> = vec![];
            for file in of(&files, Table::Samples).filter(|file| file.file.kind == kind) {
                check_entry(file);
                back.extend(stock(&file.bytes));
            }
            let mut expected = rows_of(runs);
            back.sort();
            expected.sort();
            assert_eq!(back, expected, "seed {seed}");
        }
        check_rollups(&store, &files, &sealed).await;
        check_series(&store, &files, &sealed).await;
        check_rejects(&files, &sealed);
    }
}

#[test]
fn an_empty_seal_makes_no_file() {
    let files = encode_sealed(&Sealed::default(), &EncodeSettings::default(), &mut names());
    assert!(files.expect("nothing to fail at").is_empty());
}

fn of(files: &[Encoded], table: Table) -> impl Iterator<Item = &Encoded> {
    files.iter().filter(move |file| file.table == table)
}

fn check_entry(file: &Encoded) {
    let rows = stock(&file.bytes);
    let entry = &file.file;
    assert_eq!(entry.bytes, file.bytes.len() as u64);
    assert_eq!(entry.rows, rows.len() as u64);
    assert_eq!(Some(entry.min_time), rows.iter().map(|row| row.3).min());
    assert_eq!(Some(entry.max_time), rows.iter().map(|row| row.3).max());
    assert!(
        rows.iter()
            .all(|row| row.3.div_euclid(DAY_MS) == i64::from(entry.date))
    );
    let keys: Vec<(&str, &str)> = rows.iter().map(|row| (&*row.0, &*row.1)).collect();
    let (least, most) = (&entry.min_key, &entry.max_key);
    assert_eq!(keys.iter().min(), Some(&(&*least.tenant, &*least.name)));
    assert_eq!(keys.iter().max(), Some(&(&*most.tenant, &*most.name)));
    assert!(rows.is_sorted_by_key(|row| (row.0.clone(), row.1.clone(), row.2, row.3)));
}

fn seal(random: &mut SmallRng) -> Sealed {
    let samples = runs(random, 3);
    let mut rollups = RollupRuns::default();
    for (one, time, value) in samples.iter() {
        let mut start = 0;
        for window in time.chunk_by(|a, b| a.div_euclid(MINUTE_MS) == b.div_euclid(MINUTE_MS)) {
            let values = &value[start..start + window.len()];
            start += window.len();
            let row = Rollup::fold(window, values).expect("not empty");
            rollups.push(one, tidegauge_model::floor(window[0], MINUTE_MS), row);
        }
    }
    let seen = samples.iter().map(|(one, time, _)| SeriesSeen {
        series: one.clone(),
        metadata: Arc::new(Metadata {
            metric_type: MetricType::Counter,
            unit: "s".into(),
            help: one.name().into(),
        }),
        first_seen: time[0],
        last_seen: time[0] + 5,
    });
    let rejects = (0..random.random_range(0..30)).map(|i| Reject {
        tenant: format!("t{}", i % 3).into(),
        partition: Partition {
            topic: "metrics".into(),
            index: i,
        },
        offset: i64::from(i) * 7,
        time: START + i64::from(i % 4) * DAY_MS,
        reason: RejectReason::BadValue,
        detail: format!("record {i}"),
        bytes: vec![0, 255, i.to_le_bytes()[0]],
    });
    Sealed {
        series: seen.collect(),
        rejects: rejects.collect(),
        overlay: if random.random() {
            runs(random, 2)
        } else {
            Runs::default()
        },
        rollups: vec![(Tier::M1, rollups), (Tier::H1, RollupRuns::default())],
        samples,
    }
}

/// Bits of all columns, so that NaN equals itself.
fn bits(row: &Rollup) -> [u64; 11] {
    [
        row.count,
        row.sum.to_bits(),
        row.min.to_bits(),
        row.max.to_bits(),
        row.first.to_bits(),
        row.first_time.cast_unsigned(),
        row.last.to_bits(),
        row.last_time.cast_unsigned(),
        row.resets,
        row.reset_adj.to_bits(),
        row.stale_time.unwrap_or(-1).cast_unsigned(),
    ]
}

/// NaN patterns of empty windows are not told apart in tables.
fn nan_alike(row: &Rollup) -> Rollup {
    let alike = |v: f64| {
        if row.count == 0 && v.is_nan() {
            f64::NAN
        } else {
            v
        }
    };
    Rollup {
        min: alike(row.min),
        max: alike(row.max),
        first: alike(row.first),
        last: alike(row.last),
        ..*row
    }
}

async fn check_rollups(store: &Arc<dyn ObjectStore>, files: &[Encoded], sealed: &Sealed) {
    let entries: Vec<_> = of(files, Table::Rollup1m)
        .map(|f| Arc::new(f.file.clone()))
        .collect();
    let blocks: Vec<Block<Rollup>> = read_rows(store, Table::Rollup1m, &entries, &Filter::all())
        .await
        .expect("reads");
    let mut back = BTreeMap::new();
    for block in &blocks {
        for (key, time, rows) in block.iter() {
            for (at, row) in time.iter().zip(rows) {
                back.insert((key.series_id, *at), bits(&nan_alike(row)));
            }
        }
    }
    let mut expected = BTreeMap::new();
    for (one, time, rows) in sealed.rollups[0].1.iter() {
        for (at, row) in time.iter().zip(rows) {
            expected.insert((one.id(), *at), bits(&nan_alike(row)));
        }
    }
    assert_eq!(back, expected);
    assert_eq!(of(files, Table::Rollup1h).count(), 0);
}

async fn check_series(store: &Arc<dyn ObjectStore>, files: &[Encoded], sealed: &Sealed) {
    let entries: Vec<_> = of(files, Table::Series)
        .map(|f| Arc::new(f.file.clone()))
        .collect();
    let blocks: Vec<Block<SeriesSeen>> = read_rows(store, Table::Series, &entries, &Filter::all())
        .await
        .expect("reads");
    let mut back: Vec<SeriesSeen> = blocks.into_iter().flat_map(|block| block.rows).collect();
    let mut expected = sealed.series.clone();
    back.sort_by(|a, b| a.series.file_order(&b.series));
    expected.sort_by(|a, b| a.series.file_order(&b.series));
    assert_eq!(back, expected);
}

fn check_rejects(files: &[Encoded], sealed: &Sealed) {
    let mut back = vec![];
    for file in of(files, Table::Rejects) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone())
            .and_then(|builder| builder.build())
            .expect("a Parquet file");
        for batch in reader {
            let batch = batch.expect("a readable batch");
            let partition = batch["partition"].as_primitive::<Int32Type>();
            let offset = batch["offset"].as_primitive::<Int64Type>();
            let bytes = batch["bytes"].as_binary::<i32>();
            for i in 0..batch.num_rows() {
                back.push((partition.value(i), offset.value(i), bytes.value(i).to_vec()));
            }
        }
    }
    let expected = sealed.rejects.iter();
    let mut expected: Vec<_> = expected
        .map(|r| (r.partition.index, r.offset, r.bytes.clone()))
        .collect();
    back.sort();
    expected.sort();
    assert_eq!(back, expected);
}

#[tokio::test]
async fn filters_give_what_a_naive_one_does() {
    for seed in 300..330 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let (mut all, profile) = (runs(random, 1), cramped(random));
        clip_to_first_day(&mut all);
        let Runs { runs, time, value } = &all;
        let (kind, id) = (FileKind::Main, Uuid::nil());
        let file = encode_samples(runs, time, value, kind, Values::Plain, &profile, id)
            .expect("encodes")
            .expect("has rows");
        let store = memory();
        let files = put(&store, &[file]).await;
        let pick: HashSet<SeriesId> = runs
            .iter()
            .filter(|_| random.random_ratio(1, 4))
            .map(|run| run.series.id())
            .collect();
        let start = START + random.random_range(0..DAY_MS / 4);
        let window = Window {
            start,
            end: start + random.random_range(0..DAY_MS / 2),
        };
        let (first, last) = (random.random_range(0..4), random.random_range(0..4));
        let key = |tenant: usize, name: usize| tidegauge_tables::Key {
            tenant: format!("t{tenant}"),
            name: format!("m{name}"),
        };
        let keys = key(first.min(last), 1)..=key(first.max(last), 3);
        for (only, keys) in [
            (None, None),
            (Some(Arc::new(pick.clone())), None),
            (None, Some(keys.clone())),
            (Some(Arc::new(pick)), Some(keys)),
        ] {
            let filter = Filter { window, keys, only };
            let back = read_samples(&store, &files, &filter).await.expect("reads");
            let mut expected = rows_of(&all);
            expected.retain(|row| {
                let key = tidegauge_tables::Key {
                    tenant: row.0.clone(),
                    name: row.1.clone(),
                };
                filter.window.contains(row.3)
                    && filter.keys.as_ref().is_none_or(|keys| keys.contains(&key))
                    && filter
                        .only
                        .as_ref()
                        .is_none_or(|only| only.contains(&SeriesId(row.2.cast_unsigned())))
            });
            assert_eq!(rows_in(&back[0]), expected, "seed {seed} {filter:?}");
        }
    }
}

#[tokio::test]
async fn merged_samples_are_those_of_a_map() {
    for seed in 400..420 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut files = vec![];
        let mut expected = BTreeMap::<(String, String, i64, i64), f64>::new();
        let mut total = 0;
        for i in 0..random.random_range(1..8_u32) {
            let mut all = runs(random, 1);
            clip_to_first_day(&mut all);
            total += all.time.len();
            for row in rows_of(&all) {
                let value = f64::from_bits(row.4);
                let slot = expected
                    .entry((row.0, row.1, row.2, row.3))
                    .or_insert(value);
                *slot = prefer(*slot, value);
            }
            let values = [Values::Plain, Values::Compact][random.random_range(0..2)];
            let Runs { runs, time, value } = &all;
            let (kind, id) = (FileKind::Overlay, Uuid::from_u128(i.into()));
            let profile = cramped(random);
            files.extend(
                encode_samples(runs, time, value, kind, values, &profile, id).expect("encodes"),
            );
        }
        let store = memory();
        let files = put(&store, &files).await;
        let mut merge = Merge::<f64>::open(&store, Table::Samples, &files, &Filter::all())
            .await
            .expect("opens");
        let (mut back, mut settled) = (vec![], 0);
        while let Some(series) = merge.next().await.expect("reads") {
            settled += series.settled;
            let (tenant, name) = (&series.key.tenant, &series.key.name);
            let id = series.key.series_id.as_i64();
            for (at, value) in series.time.iter().zip(&series.rows) {
                back.push((
                    (tenant.to_string(), name.to_string(), id, *at),
                    value.to_bits(),
                ));
            }
        }
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(key, value)| (key, value.to_bits()))
            .collect();
        assert_eq!(back, expected, "seed {seed}");
        assert_eq!(settled, total - expected.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn of_merged_rollups_those_of_the_newest_file_count() {
    for seed in 500..515 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut files = vec![];
        let mut expected = BTreeMap::new();
        for version in 1..=4_u64 {
            let mut rows = RollupRuns::default();
            let mut all: Vec<Series> = (0..12).map(|host| series(0, 0, host)).collect();
            all.sort_by(Series::file_order);
            for one in &all {
                for minute in 0..50 {
                    if random.random() {
                        let row = Rollup::fold(&[1], &[version as f64]).expect("a sample");
                        rows.push(one, START + minute * MINUTE_MS, row);
                        expected.insert((one.id().as_i64(), START + minute * MINUTE_MS), version);
                    }
                }
            }
            let RollupRuns { runs, time, rows } = &rows;
            let (kind, id) = (FileKind::Overlay, Uuid::from_u128(version.into()));
            let profile = cramped(random);
            let file = encode_rollups(Table::Rollup1m, runs, time, rows, kind, &profile, id);
            files.extend(file.expect("encodes"));
        }
        let store = memory();
        let mut files = put(&store, &files).await;
        files.reverse();
        let mut merge = Merge::<Rollup>::open(&store, Table::Rollup1m, &files, &Filter::all())
            .await
            .expect("opens");
        let mut writer = RollupWriter::new(Table::Rollup1m, &cramped(random)).expect("valid");
        let mut back = BTreeMap::new();
        while let Some(series) = merge.next().await.expect("reads") {
            for (at, row) in series.time.iter().zip(&series.rows) {
                back.insert((series.key.series_id.as_i64(), *at), row.sum as u64);
                writer.push(&series.key, *at, *row).expect("takes rows");
            }
        }
        assert_eq!(back, expected, "seed {seed}");
        let file = writer
            .finish(FileKind::Main, Uuid::nil())
            .expect("ends")
            .expect("has rows");
        assert_eq!(file.file.rows, expected.len() as u64);
    }
}

#[tokio::test]
async fn merged_series_keep_the_first_and_the_last_sight() {
    let seen = |first_seen: i64, last_seen: i64, help: &str| Sealed {
        series: vec![SeriesSeen {
            series: series(1, 2, 3),
            metadata: Arc::new(Metadata {
                help: help.into(),
                ..Metadata::default()
            }),
            first_seen,
            last_seen,
        }],
        ..Sealed::default()
    };
    let ids = &mut names();
    let settings = EncodeSettings::default();
    let mut files = vec![];
    for sealed in [
        seen(START + 50, START + 60, "a"),
        seen(START + 10, START + 20, "b"),
        seen(START + 55, START + 90, "c"),
    ] {
        files.extend(encode_sealed(&sealed, &settings, ids).expect("encodes"));
    }
    let store = memory();
    let files = put(&store, &files).await;
    let mut merge = Merge::<SeriesSeen>::open(&store, Table::Series, &files, &Filter::all())
        .await
        .expect("opens");
    let merged = merge.next().await.expect("reads").expect("one series");
    assert_eq!(merged.rows, seen(START + 10, START + 90, "c").series);
    assert_eq!(merged.settled, 2);
    assert!(merge.next().await.expect("reads").is_none());
}

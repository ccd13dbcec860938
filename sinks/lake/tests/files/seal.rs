//! All that one commit writes: files by table, day and kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{Block, EncodeSettings, Encoded, Filter, encode_sealed, read_rows};
use tidegauge_model::{
    DAY_MS, MINUTE_MS, Metadata, MetricType, Partition, Reject, RejectReason, Rollup, RollupRuns,
    Runs, Sealed, SeriesSeen, Tier,
};
use tidegauge_tables::{FileKind, Table};

use crate::rows::{Row, START, cramped, memory, names, put, rows_of, runs, stock};

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

//! Merging files into one: which of several rows for one time counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{
    EncodeSettings, Filter, Merge, RollupWriter, Values, encode_rollups, encode_samples,
    encode_sealed,
};
use tidegauge_model::{
    MINUTE_MS, Metadata, Rollup, RollupRuns, Runs, Sealed, Series, SeriesSeen, prefer,
};
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use crate::rows::{START, clip_to_first_day, cramped, memory, names, put, rows_of, runs, series};

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

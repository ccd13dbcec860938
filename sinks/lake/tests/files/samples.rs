//! Samples, written whole or in pieces, in both forms, and read through filters.

use std::collections::HashSet;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{Filter, RowKey, SampleWriter, Values, encode_samples, read_samples};
use tidegauge_model::{DAY_MS, Runs, SeriesId, Window};
use tidegauge_tables::FileKind;
use uuid::Uuid;

use crate::rows::{START, clip_to_first_day, cramped, memory, put, rows_in, rows_of, runs, stock};

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

//! What has expired goes, and what comes late to it is taken into rows.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{RetentionRule, UpkeepSettings};
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Series, SeriesId, Tier};
use tidegauge_tables::Table;

use crate::common::{Lake, simulate};
use crate::life::{begin, commit, settled, value_bits};
use crate::rows::bits;
use crate::stream::{START, Stream};

#[test]
fn what_comes_after_raw_has_expired_is_merged_into_rows() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        let at = START + 3 * MINUTE_MS;
        let samples = vec![(0, at, 1.0), (0, at + 20_000, 4.0)];
        commit(&life, stream.seal(samples, 2 * HOUR_MS), &mut random).await;
        lake.pass(u64::try_from(9 * DAY_MS).expect("positive"))
            .await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.files_expired, 1, "the samples");

        commit(
            &life,
            stream.seal(vec![(0, at + 10_000, 2.0)], 0),
            &mut random,
        )
        .await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.minutes_repaired, 1);
        let state = lake.read().await;
        assert_eq!(state.files(Table::Samples).count(), 0);
        assert!(state.dirty.is_empty());
        for table in [Table::Rollup1m, Table::Rollup1h] {
            let rows = settled::<Rollup>(&lake, &state, table, bits).await;
            let counts: Vec<_> = rows.values().map(|row| row[0]).collect();
            assert_eq!(counts, [3], "{table:?}");
        }
    });
}

/// Whatever else makes its minute dirty again, what was merged stays counted once.
#[test]
fn what_was_merged_is_not_merged_again() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        let at = START + 3 * MINUTE_MS;
        let both = vec![(0, at, 1.0), (1, at, 1.0)];
        commit(&life, stream.seal(both, 9 * DAY_MS), &mut random).await;
        lake.pass(u64::try_from(9 * DAY_MS).expect("positive"))
            .await;
        life.upkeep.run_once().await.expect("a store that lives");
        // The late sample lies in one file with one that does not expire yet.
        let now = stream.watermark + MINUTE_MS;
        let mixed = vec![(0, at + 10_000, 2.0), (0, now, 2.0)];
        commit(&life, stream.seal(mixed, 0), &mut random).await;
        life.upkeep.run_once().await.expect("a store that lives");
        for late in 1..4 {
            let other = vec![(1, at + late * 1_000, 2.0)];
            commit(&life, stream.seal(other, 0), &mut random).await;
            life.upkeep.run_once().await.expect("a store that lives");
        }
        let state = lake.read().await;
        for table in [Table::Rollup1m, Table::Rollup1h] {
            let rows = settled::<Rollup>(&lake, &state, table, bits).await;
            let count = |series: usize| {
                let id = stream.series[series].id();
                let rows = rows.iter().filter(|((of, _), _)| *of == id);
                rows.map(|(_, row)| row[0]).collect::<Vec<_>>()
            };
            assert_eq!((count(0), count(1)), (vec![2], vec![4]), "{table:?}");
        }
        let samples = settled(&lake, &state, Table::Samples, value_bits).await;
        let id = stream.series[0].id();
        assert_eq!(samples.keys().collect::<Vec<_>>(), [&(id, now)]);
    });
}

#[test]
fn a_backfill_is_kept_from_its_coming() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        let at = START - 1000 * DAY_MS;
        let samples = vec![(0, at, 1.0), (0, at + 20_000, 4.0)];
        commit(&life, stream.seal(samples, 2 * HOUR_MS), &mut random).await;
        let mut expired = Vec::new();
        for _ in 0..9 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            expired.push(report.files_expired);
            lake.pass(DAY_MS.cast_unsigned()).await;
        }
        assert_eq!(
            expired,
            [0, 0, 0, 0, 0, 0, 0, 0, 1],
            "samples, after 7 days"
        );

        // What comes to the same minute now is late: rows take it in, and it goes.
        let late = stream.seal(vec![(0, at + 10_000, 2.0)], 0);
        commit(&life, late, &mut random).await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.minutes_repaired, 1);
        let state = lake.read().await;
        assert_eq!(state.files(Table::Samples).count(), 0);
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1m, bits).await;
        assert_eq!(rows.values().map(|row| row[0]).collect::<Vec<_>>(), [3]);
    });
}

/// An hour whose 1-minute rows have gone before its raw, as a backfill's do, is folded anew from raw.
#[test]
fn an_hour_without_minutes_counts_nothing_twice_while_raw_is_there() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let mut settings = UpkeepSettings::default();
        settings.retention.m1_ms = 2 * DAY_MS;
        let life = begin(&lake, 7, settings).await;
        let at = START + 3 * MINUTE_MS;
        let samples: Vec<_> = (0..9).map(|i| (0, at + i * 20_000, 1.0)).collect();
        commit(&life, stream.seal(samples.clone(), 4 * DAY_MS), &mut random).await;
        lake.pass(u64::try_from(4 * DAY_MS).expect("positive"))
            .await;
        life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(lake.read().await.files(Table::Rollup1m).count(), 0);
        // All of it again, and one more.
        for late in [samples, vec![(0, at + 10_000, 2.0)]] {
            commit(&life, stream.seal(late, 0), &mut random).await;
            life.upkeep.run_once().await.expect("a store that lives");
        }
        let state = lake.read().await;
        assert!(state.dirty.is_empty());
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1h, bits).await;
        assert_eq!(rows, stream.oracle(Tier::H1));
    });
}

/// A rule takes 1-minute rows of a metric before their raw too, and leaves those of others.
#[test]
fn an_hour_whose_minutes_were_trimmed_counts_nothing_twice() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let mut settings = UpkeepSettings::default();
        settings.retention.rules.push(RetentionRule {
            metric: Some(stream.series[0].name().to_owned()),
            m1_ms: Some(DAY_MS),
            ..RetentionRule::default()
        });
        let life = begin(&lake, 7, settings).await;
        let at = START + 3 * MINUTE_MS;
        let samples = [0, 6]
            .into_iter()
            .flat_map(|series| (0..9).map(move |i| (series, at + i * 20_000, 1.0)))
            .collect();
        commit(&life, stream.seal(samples, 3 * DAY_MS), &mut random).await;
        lake.pass(3 * DAY_MS.cast_unsigned()).await;
        let mut trimmed = 0;
        for _ in 0..4 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            trimmed += report.files_trimmed;
            lake.pass(360_000).await;
        }
        assert_eq!(trimmed, 1, "the day's 1-minute rows, once");
        let late = stream.seal(vec![(0, at + 10_000, 2.0)], 0);
        commit(&life, late, &mut random).await;
        life.upkeep.run_once().await.expect("a store that lives");
        let state = lake.read().await;
        assert!(state.dirty.is_empty());
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1h, bits).await;
        assert_eq!(rows, stream.oracle(Tier::H1));
    });
}

/// Raw of an hour may go in parts; of a series whose raw is all there, the hour is still folded anew.
#[test]
fn an_hour_without_minutes_of_which_some_raw_is_there_counts_nothing_twice() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let mut settings = UpkeepSettings::default();
        settings.retention.m1_ms = 2 * DAY_MS;
        let life = begin(&lake, 7, settings).await;
        let at = START + 40 * MINUTE_MS;
        let first = vec![(6, START + 3 * MINUTE_MS, 1.0)];
        commit(&life, stream.seal(first, 30 * MINUTE_MS), &mut random).await;
        let second = (0..9).map(|i| (0, at + i * 20_000, 1.0)).collect();
        commit(&life, stream.seal(second, 9 * DAY_MS), &mut random).await;
        let first_is_gone = 7 * DAY_MS + 21 * HOUR_MS + 20 * MINUTE_MS;
        lake.pass(first_is_gone.cast_unsigned()).await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.files_expired, 3, "the first samples, all minutes");
        let late = stream.seal(vec![(0, at + 10_000, 2.0)], 0);
        commit(&life, late, &mut random).await;
        life.upkeep.run_once().await.expect("a store that lives");
        let state = lake.read().await;
        assert!(state.dirty.is_empty());
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1h, bits).await;
        assert_eq!(rows, stream.oracle(Tier::H1));
    });
}

/// An hour is read as a whole where its 1-minute rows have gone, yet only its dirty minutes are repaired.
#[test]
fn a_repair_of_one_minute_leaves_what_came_late_to_others() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let mut settings = UpkeepSettings::default();
        settings.retention.m1_ms = 2 * DAY_MS;
        settings.retention.rules.push(RetentionRule {
            metric: Some(stream.series[0].name().to_owned()),
            raw_ms: Some(DAY_MS),
            ..RetentionRule::default()
        });
        let life = begin(&lake, 7, settings).await;
        let at = START + 3 * MINUTE_MS;
        let samples = [0, 6]
            .into_iter()
            .flat_map(|series| (0..9).map(move |i| (series, at + i * 20_000, 1.0)))
            .collect();
        commit(&life, stream.seal(samples, 4 * DAY_MS), &mut random).await;
        lake.pass(4 * DAY_MS.cast_unsigned()).await;
        let mut trimmed = 0;
        for _ in 0..4 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            trimmed += report.files_trimmed;
            lake.pass(360_000).await;
        }
        assert_eq!(trimmed, 1, "the day's samples, once");
        // The first has no other raw and is merged, then stays in raw until the day is trimmed anew.
        let merged = stream.seal(vec![(0, at + 10_000, 1.0)], 0);
        commit(&life, merged, &mut random).await;
        life.upkeep.run_once().await.expect("a store that lives");
        let other = stream.seal(vec![(6, at + 2 * MINUTE_MS + 10_000, 1.0)], 0);
        commit(&life, other, &mut random).await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.minutes_repaired, 1);
        assert_eq!(report.rows_repaired, 2, "its minute and its hour");
        let state = lake.read().await;
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1h, bits).await;
        assert_eq!(rows, stream.oracle(Tier::H1));
    });
}

#[test]
fn a_metric_kept_for_less_goes_from_among_the_others() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let short = stream.series[0].name().to_owned();
        let rule = RetentionRule {
            metric: Some(short.clone()),
            raw_ms: Some(DAY_MS),
            ..RetentionRule::default()
        };
        let mut settings = UpkeepSettings::default();
        settings.retention.rules.push(rule);
        let mut life = begin(&lake, 7, settings.clone()).await;
        let at = START + 3 * MINUTE_MS;
        let samples = (0..7)
            .flat_map(|series| [(series, at, 1.0), (series, at + 20_000, 4.0)])
            .collect();
        commit(&life, stream.seal(samples, 3 * DAY_MS), &mut random).await;
        lake.pass(u64::try_from(3 * DAY_MS).expect("positive"))
            .await;
        let mut trimmed = 0;
        for _ in 0..4 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            trimmed += report.files_trimmed;
            lake.pass(360_000).await;
        }
        assert_eq!(trimmed, 1, "the day's samples, once");
        let is_short = |series: &Series| series.name() == short;
        let kept = |stream: &Stream| {
            let mut rows = stream.oracle(Tier::Raw);
            let gone: BTreeSet<SeriesId> = stream
                .series
                .iter()
                .filter(|it| is_short(it))
                .map(Series::id)
                .collect();
            rows.retain(|(id, _), _| !gone.contains(id));
            rows
        };
        let found = settled(&lake, &lake.read().await, Table::Samples, value_bits).await;
        assert!(!found.is_empty());
        assert_eq!(found, kept(&stream));

        // Late samples: of the short-lived metric merged into rows, of the others folded from raw.
        let late = (0..7).map(|series| (series, at + 10_000, 2.0)).collect();
        life = begin(&lake, 8, settings).await;
        commit(&life, stream.seal(late, 0), &mut random).await;
        for _ in 0..4 {
            life.upkeep.run_once().await.expect("a store that lives");
            lake.pass(360_000).await;
        }
        let state = lake.read().await;
        assert!(state.dirty.is_empty());
        assert_eq!(
            settled(&lake, &state, Table::Samples, value_bits).await,
            kept(&stream)
        );
        for table in [Table::Rollup1m, Table::Rollup1h] {
            let rows = settled::<Rollup>(&lake, &state, table, bits).await;
            let counts: Vec<_> = rows.values().map(|row| row[0]).collect();
            assert_eq!(counts, [3; 7], "{table:?}");
        }
    });
}

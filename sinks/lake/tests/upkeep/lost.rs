//! A file that is gone keeps nothing from its turn but what needs it.

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{RetentionRule, UpkeepSettings, data_path};
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Tier, floor};
use tidegauge_tables::{LakeState, Table};

use crate::common::{Lake, simulate};
use crate::life::{begin, commit, settings, settled};
use crate::rows::bits;
use crate::stream::{START, Stream};

#[test]
fn other_hours_are_repaired_and_other_days_compacted() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, settings(&stream)).await;
        let at = START + 3 * MINUTE_MS;
        // Two days of two commits each; a file of the first day goes.
        for step in 0..4 {
            let samples = vec![(0, at + step * 12 * HOUR_MS, 1.0)];
            commit(&life, stream.seal(samples, 12 * HOUR_MS), &mut random).await;
        }
        let before = lake.read().await;
        let lost = before
            .files(Table::Samples)
            .min_by_key(|file| file.min_time);
        let path = data_path(Table::Samples, lost.expect("samples"));
        lake.disk.delete(&path).await.expect("a store that lives");
        for late in [at + 1_000, at + 36 * HOUR_MS + 1_000] {
            commit(&life, stream.seal(vec![(0, late, 2.0)], 0), &mut random).await;
        }
        stream.watermark += 3 * DAY_MS;
        commit(&life, stream.seal(vec![], 0), &mut random).await;
        for _ in 0..3 {
            lake.pass(360_000).await;
            life.upkeep.run_once().await.expect_err("a file is gone");
        }
        let state = lake.read().await;
        let dirty: Vec<_> = state.dirty.keys().copied().collect();
        assert_eq!(dirty, [floor(at, MINUTE_MS)]);
        let minute = floor(at + 36 * HOUR_MS, MINUTE_MS);
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1m, bits).await;
        let key = (stream.series[0].id(), minute);
        assert_eq!(rows[&key], stream.oracle(Tier::M1)[&key]);
        let days = |date_of: i64| {
            let date = i32::try_from(date_of / DAY_MS).expect("a day");
            let files = state.files(Table::Samples);
            files.filter(|file| file.date == date).count()
        };
        assert_eq!(
            days(at + 36 * HOUR_MS),
            1,
            "what lies in other days is merged"
        );
    });
}

/// Samples of the first series' metric are kept for a day, all else for ever.
fn first_kept_for_less(stream: &Stream) -> UpkeepSettings {
    let mut settings = settings(stream);
    settings.retention.rules.push(RetentionRule {
        metric: Some(stream.series[0].name().to_owned()),
        raw_ms: Some(DAY_MS),
        ..RetentionRule::default()
    });
    settings
}

#[test]
fn other_days_are_trimmed() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, first_kept_for_less(&stream)).await;
        for day in 0..2 {
            let at = START + day * DAY_MS + 3 * MINUTE_MS;
            let both = vec![(0, at, 1.0), (6, at, 1.0)];
            commit(&life, stream.seal(both, DAY_MS), &mut random).await;
        }
        // Both days are merged before anything in them has run out.
        for _ in 0..4 {
            lake.pass(360_000).await;
            life.upkeep.run_once().await.expect("a store that lives");
        }
        let before = lake.read().await;
        let lost = before
            .files(Table::Samples)
            .min_by_key(|file| file.min_time);
        let path = data_path(Table::Samples, lost.expect("samples"));
        lake.disk.delete(&path).await.expect("a store that lives");
        lake.pass(4 * DAY_MS.cast_unsigned()).await;
        life.upkeep.run_once().await.expect_err("a file is gone");
        assert_eq!(life.upkeep.totals().done.files_trimmed, 1, "the second");
    });
}

#[test]
fn a_day_with_nothing_left_to_trim_is_not_read_again() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, first_kept_for_less(&stream)).await;
        let at = START + 3 * MINUTE_MS;
        let both = vec![(0, at, 1.0), (6, at, 1.0)];
        commit(&life, stream.seal(both, 3 * DAY_MS), &mut random).await;
        lake.pass(3 * DAY_MS.cast_unsigned()).await;
        for _ in 0..8 {
            lake.pass(360_000).await;
            life.upkeep.run_once().await.expect("a store that lives");
        }
        assert_eq!(life.upkeep.totals().done.files_trimmed, 1);
        // Whoever looks for metrics that have run out reads the day's series.
        let state = lake.read().await;
        let series = state.files(Table::Series).next().expect("series");
        let path = data_path(Table::Series, series);
        lake.disk.delete(&path).await.expect("a store that lives");
        life.upkeep.run_once().await.expect("it is not missed");
    });
}

#[test]
fn rejects_of_other_days_are_merged() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        stream.most_rejects = 3;
        stream.watermark = START + 3 * HOUR_MS;
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, settings(&stream)).await;
        // Two days of at most eight files each; a file of the first day goes.
        for _ in 0..16 {
            commit(&life, stream.seal(vec![], 3 * HOUR_MS), &mut random).await;
        }
        stream.most_rejects = 0;
        commit(&life, stream.seal(vec![], HOUR_MS), &mut random).await;
        let files_by_day = |state: &LakeState| {
            let mut days = BTreeMap::<i32, usize>::new();
            for file in state.files(Table::Rejects) {
                *days.entry(file.date).or_default() += 1;
            }
            days.into_values().collect::<Vec<_>>()
        };
        let before = lake.read().await;
        let counts = files_by_day(&before);
        assert!(counts.iter().all(|count| *count > 1), "{counts:?}");
        let lost = before
            .files(Table::Rejects)
            .min_by_key(|file| file.min_time);
        let path = data_path(Table::Rejects, lost.expect("rejects"));
        lake.disk.delete(&path).await.expect("a store that lives");
        life.upkeep.run_once().await.expect("nothing is due yet");
        lake.pass(360_000).await;
        life.upkeep.run_once().await.expect_err("a file is gone");
        assert_eq!(files_by_day(&lake.read().await), [counts[0], 1]);
    });
}

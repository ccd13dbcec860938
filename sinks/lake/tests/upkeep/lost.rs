//! A file that is gone keeps nothing from its turn but what needs it.

use object_store::ObjectStoreExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::data_path;
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Tier, floor};
use tidegauge_tables::Table;

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

//! A producer whose records can't be taken fills no lake with small files.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::UpkeepSettings;
use tidegauge_model::MINUTE_MS;
use tidegauge_tables::Table;

use crate::common::{Lake, simulate};
use crate::life::{begin, commit, rejects};
use crate::stream::Stream;

#[test]
fn rejects_of_each_commit_become_few_files() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(3, 0);
        stream.most_rejects = 3;
        let mut random = SmallRng::seed_from_u64(3);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        for step in 0..150 {
            commit(&life, stream.seal(vec![], MINUTE_MS / 6), &mut random).await;
            if step % 3 == 0 {
                life.upkeep.run_once().await.expect("a store that lives");
            }
        }
        let state = lake.read().await;
        let files = state.files(Table::Rejects).count();
        assert!(files < UpkeepSettings::default().small_files + 3, "{files}");
        let mut expected = stream.rejects.clone();
        expected.sort_unstable();
        assert!(expected.len() > 150, "{}", expected.len());
        assert_eq!(rejects(&lake, &state).await, expected);
    });
}

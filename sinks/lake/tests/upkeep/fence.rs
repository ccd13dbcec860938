//! A newer writer ends it.

use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{CommitError, UpkeepError, UpkeepSettings, data_path};
use tidegauge_model::{DAY_MS, HOUR_MS};
use tidegauge_tables::Table;

use crate::common::{Lake, simulate};
use crate::life::{begin, commit};
use crate::stream::{START, Stream};

#[test]
fn a_newer_writer_ends_it() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(4, 0);
        let mut random = SmallRng::seed_from_u64(4);
        let life = begin(&lake, 8, UpkeepSettings::default()).await;
        commit(
            &life,
            stream.seal(vec![(0, START, 1.0)], HOUR_MS),
            &mut random,
        )
        .await;
        commit(&life, stream.seal(vec![(0, START, 2.0)], 0), &mut random).await;
        let _newer = lake.writer(9).await;
        // Boxed as a task that threads may pass on.
        let run: BoxFuture<'_, _> = Box::pin(life.upkeep.run());
        let ended = lake.within(600_000, run).await;
        let fenced =
            |error: &UpkeepError| matches!(error, UpkeepError::Commit(CommitError::Fenced { .. }));
        assert!(matches!(ended, Some(Err(error)) if fenced(&error)));
    });
}

/// A repair that can't read its samples fails before it could commit; expiry meets the newer writer.
#[test]
fn a_lost_file_does_not_hide_a_newer_writer() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(4, 0);
        let mut random = SmallRng::seed_from_u64(4);
        let mut settings = UpkeepSettings::default();
        settings.retention.m1_ms = DAY_MS;
        let life = begin(&lake, 8, settings).await;
        let sample = stream.seal(vec![(0, START, 1.0)], HOUR_MS);
        commit(&life, sample, &mut random).await;
        let state = lake.read().await;
        let lost = state.files(Table::Samples).next().expect("samples");
        let path = data_path(Table::Samples, lost);
        lake.disk.delete(&path).await.expect("a store that lives");
        lake.pass(3 * DAY_MS.cast_unsigned()).await;
        commit(&life, stream.seal(vec![(0, START, 2.0)], 0), &mut random).await;
        let _newer = lake.writer(9).await;
        let ended = lake.within(600_000, life.upkeep.run()).await;
        assert!(matches!(
            ended,
            Some(Err(UpkeepError::Commit(CommitError::Fenced { .. })))
        ));
    });
}

//! A newer writer ends it.

use futures::future::BoxFuture;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{CommitError, UpkeepError, UpkeepSettings};
use tidegauge_model::HOUR_MS;

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

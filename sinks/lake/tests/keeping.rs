//! Full states, checkpoints and clean-up: a log of any age opens quickly and stays small.

mod common;

use common::{Lake, compact, live, simulate, stream};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tidegauge_tables::{Table, paths};

async fn objects(lake: &Lake) -> usize {
    let listed: Vec<_> = lake
        .disk
        .list(None)
        .try_collect()
        .await
        .expect("memory can be listed");
    listed.len()
}

#[test]
fn a_week_of_commits_leaves_as_many_objects_as_a_day() {
    simulate(async {
        let lake = Lake::new();
        let writer = lake.writer(1).await;
        let mut after_a_day = 0;
        // One commit in 80 s: an eighth of what ten seconds make, and as many a checkpoint.
        for epoch in 1..=60_480_u64 / 8 {
            let name = epoch.to_string();
            writer
                .commit(stream(epoch, &name))
                .await
                .expect("it is the writer");
            if epoch % 10 == 0 {
                let old: Vec<String> = (epoch - 9..=epoch).map(|old| old.to_string()).collect();
                let old: Vec<&str> = old.iter().map(String::as_str).collect();
                let as_of = writer.state().version.expect("claimed");
                writer
                    .commit(compact(as_of, &old, &format!("c{epoch}")))
                    .await
                    .expect("it fits");
            }
            writer.project().await;
            writer.keep().await.expect("the store is there");
            lake.pass(80_000).await;
            if epoch == 8_640 / 8 {
                after_a_day = objects(&lake).await;
            }
        }
        let after_a_week = objects(&lake).await;
        assert!(
            after_a_week <= after_a_day + 10,
            "{after_a_week} objects, {after_a_day} after a day"
        );
        assert_eq!(lake.read().await, *writer.state());
        assert!(writer.state().tables[&Table::Samples].removed.len() < 200);
    });
}

#[test]
fn a_reader_follows_and_opens_whatever_is_deleted_meanwhile() {
    simulate(async {
        let lake = Lake::tidy(4, 8, 0);
        let writer = lake.writer(1).await;
        let reader = lake.reader();
        let mut follower = reader.open().await.expect("a lake");
        for epoch in 1..=50 {
            writer
                .commit(stream(epoch, &format!("{epoch:02}")))
                .await
                .expect("it is the writer");
            if epoch % 7 == 0 {
                let moved = reader.follow(&mut follower).await.expect("a lake");
                assert_eq!(moved, 7);
                assert_eq!(follower, *writer.state());
            }
            writer.keep().await.expect("the store is there");
            assert_eq!(reader.open().await.expect("a lake"), *writer.state());
        }
        assert_eq!(live(&follower).len(), 49);
        assert_eq!(reader.follow(&mut follower).await.expect("a lake"), 1);
        assert_eq!(reader.follow(&mut follower).await.expect("a lake"), 0);
    });
}

#[test]
fn a_lost_or_old_pointer_is_only_a_hint() {
    simulate(async {
        let lake = Lake::tidy(4, 8, 0);
        let writer = lake.writer(1).await;
        let mut old_pointer = None;
        for epoch in 1..=30 {
            writer
                .commit(stream(epoch, &epoch.to_string()))
                .await
                .expect("it is the writer");
            writer.keep().await.expect("the store is there");
            if epoch == 6 {
                old_pointer = lake.object(paths::state_pointer()).await;
            }
        }
        let old = old_pointer.expect("a state was written");
        let put = lake.disk.put(&paths::state_pointer(), old.into()).await;
        put.expect("memory can be written");
        assert_eq!(lake.read().await, *writer.state());
        let next = lake.writer(2).await;
        assert_eq!(
            next.state().version,
            writer.state().version.map(|last| last + 1)
        );
    });
}

#[test]
fn a_clean_stop_leaves_nothing_to_do() {
    simulate(async {
        let lake = Lake::new();
        let writer = lake.writer(1).await;
        for epoch in 1..=5 {
            writer
                .commit(stream(epoch, &epoch.to_string()))
                .await
                .expect("it is the writer");
        }
        assert!(writer.finish().await.expect("the store is there").state);
        assert!(!writer.finish().await.expect("the store is there").state);
        assert!(lake.object(paths::state(5)).await.is_some());
        lake.check_projections().await;
    });
}

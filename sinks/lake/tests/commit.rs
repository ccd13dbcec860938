//! The commit over a store with faults: what is acknowledged stands once, what is not never does.

mod common;

use common::{Lake, compact, live, simulate, stream};
use tidegauge_lake::faults::Fault;
use tidegauge_lake::{CommitError, DraftError};
use tidegauge_tables::Table;

const LAKE_LOG: &str = "samples/_delta_log";
const OTHER_LOG: &str = "rollup_1m/_delta_log";

#[test]
fn a_commit_outlives_every_two_faults_in_a_row() {
    simulate(async {
        for first in Fault::ALL {
            for second in Fault::ALL {
                let lake = Lake::new();
                let way = lake.way(1);
                let writer = lake.claim(&way).await;
                for log in [LAKE_LOG, OTHER_LOG] {
                    way.faults.fail_next(log, first);
                    way.faults.fail_next(log, second);
                }
                let state = writer.commit(stream(1, "a")).await.expect("it waits");
                writer.commit(stream(2, "b")).await.expect("it waits");
                writer.project().await;
                // Whatever is still under way lands.
                lake.pass(600_000).await;
                assert_eq!(state.version, Some(1), "{first:?}, {second:?}");
                assert_eq!(lake.read().await, *writer.state(), "{first:?}, {second:?}");
                assert_eq!(live(&writer.state()), ["a", "b"]);
                assert_eq!(lake.commits().await.len(), 3);
                lake.check_projections().await;
            }
        }
    });
}

#[test]
fn a_claim_outlives_every_fault() {
    simulate(async {
        for fault in Fault::ALL {
            let lake = Lake::new();
            let way = lake.way(1);
            way.faults.fail_next(LAKE_LOG, fault);
            way.faults.fail_next(OTHER_LOG, fault);
            let writer = lake.claim(&way).await;
            lake.pass(600_000).await;
            assert_eq!(writer.state().generation, 1, "{fault:?}");
            assert_eq!(lake.commits().await.len(), 1, "{fault:?}");
            lake.check_projections().await;
        }
    });
}

#[test]
fn a_zombie_commits_nothing() {
    simulate(async {
        let lake = Lake::new();
        let zombie = lake.writer(1).await;
        zombie
            .commit(stream(1, "a"))
            .await
            .expect("it is the writer");
        let writer = lake.writer(2).await;
        for epoch in 2..4 {
            let said = zombie.commit(stream(epoch, "z")).await.expect_err("fenced");
            let CommitError::Fenced {
                by_generation,
                version,
            } = said
            else {
                panic!("{said}");
            };
            assert_eq!((by_generation, version), (2, 2));
        }
        writer
            .commit(stream(2, "b"))
            .await
            .expect("it is the writer");
        assert_eq!(live(&lake.read().await), ["a", "b"]);
    });
}

#[test]
fn a_zombie_put_that_lands_late_finds_its_place_taken() {
    simulate(async {
        let lake = Lake::new();
        let way = lake.way(1);
        let zombie = lake.claim(&way).await;
        way.faults.fail_next(LAKE_LOG, Fault::Lands(240_000));
        way.faults.die_after_puts(Some(1));
        let commit = zombie.commit(stream(1, "z"));
        assert!(lake.within(60_000, commit).await.is_none());
        let writer = lake.writer(2).await;
        writer
            .commit(stream(1, "a"))
            .await
            .expect("it is the writer");
        lake.pass(600_000).await;
        assert_eq!(live(&lake.read().await), ["a"]);
        way.faults.die_after_puts(None);
        let said = zombie.commit(stream(2, "z2")).await.expect_err("fenced");
        assert!(
            matches!(
                said,
                CommitError::Fenced {
                    by_generation: 2,
                    version: 1
                }
            ),
            "{said}"
        );
        assert_eq!(live(&lake.read().await), ["a"]);
    });
}

#[test]
fn a_zombie_from_before_a_clean_up_commits_nothing_and_misleads_no_reader() {
    simulate(async {
        let lake = Lake::tidy(5, 10, 0);
        let zombie = lake.writer(1).await;
        let mut follower = lake.read().await;
        let writer = lake.writer(2).await;
        for epoch in 1..40 {
            writer
                .commit(stream(epoch, &format!("{epoch:02}")))
                .await
                .expect("it is the writer");
            writer.keep().await.expect("the store is there");
        }
        assert!(
            lake.object(tidegauge_tables::paths::entry(Table::Samples, 1))
                .await
                .is_none()
        );
        let said = zombie.commit(stream(1, "z")).await.expect_err("fenced");
        assert!(
            matches!(
                said,
                CommitError::Fenced {
                    by_generation: 2,
                    version: 1
                }
            ),
            "{said}"
        );
        lake.reader()
            .follow(&mut follower)
            .await
            .expect("the log can be read");
        assert_eq!(follower, *writer.state());
        assert_eq!(lake.read().await, *writer.state());
        // And a claim with an old pointer to a state finds its way, too.
        assert_eq!(lake.writer(3).await.state().generation, 3);
    });
}

#[test]
fn two_that_start_at_once_have_one_winner() {
    simulate(async {
        for seed in 0..50 {
            let lake = Lake::new();
            let ways = [lake.way(2 * seed), lake.way(2 * seed + 1)];
            for way in &ways {
                way.faults.fail_per_mille(300);
            }
            let (one, two) = tokio::join!(lake.claim(&ways[0]), lake.claim(&ways[1]));
            let (first, second) =
                tokio::join!(one.commit(stream(1, "a")), two.commit(stream(1, "b")));
            let generations = [one.state().generation, two.state().generation];
            assert_ne!(generations[0], generations[1], "seed {seed}");
            let (winner, loser) = if generations[0] > generations[1] {
                (first, second)
            } else {
                (second, first)
            };
            winner.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let said = loser.expect_err("fenced by the later claim");
            assert!(
                matches!(
                    said,
                    CommitError::Fenced {
                        by_generation: 2,
                        ..
                    }
                ),
                "seed {seed}: {said}"
            );
            let last = lake.read().await;
            assert_eq!((last.generation, live(&last).len()), (2, 1), "seed {seed}");
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_and_the_committer_lives() {
    simulate(async {
        let lake = Lake::new();
        let writer = lake.writer(1).await;
        writer.commit(stream(5, "a")).await.expect("it fits");
        let refused = async |draft| match writer.commit(draft).await {
            Err(CommitError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let gone = refused(compact(1, &["b"], "c")).await;
        assert!(
            matches!(
                gone,
                DraftError::NotLive {
                    table: Table::Samples,
                    ..
                }
            ),
            "{gone}"
        );
        let twice = refused(stream(6, "a")).await;
        assert!(matches!(twice, DraftError::Twice { .. }), "{twice}");
        let back = refused(stream(4, "d")).await;
        assert_eq!(back.to_string(), "epoch 4 is committed already");
        writer
            .commit(compact(1, &["a"], "c"))
            .await
            .expect("it fits");
        assert_eq!(live(&lake.read().await), ["c"]);
    });
}

#[test]
fn a_dropped_commit_is_settled_before_the_next() {
    simulate(async {
        let lake = Lake::new();
        let way = lake.way(1);
        let writer = lake.claim(&way).await;
        for fault in [Fault::Hang, Fault::DoneHang, Fault::Lands(20_000)] {
            way.faults.fail_next(LAKE_LOG, fault);
            let epoch = writer.state().version.expect("claimed") + 1;
            let name = format!("{fault:?}");
            let dropped = writer.commit(stream(epoch, &name));
            let dropped = lake.within(10_000, dropped).await;
            assert!(dropped.is_none(), "{fault:?} has no answer in time");
            writer
                .commit(stream(epoch + 1, &format!("after {fault:?}")))
                .await
                .expect("it waits");
            assert!(
                live(&writer.state()).contains(&name),
                "the dropped one came first"
            );
            assert_eq!(lake.read().await, *writer.state());
        }
    });
}

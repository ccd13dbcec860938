//! Random interleavings of writers over a store with faults: the log is one linear history, and no
//! generation's commit follows a newer claim.

mod common;

use std::collections::BTreeMap;

use common::{Lake, Way, live, simulate, stream};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::CommitError;
use tidegauge_tables::CommitKind;

/// A version and what was acknowledged at it.
type Acknowledged = BTreeMap<u64, String>;

/// Lives of one process: claims, commits until it is fenced, claims again.
async fn lives(lake: &Lake, way: &Way, who: &str, seed: u64) -> Acknowledged {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut acknowledged = Acknowledged::new();
    let mut made = 0;
    for _ in 0..3 {
        lake.pass(rng.random_range(0..200_000)).await;
        let writer = lake.claim(way).await;
        for _ in 0..8 {
            lake.pass(rng.random_range(0..30_000)).await;
            made += 1;
            let name = format!("{who}{made:02}");
            match writer.commit(stream(writer.state().epoch + 1, &name)).await {
                Ok(state) => {
                    let version = state.version.expect("committed");
                    assert_eq!(acknowledged.insert(version, name), None, "a version twice");
                }
                Err(CommitError::Fenced { .. }) => break,
                Err(error) => panic!("seed {seed}: {error}"),
            }
            match rng.random_range(0..3) {
                0 => writer.project().await,
                1 => {
                    writer.keep().await.expect("the store answers in the end");
                }
                _ => {}
            }
        }
    }
    acknowledged
}

async fn two_processes(lake: &Lake, seed: u64) -> Acknowledged {
    let ways = [lake.way(seed), lake.way(seed + 1_000_000)];
    for way in &ways {
        way.faults.fail_per_mille(200);
    }
    let one = lives(lake, &ways[0], "a", seed);
    let two = lives(lake, &ways[1], "b", seed ^ 0xffff);
    let (mut one, mut two) = tokio::join!(one, two);
    // What is under way lands.
    lake.pass(600_000).await;
    let (n, m) = (one.len(), two.len());
    one.append(&mut two);
    assert_eq!(
        one.len(),
        n + m,
        "seed {seed}: two were told that they have one version"
    );
    one
}

#[test]
fn the_log_is_one_linear_history() {
    simulate(async {
        for seed in 0..60 {
            let lake = Lake::tidy(3, 7, i64::MAX);
            let acknowledged = two_processes(&lake, seed).await;
            let mut newest = 0;
            let mut found = Acknowledged::new();
            for (version, commit) in lake.commits().await.iter().enumerate() {
                let version = version as u64;
                match &commit.kind {
                    CommitKind::Claim { .. } => {
                        assert_eq!(
                            commit.generation,
                            newest + 1,
                            "seed {seed}: version {version}"
                        );
                        newest = commit.generation;
                    }
                    _ => assert_eq!(commit.generation, newest, "seed {seed}: version {version}"),
                }
                let added = commit
                    .files
                    .values()
                    .next()
                    .map(|changes| changes.add[0].path.clone());
                if let Some(path) = added {
                    found.insert(version, path[16..].trim_end_matches(".parquet").to_owned());
                }
            }
            assert_eq!(
                found, acknowledged,
                "seed {seed}: what stands is what was acknowledged"
            );
            let writer = lake.writer(seed).await;
            assert_eq!(
                live(&writer.state()).len(),
                acknowledged.len(),
                "seed {seed}"
            );
            writer.project().await;
            lake.check_projections().await;
        }
    });
}

#[test]
fn cleaning_up_beside_another_writer_loses_nothing() {
    simulate(async {
        for seed in 0..60 {
            // A grace as short as a put can be late.
            let lake = Lake::tidy(3, 7, 240_000);
            let acknowledged = two_processes(&lake, seed).await;
            let state = lake.read().await;
            let mut names: Vec<_> = acknowledged.into_values().collect();
            names.sort();
            assert_eq!(live(&state), names, "seed {seed}");
        }
    });
}

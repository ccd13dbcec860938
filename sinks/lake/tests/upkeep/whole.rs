//! Seeded scenarios in which all of upkeep has to do.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::UpkeepReport;
use tidegauge_model::{DAY_MS, MINUTE_MS, Tier};
use tidegauge_tables::{FileKind, Table};

use crate::common::{Lake, simulate};
use crate::life::{begin, commit, plain, rejects, settings, settled, value_bits};
use crate::rows::{bits, last_seen};
use crate::stream::Stream;

const CENTURY_MS: u64 = 36_525 * DAY_MS.cast_unsigned();

#[test]
fn tables_end_as_if_nothing_had_come_late() {
    for seed in 1..=6 {
        simulate(scenario(seed, 10));
    }
}

#[test]
fn three_quarters_late_end_alike() {
    for seed in 11..=16 {
        simulate(scenario(seed, 75));
    }
}

/// One scenario: seeded commits, passes of upkeep in between, deaths in some of them.
async fn scenario(seed: u64, late_percent: u32) {
    let lake = Lake::new();
    let mut stream = Stream::new(seed, late_percent);
    stream.most_rejects = 3;
    let mut random = SmallRng::seed_from_u64(seed ^ 0xdead);
    let mut life = begin(&lake, seed << 8, settings(&stream)).await;
    for step in 0..40 {
        let step_ms = random.random_range(0..12 * MINUTE_MS);
        let count = random.random_range(1..30);
        let samples = (0..count).map(|_| stream.sample()).collect();
        let sealed = stream.seal(samples, step_ms);
        commit(&life, sealed, &mut random).await;
        lake.pass(random.random_range(0..400_000)).await;
        match random.random_range(0..6) {
            0 | 1 => {
                life.upkeep.run_once().await.expect("a store that lives");
                check_settled(&lake, &stream, seed).await;
            }
            2 => {
                let puts = random.random_range(0..12);
                life.way.faults.die_after_puts(Some(puts));
                let _ = lake.within(900_000, life.upkeep.run_once()).await;
                life = begin(&lake, (seed << 8) + step + 1, settings(&stream)).await;
                check_settled(&lake, &stream, seed).await;
            }
            _ => {}
        }
    }
    // All closes: two days on.
    let sealed = stream.seal(vec![], 2 * DAY_MS);
    commit(&life, sealed, &mut random).await;
    for _ in 0..8 {
        life.upkeep.run_once().await.expect("a store that lives");
        check_settled(&lake, &stream, seed).await;
        lake.pass(360_000).await;
    }
    // The store in memory stamps objects with the machine's clock, far behind ours after this.
    lake.pass(CENTURY_MS).await;
    stream.most_rejects = 0;
    for _ in 0..2 {
        commit(&life, stream.seal(vec![], 1), &mut random).await;
        life.upkeep.run_once().await.expect("a store that lives");
    }
    check_whole(&lake, &stream, seed).await;
    let idle = life.upkeep.run_once().await.expect("a store that lives");
    assert_eq!(
        idle,
        UpkeepReport::default(),
        "nothing is left to do, seed {seed}"
    );
}

/// Clean windows hold what the oracle holds; samples always do.
async fn check_settled(lake: &Lake, stream: &Stream, seed: u64) {
    let state = lake.read().await;
    check_rejects(lake, stream, seed).await;
    let found = settled(lake, &state, Table::Samples, value_bits).await;
    assert_eq!(found, stream.oracle(Tier::Raw), "seed {seed}");
    let tiers = [(Tier::M1, MINUTE_MS)]
        .into_iter()
        .chain(stream.coarse.clone());
    for (tier, width) in tiers {
        let is_clean = |start: i64| {
            start + width <= stream.watermark
                && state.dirty.range(start..start + width).next().is_none()
        };
        let mut found = settled(lake, &state, Table::of(tier), bits).await;
        let mut expected = stream.oracle(tier);
        found.retain(|(_, start), _| is_clean(*start));
        expected.retain(|(_, start), _| is_clean(*start));
        assert_eq!(found, expected, "{tier:?}, seed {seed}");
    }
}

async fn check_rejects(lake: &Lake, stream: &Stream, seed: u64) {
    let found = rejects(lake, &lake.read().await).await;
    let mut expected = stream.rejects.clone();
    expected.sort_unstable();
    assert_eq!(found, expected, "rejects, seed {seed}");
}

/// After all is compacted: no mark, no overlay, few files, and no object beside them.
async fn check_whole(lake: &Lake, stream: &Stream, seed: u64) {
    let state = lake.read().await;
    assert!(state.dirty.is_empty(), "seed {seed}");
    let found = plain(lake, &state, Table::Samples, value_bits).await;
    assert_eq!(found, stream.oracle(Tier::Raw), "seed {seed}");
    let found = plain(lake, &state, Table::Series, last_seen).await;
    assert_eq!(found, stream.series_oracle(), "seed {seed}");
    let coarse = stream.coarse.iter().map(|(tier, _)| *tier);
    for tier in [Tier::M1].into_iter().chain(coarse) {
        let found = plain(lake, &state, Table::of(tier), bits).await;
        assert_eq!(found, stream.oracle(tier), "{tier:?}, seed {seed}");
    }
    check_rejects(lake, stream, seed).await;
    for table in Table::ALL {
        let days: BTreeSet<_> = state.files(table).map(|file| file.date).collect();
        assert_eq!(
            state.files(table).count(),
            days.len(),
            "{table:?}, seed {seed}"
        );
        assert!(state.files(table).all(|file| file.kind == FileKind::Main));
        let listing = lake.disk.list(Some(&Path::from(table.name())));
        let objects: Vec<_> = listing.try_collect().await.expect("memory");
        let is_data = |path: &Path| !path.as_ref().contains("_delta_log");
        let data = objects.iter().filter(|object| is_data(&object.location));
        assert_eq!(
            data.count(),
            days.len(),
            "objects of {table:?}, seed {seed}"
        );
    }
}

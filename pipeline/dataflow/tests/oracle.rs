//! Final rows are a function of the set of samples alone: seeded input that is late, doubled,
//! shuffled, resetting and ahead of the clock, against the naive oracle, for any number of workers
//! and processes and over restarts.

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use support::{Life, Sample, Script, Shelves, hours, minutes, series, settle};
use tidegauge_dataflow::Settings;
use tidegauge_model::{HOUR_MS, MINUTE_MS, Partition, Rollup, SeriesId, Tier, floor, stale};

const START: i64 = 1_613_700_000_000;
const SERIES: usize = 40;
const PARTITIONS: i32 = 4;

/// What producers do.
#[derive(Clone, Copy)]
struct Weather {
    seed: u64,
    late: f64,
    doubled: f64,
    ahead: f64,
}

/// An hour and more of samples at 5 s, dealt to partitions by series, and disturbed.
fn scripts(weather: Weather) -> Vec<Script> {
    let mut rng = SmallRng::seed_from_u64(weather.seed);
    let mut scripts: Vec<Script> = (0..PARTITIONS)
        .map(|index| Script {
            partition: Partition {
                topic: "metrics".into(),
                index,
            },
            samples: Vec::new(),
        })
        .collect();
    let mut delayed: BTreeMap<i64, Vec<(usize, Sample)>> = BTreeMap::new();
    for step in 0..(95 * 12) {
        let now = START + step * 5_000;
        let mut order: Vec<usize> = (0..SERIES).collect();
        order.shuffle(&mut rng);
        for n in order {
            let to = n % PARTITIONS as usize;
            let mut time = now - rng.random_range(0..4_000);
            if rng.random_bool(weather.ahead) {
                time += 365 * 86_400_000;
            }
            let value = match rng.random_range(0..100) {
                0 => stale(),
                1 => f64::from(rng.random_range(0..5)),
                _ => {
                    f64::from(i32::try_from(step).expect("small"))
                        + f64::from(rng.random_range(0..9)) / 7.0
                }
            };
            let sample = Sample {
                series: n,
                time,
                value,
            };
            if rng.random_bool(weather.late) {
                let until = step + rng.random_range(1..1_440);
                delayed.entry(until).or_default().push((to, sample));
            } else {
                scripts[to].samples.push(sample);
            }
            if rng.random_bool(weather.doubled) {
                let again = Sample {
                    value: value + f64::from(rng.random_range(0..2)),
                    ..sample
                };
                let until = step + rng.random_range(0..40);
                delayed.entry(until).or_default().push((to, again));
            }
        }
        let later = delayed.split_off(&(step + 1));
        for (to, sample) in std::mem::replace(&mut delayed, later)
            .into_values()
            .flatten()
        {
            scripts[to].samples.push(sample);
        }
    }
    for (to, sample) in delayed.into_values().flatten() {
        scripts[to].samples.push(sample);
    }
    scripts
}

fn settings() -> Settings {
    Settings {
        commit_bytes: 12 * 4_000,
        silence_ms: i64::MAX / 4,
        ..Settings::default()
    }
}

/// Plays scripts from where the shelves have them to their end, in pieces of random length.
fn live(scripts: &[Script], hosts: &[String], workers: usize, seed: u64, from: Shelves) -> Shelves {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xdead);
    let mut at: Vec<usize> = scripts
        .iter()
        .map(|script| {
            from.next
                .get(&script.partition)
                .map_or(0, |&next| usize::try_from(next).expect("positive"))
        })
        .collect();
    let mut life = Life::start(&settings(), hosts, workers, from, SERIES);
    for script in scripts {
        life.register(&script.partition, 15_000);
    }
    let end = START + 100 * MINUTE_MS;
    let mut clock = START;
    while scripts
        .iter()
        .zip(&at)
        .any(|(script, &at)| at < script.samples.len())
    {
        for (script, at) in scripts.iter().zip(&mut at) {
            let to = (*at + rng.random_range(0..300)).min(script.samples.len());
            let newest = script.samples[..to]
                .iter()
                .map(|it| it.time)
                .filter(|&it| it < end)
                .max();
            clock = clock.max(newest.unwrap_or(START) + 500);
            life.play(script, *at..to, clock, false);
            *at = to;
        }
        life.tick(clock, rng.random_bool(0.2));
    }
    for (script, &at) in scripts.iter().zip(&at) {
        life.play(script, at..at, end, true);
    }
    life.tick(end, true);
    life.stop(end + 1_000)
}

/// Rows that count but for the dirty windows, which upkeep makes from raw.
fn check(shelves: &Shelves, scripts: &[Script], seed: u64) {
    let all = scripts.iter().flat_map(|it| &it.samples);
    let oracle = settle(all.map(|it| (series(it.series).id(), it.time, it.value)));
    let bits = |rows: &BTreeMap<(SeriesId, i64), f64>| -> Vec<_> {
        rows.iter()
            .map(|(key, value)| (*key, value.to_bits()))
            .collect()
    };
    assert_eq!(bits(&shelves.settled()), bits(&oracle), "raw, seed {seed}");
    let unique = settle(shelves.main.iter().copied()).len();
    assert_eq!(
        unique,
        shelves.main.len(),
        "main rows repeat nothing, seed {seed}"
    );

    let dirty = shelves.dirty();
    let watermark = shelves
        .drafts
        .last()
        .and_then(|draft| draft.watermark)
        .expect("one");
    let minutes = minutes(&oracle);
    let mut clean = 0;
    for (tier, width, rows) in [
        (Tier::M1, MINUTE_MS, &minutes),
        (Tier::H1, HOUR_MS, &hours(&minutes)),
    ] {
        let is_dirty = |start: i64| dirty.range(start..start + width).next().is_some();
        let mut written: BTreeMap<(SeriesId, i64), Rollup> = BTreeMap::new();
        for &(series, start, row) in shelves.rollups.get(&tier).into_iter().flatten() {
            let before = written.insert((series, start), row);
            assert!(
                before.is_none(),
                "{tier:?} row of {start} written twice, seed {seed}"
            );
            assert!(
                start + width <= watermark,
                "{tier:?} row of {start} is closed"
            );
        }
        for (key, row) in rows.iter().filter(|(key, _)| key.1 + width <= watermark) {
            if is_dirty(key.1) {
                continue;
            }
            clean += 1;
            let written = written.remove(key);
            assert_eq!(
                written.map(|row| format!("{row:?}")),
                Some(format!("{row:?}")),
                "{tier:?} {key:?}, seed {seed}"
            );
        }
        written.retain(|key, _| !is_dirty(key.1));
        assert!(
            written.is_empty(),
            "rows that no sample asks for, seed {seed}: {written:?}"
        );
    }
    assert!(
        clean > 0 || dirty.len() > 60,
        "something was checked, seed {seed}"
    );
    for (id, time) in oracle.keys() {
        assert!(
            shelves
                .seen
                .contains(&(*id, floor(*time, 86_400_000) / 86_400_000))
        );
    }
    let counted: u64 = shelves
        .drafts
        .iter()
        .map(|draft| draft.counts.samples)
        .sum();
    let sent: usize = scripts.iter().map(|it| it.samples.len()).sum();
    assert!(
        counted >= sent as u64,
        "every sample is counted, seed {seed}"
    );
}

#[test]
fn calm_input_closes_every_window_clean() {
    let scripts = scripts(Weather {
        seed: 1,
        late: 0.0,
        doubled: 0.0,
        ahead: 0.0,
    });
    let shelves = live(&scripts, &[], 1, 1, Shelves::default());
    check(&shelves, &scripts, 1);
    assert!(shelves.overlay.is_empty(), "nothing repeats");
    assert!(
        shelves.rollups[&Tier::H1].len() >= SERIES,
        "an hour has closed"
    );
}

#[test]
fn any_number_of_workers_gives_the_same_rows() {
    for (seed, workers) in [(2, 1), (3, 2), (4, 4)] {
        let weather = Weather {
            seed,
            late: 0.1,
            doubled: 0.05,
            ahead: 0.001,
        };
        let scripts = scripts(weather);
        check(
            &live(&scripts, &[], workers, seed, Shelves::default()),
            &scripts,
            seed,
        );
    }
}

#[test]
fn mostly_late_input_loses_nothing() {
    let scripts = scripts(Weather {
        seed: 5,
        late: 0.75,
        doubled: 0.3,
        ahead: 0.0,
    });
    check(&live(&scripts, &[], 2, 5, Shelves::default()), &scripts, 5);
}

#[test]
fn two_processes_give_the_same_rows() {
    let hosts: Vec<String> = (0..2)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .map(|listener| listener.local_addr().expect("bound").to_string())
        .collect();
    let scripts = scripts(Weather {
        seed: 6,
        late: 0.1,
        doubled: 0.05,
        ahead: 0.001,
    });
    check(
        &live(&scripts, &hosts, 1, 6, Shelves::default()),
        &scripts,
        6,
    );
}

#[test]
fn a_restart_from_any_commit_goes_on_as_if_nothing_had_been() {
    for seed in 10..16 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let scripts = scripts(Weather {
            seed,
            late: 0.1,
            doubled: 0.05,
            ahead: 0.001,
        });
        // A life that is cut short: whatever it did after some commit never happened.
        let whole = live(&scripts, &[], 1, seed, Shelves::default());
        let keep = rng.random_range(1..whole.drafts.len());
        let part = whole.first(keep);
        let workers = rng.random_range(1..4);
        let shelves = live(&scripts, &[], workers, seed + 100, part);
        check(&shelves, &scripts, seed);
    }
}

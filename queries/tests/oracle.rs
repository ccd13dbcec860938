//! All tables against naive settling in plain Rust, over seeded random lakes of main files, overlays,
//! repaired rows, dirty windows and expired raw data.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{DAY, Lake, Sample, float, rows, series};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Series, floor, is_stale, prefer, stale};
use tidegauge_queries::EngineSettings;
use tidegauge_tables::{Dirtied, FileKind, Table};

type Id = (String, String, i64);
type Rows = BTreeMap<Id, BTreeMap<i64, f64>>;

const WATERMARK: i64 = DAY + 3 * HOUR_MS + 20 * MINUTE_MS;

fn id(series: &Series) -> Id {
    (
        series.tenant().into(),
        series.name().into(),
        series.id().as_i64(),
    )
}

fn settle<'a>(samples: impl Iterator<Item = &'a Sample>) -> Rows {
    let mut settled = Rows::new();
    for sample in samples {
        let at = settled.entry(id(&sample.series)).or_default();
        let value = at
            .get(&sample.time)
            .map_or(sample.value, |old| prefer(*old, sample.value));
        at.insert(sample.time, value);
    }
    settled
}

fn minutes(samples: &BTreeMap<i64, f64>) -> BTreeMap<i64, Rollup> {
    let mut windows: BTreeMap<i64, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for (time, value) in samples {
        let window = windows.entry(floor(*time, MINUTE_MS)).or_default();
        window.0.push(*time);
        window.1.push(*value);
    }
    let fold = |(start, (t, v)): (i64, (Vec<i64>, Vec<f64>))| Some((start, Rollup::fold(&t, &v)?));
    windows.into_iter().filter_map(fold).collect()
}

fn wider(minutes: &BTreeMap<i64, Rollup>, width_ms: i64) -> BTreeMap<i64, Rollup> {
    let mut out: BTreeMap<i64, Rollup> = BTreeMap::new();
    for (start, row) in minutes {
        let at = floor(*start, width_ms);
        match out.get_mut(&at) {
            Some(whole) => whole.append(row),
            None => drop(out.insert(at, *row)),
        }
    }
    out
}

/// A lake, and what must come out of it.
struct World {
    lake: Lake,
    samples: Rows,
    /// By width.
    rollups: BTreeMap<i64, BTreeMap<Id, BTreeMap<i64, Rollup>>>,
    seen: BTreeMap<(Id, i64), (i64, i64)>,
}

fn all_series() -> Vec<Series> {
    let mut all = Vec::new();
    for tenant in ["acme", "default"] {
        for name in ["cpu.load", "disk", "mem.free"] {
            for host in ["a", "b", "c"] {
                all.push(series(tenant, name, &[("host", host), ("time", "x")]));
            }
        }
    }
    all
}

fn value(random: &mut SmallRng) -> f64 {
    match random.random_range(0..20) {
        0 => stale(),
        1 => f64::NAN,
        2 => f64::INFINITY,
        3 => -0.0,
        _ => f64::from(random.random_range(0..1000)) / 10.0,
    }
}

fn sample(random: &mut SmallRng, all: &[Series]) -> Sample {
    // Two days, of which the earlier will have lost its raw files.
    let day = if random.random_bool(0.1) {
        DAY - DAY_MS
    } else {
        DAY
    };
    Sample {
        series: all.choose(random).expect("series").clone(),
        time: day + random.random_range(0..4 * 3600) * 1000,
        value: value(random),
    }
}

async fn world(seed: u64) -> World {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut lake = Lake {
        page_rows: 16,
        group_rows: 100,
        ..Lake::default()
    };
    let all = all_series();
    // What comes first, each sample once; then what comes late or again.
    let mut first: Vec<Sample> = (0..1500).map(|_| sample(&mut random, &all)).collect();
    let mut known = BTreeSet::new();
    first.retain(|s| known.insert((id(&s.series), s.time)));
    let mut later: Vec<Sample> = (0..100).map(|_| sample(&mut random, &all)).collect();
    for _ in 0..60 {
        let again = first.choose(&mut random).expect("samples").clone();
        let value = if random.random_bool(0.5) {
            again.value
        } else {
            value(&mut random)
        };
        later.push(Sample { value, ..again });
    }
    // Main files by quarter of an hour or by hour; overlays anyhow.
    let mut mains: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
    for sample in &first {
        let width = if sample.time < DAY + HOUR_MS {
            HOUR_MS
        } else {
            HOUR_MS / 4
        };
        mains
            .entry(floor(sample.time, width))
            .or_default()
            .push(sample.clone());
    }
    let mut version = 1;
    let mut raw_paths = Vec::new();
    for rows in mains.into_values() {
        raw_paths.extend(lake.samples(FileKind::Main, version, rows).await);
        version += 1;
    }
    let overlays = random.random_range(1..6);
    let mut dealt: Vec<Rows2> = vec![BTreeMap::new(); overlays];
    for sample in &later {
        let overlay = &mut dealt[random.random_range(0..overlays)];
        // Within a commit the stream has settled.
        let old = overlay
            .entry((id(&sample.series), sample.time))
            .or_insert_with(|| sample.clone());
        old.value = prefer(old.value, sample.value);
    }
    for overlay in dealt {
        let rows: Vec<Sample> = overlay.into_values().collect();
        if !rows.is_empty() {
            raw_paths.extend(lake.samples(FileKind::Overlay, version, rows).await);
            version += 1;
        }
    }
    let settled = settle(first.iter().chain(&later));
    let at_first = settle(first.iter());
    let rollups = write_rollups(&mut lake, &mut random, &all, &settled, &at_first, version).await;
    lake.state.watermark = Some(WATERMARK);
    // The earlier day's raw files expire.
    let expired = (DAY - DAY_MS).div_euclid(DAY_MS);
    for path in raw_paths
        .iter()
        .filter(|p| p.starts_with(&format!("date={expired}/")))
    {
        lake.remove(Table::Samples, path);
    }
    let mut samples = settled;
    for rows in samples.values_mut() {
        rows.retain(|time, _| *time >= DAY);
    }
    let seen = write_series(&mut lake, &mut random, &all).await;
    World {
        lake,
        samples,
        rollups,
        seen,
    }
}

type Rows2 = BTreeMap<(Id, i64), Sample>;

async fn write_rollups(
    lake: &mut Lake,
    random: &mut SmallRng,
    all: &[Series],
    settled: &Rows,
    at_first: &Rows,
    mut version: u64,
) -> BTreeMap<i64, BTreeMap<Id, BTreeMap<i64, Rollup>>> {
    let by_id: BTreeMap<Id, Series> = all.iter().map(|s| (id(s), s.clone())).collect();
    let empty = BTreeMap::new();
    // A minute is dirty if what is known now differs from what its rows were made of.
    let mut dirty: BTreeSet<i64> = BTreeSet::new();
    for (series, rows) in settled {
        let before = minutes(at_first.get(series).unwrap_or(&empty));
        for (start, row) in minutes(rows) {
            if before.get(&start).map(|r| format!("{r:?}")) != Some(format!("{row:?}")) {
                dirty.insert(start);
            }
        }
    }
    // A few are dirty for no reason, and some have been repaired.
    for _ in 0..3 {
        dirty.insert(DAY + random.random_range(0..180) * MINUTE_MS);
    }
    let repaired: BTreeSet<i64> = dirty
        .iter()
        .copied()
        .filter(|_| random.random_bool(0.3))
        .collect();
    let mut wanted = BTreeMap::new();
    for (table, width_ms) in [
        (Table::Rollup1m, MINUTE_MS),
        (Table::Rollup5m, 5 * MINUTE_MS),
        (Table::Rollup1h, HOUR_MS),
    ] {
        let wide_dirty: BTreeSet<i64> = dirty
            .difference(&repaired)
            .map(|m| floor(*m, width_ms))
            .collect();
        let ever_dirty: BTreeSet<i64> = dirty.iter().map(|m| floor(*m, width_ms)).collect();
        let mut files: BTreeMap<i64, Vec<(Series, i64, Rollup)>> = BTreeMap::new();
        let mut repairs = Vec::new();
        let expected: &mut BTreeMap<Id, BTreeMap<i64, Rollup>> =
            wanted.entry(width_ms).or_default();
        for (series, rows) in settled {
            let now = wider(&minutes(rows), width_ms);
            let before = wider(&minutes(at_first.get(series).unwrap_or(&empty)), width_ms);
            let shown = expected.entry(series.clone()).or_default();
            for (start, row) in now {
                if start + width_ms > WATERMARK {
                    continue;
                }
                let expired = start < DAY;
                // Some dirty windows have no rows yet.
                let unwritten =
                    ever_dirty.contains(&start) && !expired && start % (3 * width_ms) == 0;
                let old = before.get(&start).filter(|_| !unwritten);
                if let Some(old) = old {
                    let file = files.entry(floor(start, HOUR_MS)).or_default();
                    file.push((by_id[series].clone(), start, *old));
                }
                let is_dirty = wide_dirty.contains(&start);
                if ever_dirty.contains(&start) && !is_dirty {
                    repairs.push((by_id[series].clone(), start, row));
                    shown.insert(start, row);
                } else if is_dirty && !expired {
                    shown.insert(start, row);
                } else if let Some(old) = old {
                    shown.insert(start, *old);
                }
            }
        }
        for rows in files.into_values() {
            lake.rollups(table, FileKind::Main, version, rows).await;
            version += 1;
        }
        if !repairs.is_empty() {
            lake.rollups(table, FileKind::Overlay, version, repairs)
                .await;
            version += 1;
        }
    }
    lake.state.dirty = dirty
        .difference(&repaired)
        .map(|minute| {
            let (first, last) = (version, version);
            (*minute, Dirtied { first, last })
        })
        .collect();
    wanted
}

async fn write_series(
    lake: &mut Lake,
    random: &mut SmallRng,
    all: &[Series],
) -> BTreeMap<(Id, i64), (i64, i64)> {
    let mut seen = BTreeMap::new();
    for (version, kind) in [
        (1, FileKind::Main),
        (2, FileKind::Overlay),
        (3, FileKind::Overlay),
    ] {
        for day in [DAY - DAY_MS, DAY] {
            let mut rows = Vec::new();
            for series in all {
                if kind == FileKind::Main || random.random_bool(0.4) {
                    let first = day + random.random_range(0..HOUR_MS);
                    let last = first + random.random_range(0..HOUR_MS);
                    rows.push((series.clone(), first, last));
                    let both = seen.entry((id(series), day)).or_insert((first, last));
                    *both = (both.0.min(first), both.1.max(last));
                }
            }
            if !rows.is_empty() {
                lake.series(kind, version, rows).await;
            }
        }
    }
    seen
}

fn settings(random: &mut SmallRng, all_tenants: bool) -> EngineSettings {
    EngineSettings {
        threads: random.random_range(1..5),
        all_tenants,
        ..EngineSettings::default()
    }
}

/// A filter in SQL and as it is meant.
#[derive(Debug)]
struct Filter {
    sql: String,
    name: Option<&'static str>,
    id: Option<i64>,
    from: i64,
    to: i64,
}

impl Filter {
    fn new(random: &mut SmallRng, all: &[Series]) -> Self {
        let mut filter = Self {
            sql: "true".into(),
            name: None,
            id: None,
            from: i64::MIN,
            to: i64::MAX,
        };
        if random.random_bool(0.4) {
            let name = *["cpu.load", "disk", "mem.free"]
                .choose(random)
                .expect("names");
            filter.sql += &format!(" and name = '{name}'");
            filter.name = Some(name);
        }
        if random.random_bool(0.3) {
            let id = all.choose(random).expect("series").id().as_i64();
            filter.sql += &format!(" and series_id = {id}");
            filter.id = Some(id);
        }
        if random.random_bool(0.6) {
            filter.from = DAY + random.random_range(-3600..2 * 3600) * 1000;
            filter.to = filter.from + random.random_range(60..2 * 3600) * 1000;
            filter.sql += &format!(
                " and time >= to_timestamp_millis({}) and time < to_timestamp_millis({})",
                filter.from, filter.to
            );
        }
        filter
    }

    fn passes(&self, id: &Id, time: i64) -> bool {
        self.name.is_none_or(|name| name == id.1)
            && self.id.is_none_or(|wanted| wanted == id.2)
            && self.from <= time
            && time < self.to
    }
}

fn day(time: i64) -> String {
    if time < DAY {
        "2026-11-20".into()
    } else {
        "2026-11-21".into()
    }
}

fn opt(value: Option<i64>) -> String {
    value.map_or("NULL".into(), |v| v.to_string())
}

fn sample_rows(world: &World, tenant: Option<&str>, filter: &Filter) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for (id, rows) in world
        .samples
        .iter()
        .filter(|(id, _)| tenant.is_none_or(|t| t == id.0))
    {
        for (time, value) in rows.iter().filter(|(time, _)| filter.passes(id, **time)) {
            let value = if is_stale(*value) {
                "NULL".into()
            } else {
                float(*value)
            };
            out.push(vec![
                id.0.clone(),
                day(*time),
                id.1.clone(),
                id.2.to_string(),
                time.to_string(),
                value,
            ]);
        }
    }
    out
}

fn rollup_rows(
    world: &World,
    width: i64,
    tenant: Option<&str>,
    filter: &Filter,
) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for (id, rows) in world.rollups[&width]
        .iter()
        .filter(|(id, _)| tenant.is_none_or(|t| t == id.0))
    {
        for (time, r) in rows.iter().filter(|(time, _)| filter.passes(id, **time)) {
            let some = r.count > 0;
            let number = |v: f64| if some { float(v) } else { "NULL".into() };
            out.push(vec![
                id.0.clone(),
                day(*time),
                id.1.clone(),
                id.2.to_string(),
                time.to_string(),
                r.count.to_string(),
                number(r.sum),
                number(r.min),
                number(r.max),
                number(r.first),
                opt(some.then_some(r.first_time)),
                number(r.last),
                opt(some.then_some(r.last_time)),
                r.resets.to_string(),
                float(r.reset_adj),
                opt(r.stale_time),
            ]);
        }
    }
    out
}

#[tokio::test]
async fn every_table_equals_naive_settling() {
    for seed in 0..12 {
        let world = world(seed).await;
        let random = &mut SmallRng::seed_from_u64(seed + 1000);
        let all = all_series();
        for all_tenants in [false, true] {
            let engine = world.lake.engine(settings(random, all_tenants));
            let tenant = (!all_tenants).then_some("default");
            for _ in 0..4 {
                let filter = Filter::new(random, &all);
                let order = "order by tenant, name, series_id, time";
                let query = format!("select * from samples where {} {order}", filter.sql);
                let wanted = sample_rows(&world, tenant, &filter);
                check(seed, &query, &rows(&engine, &query).await, &wanted);
                for (table, width) in [
                    ("rollup_1m", MINUTE_MS),
                    ("rollup_5m", 5 * MINUTE_MS),
                    ("rollup_1h", HOUR_MS),
                ] {
                    let query = format!("select * from {table} where {} {order}", filter.sql);
                    let wanted = rollup_rows(&world, width, tenant, &filter);
                    check(seed, &query, &rows(&engine, &query).await, &wanted);
                }
            }
            let query = "select tenant, date, name, series_id, first_seen, last_seen from series order by tenant, name, series_id, date";
            let wanted: Vec<Vec<String>> = world
                .seen
                .iter()
                .filter(|((id, _), _)| tenant.is_none_or(|t| t == id.0))
                .map(|((id, at), (first, last))| {
                    vec![
                        id.0.clone(),
                        day(*at),
                        id.1.clone(),
                        id.2.to_string(),
                        first.to_string(),
                        last.to_string(),
                    ]
                })
                .collect();
            check(seed, query, &rows(&engine, query).await, &wanted);
        }
    }
}

#[tokio::test]
async fn metric_tables_and_aggregates_equal_naive_ones() {
    for seed in 20..26 {
        let world = world(seed).await;
        let random = &mut SmallRng::seed_from_u64(seed + 1000);
        let engine = world.lake.engine(settings(random, false));
        for host in ["a", "c"] {
            let series = series("default", "cpu.load", &[("host", host), ("time", "x")]);
            let query = format!(
                "select time, value, host, label_time from raw.\"cpu.load\" where host = '{host}' order by time"
            );
            let wanted: Vec<Vec<String>> = world.samples[&id(&series)]
                .iter()
                .map(|(time, value)| {
                    let value = if is_stale(*value) {
                        "NULL".into()
                    } else {
                        float(*value)
                    };
                    vec![time.to_string(), value, host.into(), "x".into()]
                })
                .collect();
            check(seed, &query, &rows(&engine, &query).await, &wanted);
            let query = format!(
                "select time, count, avg, increase, rate from rollup_1m.\"cpu.load\" where host = '{host}' order by time"
            );
            let wanted: Vec<Vec<String>> = world.rollups[&MINUTE_MS][&id(&series)]
                .iter()
                .map(|(time, r)| {
                    let number = |v: f64| if r.count > 0 { float(v) } else { "NULL".into() };
                    let rise = r.last - r.first + r.reset_adj;
                    let avg = r.sum / r.count as f64;
                    vec![
                        time.to_string(),
                        r.count.to_string(),
                        number(avg),
                        number(rise),
                        number(rise / 60.0),
                    ]
                })
                .collect();
            check(seed, &query, &rows(&engine, &query).await, &wanted);
        }
        let query = "select count(*), count(value), min(time), max(time) from samples";
        let all: Vec<_> = world
            .samples
            .iter()
            .filter(|(id, _)| id.0 == "default")
            .collect();
        let times: Vec<i64> = all
            .iter()
            .flat_map(|(_, rows)| rows.keys().copied())
            .collect();
        let values = all
            .iter()
            .flat_map(|(_, rows)| rows.values())
            .filter(|v| !is_stale(**v))
            .count();
        let wanted = vec![
            times.len().to_string(),
            values.to_string(),
            opt(times.iter().min().copied()),
            opt(times.iter().max().copied()),
        ];
        check(seed, query, &rows(&engine, query).await, &[wanted]);
    }
}

fn check(seed: u64, query: &str, got: &[Vec<String>], wanted: &[Vec<String>]) {
    let first = got.iter().zip(wanted).find(|(got, wanted)| got != wanted);
    assert!(
        got == wanted,
        "seed {seed}: {query}\n{} rows for {}\nfirst difference: {first:#?}",
        got.len(),
        wanted.len()
    );
}

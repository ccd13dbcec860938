//! Upkeep against naive oracles: whatever comes late, twice or far ahead, and wherever the process
//! dies, the tables end as if all samples had been there from the start.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Lake, Way, simulate};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{
    CommitError, Committer, Draft, EncodeSettings, Filter, Merge, RetentionRule, RetentionSettings,
    Stored, Upkeep, UpkeepError, UpkeepReport, UpkeepSettings, data_path, encode_sealed, read_rows,
};
use tidegauge_model::{
    DAY_MS, HOUR_MS, Limits, MINUTE_MS, Rollup, RollupRuns, Sealed, Series, SeriesId, SeriesSeen,
    Tier, floor, normal, prefer, stale,
};
use tidegauge_tables::{CommitKind, Counts, FileChanges, FileKind, LakeState, Table};
use uuid::Uuid;

/// Midnight of the day the simulated clock begins at.
const MIDNIGHT: i64 = 1_795_219_200_000;
/// So that the run crosses midnight.
const START: i64 = MIDNIGHT + 21 * HOUR_MS;

const CENTURY_MS: u64 = 36_525 * DAY_MS.cast_unsigned();

type Samples = BTreeMap<(usize, i64), f64>;
type Rows = BTreeMap<(SeriesId, i64), Vec<u64>>;

/// A naive stand-in for the stream: it decides as the stream does what is late and what is written.
struct Stream {
    random: SmallRng,
    late_percent: u32,
    series: Vec<Series>,
    coarse: Vec<(Tier, i64)>,
    /// The newest time of each series that went to a `Main` file.
    last_time: Vec<i64>,
    /// What came in windows that are not closed.
    open: Samples,
    /// The minutes it has written, for coarse windows not closed.
    minutes: BTreeMap<(usize, i64), Rollup>,
    touched: BTreeSet<i64>,
    watermark: i64,
    epoch: u64,
    /// All that ever was acknowledged.
    all: Samples,
}

impl Stream {
    fn new(seed: u64, late_percent: u32) -> Self {
        let mut series: Vec<_> = (0..7)
            .map(|i| {
                let host = format!("h{i}");
                let (tenant, name) = (["a", "b"][i % 2], ["x", "y", "z"][i % 3]);
                Series::new(
                    tenant,
                    name,
                    &mut vec![("host", host.as_str())],
                    &Limits::default(),
                )
                .expect("a valid series")
            })
            .collect();
        series.sort_by(Series::file_order);
        let mut coarse = vec![(Tier::H1, HOUR_MS)];
        if seed % 2 == 1 {
            coarse.insert(0, (Tier::M5, 5 * MINUTE_MS));
        }
        Self {
            random: SmallRng::seed_from_u64(seed),
            late_percent,
            last_time: vec![i64::MIN; series.len()],
            series,
            coarse,
            open: Samples::new(),
            minutes: BTreeMap::new(),
            touched: BTreeSet::new(),
            watermark: START,
            epoch: 0,
            all: Samples::new(),
        }
    }

    fn sample(&mut self) -> (usize, i64, f64) {
        let random = &mut self.random;
        // The last series are seldom heard of: their late samples go to `Main` files.
        let series = random.random_range(0..7).min(random.random_range(0..8)) % 7;
        let time = match random.random_range(0..100) {
            n if n < self.late_percent => random.random_range(START - HOUR_MS..=self.watermark),
            99 => self.watermark + 7 * HOUR_MS,
            _ => self.watermark + random.random_range(1..20 * MINUTE_MS),
        };
        // Coarse times, so that duplicates are many.
        let time = floor(time, 10_000);
        let value = match random.random_range(0..20) {
            0 => stale(),
            1 => normal(f64::NAN),
            n => f64::from(n) + random.random::<f64>(),
        };
        (series, time, value)
    }

    /// Takes `samples` and moves the watermark by `step_ms`; what is to be committed.
    fn seal(&mut self, samples: Vec<(usize, i64, f64)>, step_ms: i64) -> (Sealed, CommitKind) {
        let (cutoff, closed) = (self.watermark + HOUR_MS, floor(self.watermark, MINUTE_MS));
        let seen = self.seen(samples.iter().map(|(series, time, _)| (*series, *time)));
        let (mut main, mut overlay) = (Samples::new(), Samples::new());
        let mut dirty = BTreeSet::new();
        let newest = self.last_time.clone();
        for (series, time, value) in samples {
            put(&mut self.all, (series, time), value);
            if time > cutoff {
                put(&mut overlay, (series, time), value);
                dirty.insert(floor(time, MINUTE_MS));
                continue;
            }
            if time > newest[series] {
                put(&mut main, (series, time), value);
                self.last_time[series] = self.last_time[series].max(time);
            } else {
                put(&mut overlay, (series, time), value);
            }
            if time < closed {
                dirty.insert(floor(time, MINUTE_MS));
            } else {
                put(&mut self.open, (series, time), value);
            }
        }
        self.touched.extend(&dirty);
        let before = self.watermark;
        self.watermark += step_ms;
        let mut sealed = Sealed {
            rollups: self.close(before),
            series: seen,
            ..Sealed::default()
        };
        for (series, one) in self.series.iter().enumerate() {
            for (from, to) in [
                (&main, &mut sealed.samples),
                (&overlay, &mut sealed.overlay),
            ] {
                let rows = from.range((series, i64::MIN)..=(series, i64::MAX));
                let (time, value): (Vec<_>, Vec<_>) = rows.map(|(key, v)| (key.1, *v)).unzip();
                to.push(one, &time, &value);
            }
        }
        for &minute in &self.touched {
            let closes = |width: i64| {
                let end = floor(minute, width) + width;
                before < end && end <= self.watermark
            };
            if self.coarse.iter().any(|(_, width)| closes(*width)) {
                dirty.insert(minute);
            }
        }
        self.epoch += 1;
        let kind = CommitKind::Stream {
            epoch: self.epoch,
            watermark: Some(self.watermark),
            cutoff,
            cuts: vec![],
            dirty: dirty.iter().map(|at| (*at, at + MINUTE_MS)).collect(),
            counts: Counts::default(),
        };
        (sealed, kind)
    }

    /// The series of samples, once a day each.
    fn seen(&self, samples: impl Iterator<Item = (usize, i64)>) -> Vec<SeriesSeen> {
        let mut days = BTreeMap::<_, (i64, i64)>::new();
        for (series, time) in samples {
            let day = days.entry((series, floor(time, DAY_MS)));
            let day = day.or_insert((time, time));
            *day = (day.0.min(time), day.1.max(time));
        }
        let seen = days.into_iter().map(|((series, _), times)| SeriesSeen {
            series: self.series[series].clone(),
            metadata: Arc::default(),
            first_seen: times.0,
            last_seen: times.1,
        });
        seen.collect()
    }

    fn series_oracle(&self) -> Rows {
        let seen = self.seen(self.all.keys().copied());
        let row = |seen: &SeriesSeen| ((seen.series.id(), seen.first_seen), last_seen(seen));
        seen.iter().map(row).collect()
    }

    /// The rows of the windows that have closed since `before`.
    fn close(&mut self, before: i64) -> Vec<(Tier, RollupRuns)> {
        let end = floor(self.watermark, MINUTE_MS);
        let (done, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|((_, time), _)| *time < end);
        self.open = open;
        let minutes = fold(&done);
        self.minutes.extend(&minutes);
        let mut tiers = vec![(Tier::M1, self.runs(&minutes))];
        for &(tier, width) in &self.coarse {
            let closes = |start: i64| before < start + width && start + width <= self.watermark;
            let mut rows = coarsen(&self.minutes, width);
            rows.retain(|(_, start), _| closes(*start));
            tiers.push((tier, self.runs(&rows)));
        }
        tiers
    }

    fn runs(&self, rows: &BTreeMap<(usize, i64), Rollup>) -> RollupRuns {
        let mut runs = RollupRuns::default();
        for ((series, start), row) in rows {
            runs.push(&self.series[*series], *start, *row);
        }
        runs
    }

    fn oracle(&self, tier: Tier) -> Rows {
        let minutes = fold(&self.all);
        match tier.width_ms() {
            None => self.named(&self.all, |value| vec![value.to_bits()]),
            Some(MINUTE_MS) => self.named(&minutes, bits),
            Some(width) => self.named(&coarsen(&minutes, width), bits),
        }
    }

    fn named<T>(&self, rows: &BTreeMap<(usize, i64), T>, bits: impl Fn(&T) -> Vec<u64>) -> Rows {
        let name = |(series, at): &(usize, i64)| (self.series[*series].id(), *at);
        rows.iter()
            .map(|(key, row)| (name(key), bits(row)))
            .collect()
    }
}

fn put(samples: &mut Samples, key: (usize, i64), value: f64) {
    let kept = samples.entry(key).or_insert(value);
    *kept = prefer(*kept, value);
}

fn fold(samples: &Samples) -> BTreeMap<(usize, i64), Rollup> {
    let mut windows = BTreeMap::<_, (Vec<i64>, Vec<f64>)>::new();
    for ((series, time), value) in samples {
        let window = windows
            .entry((*series, floor(*time, MINUTE_MS)))
            .or_default();
        window.0.push(*time);
        window.1.push(*value);
    }
    let row = |(time, value): (Vec<i64>, Vec<f64>)| Rollup::fold(&time, &value).expect("samples");
    windows
        .into_iter()
        .map(|(key, of)| (key, row(of)))
        .collect()
}

fn coarsen(minutes: &BTreeMap<(usize, i64), Rollup>, width: i64) -> BTreeMap<(usize, i64), Rollup> {
    let mut rows = BTreeMap::<_, Rollup>::new();
    for ((series, start), row) in minutes {
        rows.entry((*series, floor(*start, width)))
            .and_modify(|whole| whole.append(row))
            .or_insert(*row);
    }
    rows
}

fn bits(row: &Rollup) -> Vec<u64> {
    let doubles = [
        row.sum,
        row.min,
        row.max,
        row.first,
        row.last,
        row.reset_adj,
    ];
    let times = [row.first_time, row.last_time, row.stale_time.unwrap_or(-1)];
    let mut all = vec![row.count, row.resets];
    all.extend(doubles.map(f64::to_bits));
    all.extend(times.map(i64::cast_unsigned));
    all
}

fn last_seen(seen: &SeriesSeen) -> Vec<u64> {
    vec![seen.last_seen.cast_unsigned()]
}

/// One life of the process.
struct Life {
    way: Way,
    writer: Committer,
    upkeep: Upkeep,
}

/// Few files at once, listings each time, and rows for as good as ever.
fn settings(stream: &Stream) -> UpkeepSettings {
    UpkeepSettings {
        most_files: 8,
        sweep_every_ms: 0,
        five_minute_tier: stream.coarse.len() > 1,
        retention: RetentionSettings {
            raw_ms: i64::MAX,
            m1_ms: i64::MAX,
            m5_ms: i64::MAX,
            h1_ms: i64::MAX,
            rules: Vec::new(),
        },
        ..UpkeepSettings::default()
    }
}

async fn begin(lake: &Lake, seed: u64, settings: UpkeepSettings) -> Life {
    let way = lake.way(seed);
    let writer = lake.claim(&way).await;
    let upkeep = Upkeep::new(
        writer.clone(),
        Arc::clone(&way.store),
        settings,
        EncodeSettings::default(),
        Arc::new(lake.clock.clone()),
    )
    .expect("good settings");
    Life {
        way,
        writer,
        upkeep,
    }
}

async fn commit(life: &Life, (sealed, kind): (Sealed, CommitKind), ids: &mut SmallRng) {
    let mut id = || uuid::Builder::from_random_bytes(ids.random()).into_uuid();
    let ids: &mut dyn FnMut() -> Uuid = &mut id;
    let encoded = encode_sealed(&sealed, &EncodeSettings::default(), ids).expect("valid settings");
    let mut files = BTreeMap::<Table, FileChanges>::new();
    for one in encoded {
        let path = data_path(one.table, &one.file);
        life.way
            .store
            .put(&path, one.bytes.into())
            .await
            .expect("a store that lives");
        files.entry(one.table).or_default().add.push(one.file);
    }
    life.writer
        .commit(Draft { kind, files })
        .await
        .expect("it is the writer");
}

/// What a reader that settles finds.
async fn settled<T: Stored>(
    lake: &Lake,
    state: &LakeState,
    table: Table,
    bits: fn(&T) -> Vec<u64>,
) -> Rows {
    let files: Vec<_> = state.files(table).cloned().collect();
    let merge = Merge::<T>::open(&lake.disk, table, &files, &Filter::all()).await;
    let mut merge = merge.expect("live files are there");
    let mut rows = Rows::new();
    while let Some(series) = merge.next().await.expect("live files are ours") {
        for (at, row) in series.time.iter().zip(&series.rows) {
            rows.insert((series.key.series_id, *at), bits(row));
        }
    }
    rows
}

/// What a reader finds that only lays files side by side.
async fn plain<T: Stored>(
    lake: &Lake,
    state: &LakeState,
    table: Table,
    bits: fn(&T) -> Vec<u64>,
) -> Rows {
    let files: Vec<_> = state.files(table).cloned().collect();
    let blocks = read_rows::<T>(&lake.disk, table, &files, &Filter::all()).await;
    let mut rows = Rows::new();
    for block in blocks.expect("live files are there and ours") {
        for (key, time, of) in block.iter() {
            for (at, row) in time.iter().zip(of) {
                let twice = rows.insert((key.series_id, *at), bits(row));
                assert_eq!(twice, None, "two plain rows of {table:?} at {at}");
            }
        }
    }
    rows
}

fn value_bits(value: &f64) -> Vec<u64> {
    vec![value.to_bits()]
}

/// Clean windows hold what the oracle holds; samples always do.
async fn check_settled(lake: &Lake, stream: &Stream, seed: u64) {
    let state = lake.read().await;
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

/// One scenario: seeded commits, passes of upkeep in between, deaths in some of them.
async fn scenario(seed: u64, late_percent: u32) {
    let lake = Lake::new();
    let mut stream = Stream::new(seed, late_percent);
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
    commit(&life, stream.seal(vec![], 1), &mut random).await;
    life.upkeep.run_once().await.expect("a store that lives");
    check_whole(&lake, &stream, seed).await;
    let idle = life.upkeep.run_once().await.expect("a store that lives");
    assert_eq!(
        idle,
        UpkeepReport::default(),
        "nothing is left to do, seed {seed}"
    );
}

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

#[test]
fn what_comes_after_raw_has_expired_is_merged_into_rows() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        let at = START + 3 * MINUTE_MS;
        let samples = vec![(0, at, 1.0), (0, at + 20_000, 4.0)];
        commit(&life, stream.seal(samples, 2 * HOUR_MS), &mut random).await;
        lake.pass(u64::try_from(9 * DAY_MS).expect("positive"))
            .await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!(report.files_expired, 1, "the samples");

        commit(
            &life,
            stream.seal(vec![(0, at + 10_000, 2.0)], 0),
            &mut random,
        )
        .await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!((report.minutes_repaired, report.files_expired), (1, 1));
        let state = lake.read().await;
        assert_eq!(state.files(Table::Samples).count(), 0);
        assert!(state.dirty.is_empty());
        for table in [Table::Rollup1m, Table::Rollup1h] {
            let rows = settled::<Rollup>(&lake, &state, table, bits).await;
            let counts: Vec<_> = rows.values().map(|row| row[0]).collect();
            assert_eq!(counts, [3], "{table:?}");
        }
    });
}

#[test]
fn a_backfill_is_kept_from_its_coming() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let life = begin(&lake, 7, UpkeepSettings::default()).await;
        let at = START - 1000 * DAY_MS;
        let samples = vec![(0, at, 1.0), (0, at + 20_000, 4.0)];
        commit(&life, stream.seal(samples, 2 * HOUR_MS), &mut random).await;
        let mut expired = Vec::new();
        for _ in 0..9 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            expired.push(report.files_expired);
            lake.pass(DAY_MS.cast_unsigned()).await;
        }
        assert_eq!(
            expired,
            [0, 0, 0, 0, 0, 0, 0, 0, 1],
            "samples, after 7 days"
        );

        // What comes to the same minute now is late: rows take it in, and it goes.
        let late = stream.seal(vec![(0, at + 10_000, 2.0)], 0);
        commit(&life, late, &mut random).await;
        let report = life.upkeep.run_once().await.expect("a store that lives");
        assert_eq!((report.minutes_repaired, report.files_expired), (1, 1));
        let state = lake.read().await;
        assert_eq!(state.files(Table::Samples).count(), 0);
        let rows = settled::<Rollup>(&lake, &state, Table::Rollup1m, bits).await;
        assert_eq!(rows.values().map(|row| row[0]).collect::<Vec<_>>(), [3]);
    });
}

#[test]
fn a_metric_kept_for_less_goes_from_among_the_others() {
    simulate(async {
        let lake = Lake::new();
        let mut stream = Stream::new(2, 0);
        let mut random = SmallRng::seed_from_u64(2);
        let short = stream.series[0].name().to_owned();
        let rule = RetentionRule {
            metric: Some(short.clone()),
            raw_ms: Some(DAY_MS),
            ..RetentionRule::default()
        };
        let mut settings = UpkeepSettings::default();
        settings.retention.rules.push(rule);
        let mut life = begin(&lake, 7, settings.clone()).await;
        let at = START + 3 * MINUTE_MS;
        let samples = (0..7)
            .flat_map(|series| [(series, at, 1.0), (series, at + 20_000, 4.0)])
            .collect();
        commit(&life, stream.seal(samples, 3 * DAY_MS), &mut random).await;
        lake.pass(u64::try_from(3 * DAY_MS).expect("positive"))
            .await;
        let mut trimmed = 0;
        for _ in 0..4 {
            let report = life.upkeep.run_once().await.expect("a store that lives");
            trimmed += report.files_trimmed;
            lake.pass(360_000).await;
        }
        assert_eq!(trimmed, 1, "the day's samples, once");
        let is_short = |series: &Series| series.name() == short;
        let kept = |stream: &Stream| {
            let mut rows = stream.oracle(Tier::Raw);
            let gone: BTreeSet<SeriesId> = stream
                .series
                .iter()
                .filter(|it| is_short(it))
                .map(Series::id)
                .collect();
            rows.retain(|(id, _), _| !gone.contains(id));
            rows
        };
        let found = settled(&lake, &lake.read().await, Table::Samples, value_bits).await;
        assert!(!found.is_empty());
        assert_eq!(found, kept(&stream));

        // Late samples: of the short-lived metric merged into rows, of the others folded from raw.
        let late = (0..7).map(|series| (series, at + 10_000, 2.0)).collect();
        life = begin(&lake, 8, settings).await;
        commit(&life, stream.seal(late, 0), &mut random).await;
        for _ in 0..4 {
            life.upkeep.run_once().await.expect("a store that lives");
            lake.pass(360_000).await;
        }
        let state = lake.read().await;
        assert!(state.dirty.is_empty());
        assert_eq!(
            settled(&lake, &state, Table::Samples, value_bits).await,
            kept(&stream)
        );
        for table in [Table::Rollup1m, Table::Rollup1h] {
            let rows = settled::<Rollup>(&lake, &state, table, bits).await;
            let counts: Vec<_> = rows.values().map(|row| row[0]).collect();
            assert_eq!(counts, [3; 7], "{table:?}");
        }
    });
}

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

//! A week of commits ten seconds apart, in injected time: what files and query times come to.
//!
//! The log, upkeep and SQL are the program's own, on a folder; the stream is stood in for by rows sealed
//! in order, as nothing here depends on how they were windowed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{
    Clock, Committer, Draft, EncodeSettings, LogSettings, SystemClock, Upkeep, UpkeepSettings,
    Values, data_path, encode_sealed,
};
use tidegauge_model::{
    DAY_MS, HOUR_MS, Limits, MINUTE_MS, Rollup, RollupRuns, Sealed, Series, SeriesSeen, Tier, floor,
};
use tidegauge_queries::{Engine, EngineSettings, QueryOptions};
use tidegauge_tables::{CommitKind, Counts, FileChanges, Table as LakeTable};
use uuid::Uuid;

use crate::table::{Table, number, whole};

const HOSTS: usize = 100;
const NAMES: [&str; 2] = ["cpu_load", "mem_used"];
const STEP_MS: i64 = 10_000;
const ROUNDS: usize = 9;

/// Time that moves when it is told to.
#[derive(Clone, Debug)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Samples in order, and the rollups of what closes.
struct Sealer {
    series: Vec<Series>,
    minute: Vec<(Vec<i64>, Vec<f64>)>,
    hour: Vec<Option<Rollup>>,
    rng: SmallRng,
}

impl Sealer {
    fn new() -> Self {
        let hosts = (0..HOSTS).map(|host| format!("web-{host:03}"));
        let series = hosts.flat_map(|host| {
            NAMES.map(|name| {
                let labels = &mut vec![("host", host.as_str())];
                Series::new("default", name, labels, &Limits::default()).expect("a valid series")
            })
        });
        let mut series: Vec<_> = series.collect();
        series.sort_by(Series::file_order);
        Self {
            minute: vec![Default::default(); series.len()],
            hour: vec![None; series.len()],
            series,
            rng: SmallRng::seed_from_u64(1),
        }
    }

    /// One sample of each series at `time`, and what closes by the samples before it.
    fn seal(&mut self, time: i64) -> Sealed {
        let mut sealed = Sealed::default();
        let (closes_minute, closes_hour) = (time % MINUTE_MS == 0, time % HOUR_MS == 0);
        let (mut minutes, mut hours) = (RollupRuns::default(), RollupRuns::default());
        for (at, series) in self.series.iter().enumerate() {
            if closes_minute && let Some(row) = Rollup::fold(&self.minute[at].0, &self.minute[at].1)
            {
                minutes.push(series, time - MINUTE_MS, row);
                self.hour[at] = Some(self.hour[at].map_or(row, |mut hour| {
                    hour.append(&row);
                    hour
                }));
                self.minute[at] = Default::default();
            }
            if closes_hour && let Some(row) = self.hour[at].take() {
                hours.push(series, time - HOUR_MS, row);
            }
            let value = f64::from(self.rng.random_range(0..10_000_u32)) / 100.0;
            self.minute[at].0.push(time);
            self.minute[at].1.push(value);
            sealed.samples.push(series, &[time], &[value]);
            if time % DAY_MS == 0 {
                sealed.series.push(SeriesSeen {
                    series: series.clone(),
                    metadata: Arc::default(),
                    first_seen: time,
                    last_seen: time,
                });
            }
        }
        sealed.rollups = vec![(Tier::M1, minutes), (Tier::H1, hours)];
        sealed
    }
}

/// Runs it in `folder` and says after each of `days` what it has come to.
pub(crate) fn measure(folder: &Path, days: i64) -> Table {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run(folder, days))
}

async fn run(folder: &Path, days: i64) -> Table {
    // The next midnight: the folder stamps objects by its own clock, by which upkeep tells their age.
    let start = floor(SystemClock.now_ms(), DAY_MS) + DAY_MS;
    let clock = Hand(Arc::new(AtomicI64::new(start)));
    let store: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(folder).expect("the folder can be written"));
    let claim = Committer::claim(
        Arc::clone(&store),
        Arc::new(clock.clone()),
        SmallRng::seed_from_u64(2),
        LogSettings::default(),
        Values::Plain,
    );
    let committer = claim.await.expect("nobody else is there").0;
    let settings = UpkeepSettings::default();
    let every = i64::try_from(settings.interval_ms).expect("short");
    let upkeep = Upkeep::new(
        committer.clone(),
        Arc::clone(&store),
        settings,
        EncodeSettings::default(),
        Arc::new(clock.clone()),
    )
    .expect("the defaults are good");
    let engine = Engine::new(
        EngineSettings::default(),
        committer.watch(),
        Arc::clone(&store),
        "",
    )
    .expect("the defaults are good");
    let mut sealer = Sealer::new();
    let title = format!(
        "{days} days of commits 10 s apart in injected time, {} series at 10 s",
        sealer.series.len()
    );
    let head = [
        "after day",
        "commits",
        "live files",
        "objects",
        "last hour ms",
        "an hour of day 1 ms",
        "max of 1m over 24 h ms",
        "wall s",
    ];
    let mut table = Table::new(&title, &head);
    let began = Instant::now();
    for step in 0..days * (DAY_MS / STEP_MS) {
        let time = start + step * STEP_MS;
        clock.0.store(time, Ordering::Relaxed);
        commit(&committer, &*store, &sealer.seal(time), (step, time)).await;
        committer.project().await;
        committer.keep().await.expect("the store is there");
        if step * STEP_MS % every == 0 {
            upkeep.run_once().await.expect("the store is there");
        }
        // Just before a day ends its last hours are as they were committed: the worst moment.
        if (time + STEP_MS) % DAY_MS == 0 {
            let state = committer.state();
            let live: usize = LakeTable::ALL
                .iter()
                .map(|table| state.files(*table).count())
                .sum();
            let hour = |from: i64| {
                let (from, to) = (timestamp(from), timestamp(from + HOUR_MS));
                format!(
                    "SELECT host, avg(value) FROM raw.cpu_load WHERE time >= {from} AND time < {to} GROUP BY 1"
                )
            };
            let day = format!(
                "SELECT host, max(max) FROM rollup_1m.cpu_load WHERE time >= {} GROUP BY 1",
                timestamp(time - DAY_MS)
            );
            let row = vec![
                ((time + STEP_MS - start) / DAY_MS).to_string(),
                state.version.unwrap_or(0).to_string(),
                live.to_string(),
                objects(folder).to_string(),
                median_ms(&engine, &hour(time - HOUR_MS)).await,
                median_ms(&engine, &hour(start + 12 * HOUR_MS)).await,
                median_ms(&engine, &day).await,
                format!("{:.0}", began.elapsed().as_secs_f64()),
            ];
            eprintln!("week: {}", row.join("  "));
            table.row(row);
        }
    }
    let state = committer.state();
    let rows: u64 = state.files(LakeTable::Samples).map(|file| file.rows).sum();
    assert_eq!(
        rows,
        days.cast_unsigned() * 8_640 * sealer.series.len() as u64,
        "nothing is lost"
    );
    table.note(format!(
        "{} samples; the queries stand for 100 hosts each",
        whole(number(rows))
    ));
    table
}

async fn commit(
    committer: &Committer,
    store: &dyn ObjectStore,
    sealed: &Sealed,
    (step, time): (i64, i64),
) {
    let mut ids = SmallRng::seed_from_u64(step.cast_unsigned());
    let mut id = || uuid::Builder::from_random_bytes(ids.random()).into_uuid();
    let ids: &mut dyn FnMut() -> Uuid = &mut id;
    let encoded = encode_sealed(sealed, &EncodeSettings::default(), ids).expect("good settings");
    let mut files = BTreeMap::<LakeTable, FileChanges>::new();
    for one in encoded {
        let path = data_path(one.table, &one.file);
        store
            .put(&path, one.bytes.into())
            .await
            .expect("the folder can be written");
        files.entry(one.table).or_default().add.push(one.file);
    }
    let kind = CommitKind::Stream {
        epoch: step.cast_unsigned() + 1,
        watermark: Some(floor(time, MINUTE_MS)),
        cutoff: time + MINUTE_MS,
        cuts: Vec::new(),
        dirty: Vec::new(),
        counts: Counts::default(),
    };
    let committed = committer.commit(Draft { kind, files }).await;
    committed.expect("it is the writer");
}

fn timestamp(ms: i64) -> String {
    format!("to_timestamp_millis({ms})")
}

/// The median of some rounds of the query's whole time.
async fn median_ms(engine: &Engine, query: &str) -> String {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let answer = engine.sql(query, &QueryOptions::default()).await;
        let rows = answer.expect("a good query").collect().await.expect("rows");
        assert_eq!(
            rows.iter().map(|batch| batch.num_rows()).sum::<usize>(),
            HOSTS,
            "{query}"
        );
        took.push(began.elapsed());
    }
    took.sort_unstable();
    format!("{:.1}", took[ROUNDS / 2].as_secs_f64() * 1e3)
}

/// Files below a folder.
fn objects(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("it can be read");
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("it can be read").path();
        if path.is_dir() { objects(&path) } else { 1 }
    };
    entries.map(count).sum()
}

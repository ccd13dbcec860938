//! `demo_lake URL COMMITS [ENDPOINT]`: writes a small lake of real Parquet files with all tables,
//! checkpoints and a cleaned-up log, for other engines to be tried on, and says how long commits
//! took. `tests/foreign.py` reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{
    Clock, Committer, Draft, EncodeSettings, LogSettings, StoreSettings, SystemClock,
    encode_sealed, open_store,
};
use tidegauge_model::{
    Limits, MINUTE_MS, Metadata, Partition, Reject, RejectReason, Rollup, RollupRuns, Runs, Sealed,
    Series, SeriesSeen, Tier, floor,
};
use tidegauge_tables::{CommitKind, FileChanges, Table, paths};
use uuid::Uuid;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: demo_lake URL COMMITS [ENDPOINT]";
    let url = arguments.next().ok_or(usage)?;
    let commits: u64 = arguments.next().ok_or(usage)?.parse()?;
    let endpoint = arguments.next();
    let settings = StoreSettings {
        url,
        path_style: endpoint.is_some(),
        allow_http: endpoint.is_some(),
        endpoint,
        ..StoreSettings::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut rng = SmallRng::seed_from_u64(clock.now_ms().unsigned_abs());
    let store = open_store(&settings, Arc::clone(&clock), SmallRng::from_rng(&mut rng))?;
    store.probe(id(&mut rng)).await?;
    let log = LogSettings {
        log_grace_ms: 0,
        ..LogSettings::default()
    };
    let objects = Arc::clone(&store.objects);
    let begun = Instant::now();
    let (committer, state) = Committer::claim(
        objects,
        Arc::clone(&clock),
        SmallRng::from_rng(&mut rng),
        log,
    )
    .await?;
    println!(
        "claimed as generation {} in {:?}",
        state.generation,
        begun.elapsed()
    );
    let mut spans = Vec::new();
    for epoch in state.epoch..state.epoch + commits {
        let draft = put_files(&*store.objects, epoch, &mut rng).await?;
        let begun = Instant::now();
        committer.commit(draft).await?;
        spans.push(begun.elapsed());
        committer.project().await;
        committer.keep().await?;
    }
    committer.finish().await?;
    report(&mut spans);
    reopen(&committer, &*store.objects).await
}

async fn put_files(
    store: &dyn ObjectStore,
    epoch: u64,
    rng: &mut SmallRng,
) -> Result<Draft, Failure> {
    let sealed = sealed(epoch)?;
    let counts = tidegauge_tables::Counts {
        samples: sealed.samples.time.len() as u64,
        ..Default::default()
    };
    let mut files: BTreeMap<Table, FileChanges> = BTreeMap::new();
    for encoded in encode_sealed(&sealed, &EncodeSettings::default(), &mut || id(rng))? {
        let path = format!("{}/{}", encoded.table.name(), encoded.file.path);
        store.put(&path.into(), encoded.bytes.into()).await?;
        files
            .entry(encoded.table)
            .or_default()
            .add
            .push(encoded.file);
    }
    Ok(Draft {
        kind: CommitKind::Stream {
            epoch: epoch + 1,
            watermark: None,
            cutoff: 0,
            cuts: vec![],
            dirty: vec![],
            counts,
        },
        files,
    })
}

/// Ten series of six samples, their row of one minute, and a reject.
fn sealed(epoch: u64) -> Result<Sealed, Failure> {
    let start = floor(1_795_219_200_000, MINUTE_MS) + i64::try_from(epoch)? * MINUTE_MS;
    let mut series = (0..10).map(one_series).collect::<Result<Vec<_>, _>>()?;
    series.sort_by(Series::file_order);
    let (mut sealed, mut rows) = (Sealed::default(), RollupRuns::default());
    for series in &series {
        let time: Vec<i64> = (0..6).map(|i| start + i * 10_000).collect();
        let value: Vec<f64> = (0..6).map(f64::from).collect();
        sealed.samples.push(series, &time, &value);
        rows.push(
            series,
            start,
            Rollup::fold(&time, &value).ok_or("no samples")?,
        );
        sealed.series.push(SeriesSeen {
            series: series.clone(),
            metadata: Arc::new(Metadata::default()),
            first_seen: start,
            last_seen: start + 50_000,
        });
    }
    sealed.overlay = Runs::default();
    sealed.rollups = vec![
        (Tier::M1, rows.clone()),
        (Tier::M5, rows.clone()),
        (Tier::H1, rows),
    ];
    sealed.rejects.push(Reject {
        tenant: "default".into(),
        partition: Partition {
            topic: "metrics".into(),
            index: 0,
        },
        offset: i64::try_from(epoch)?,
        time: start,
        reason: RejectReason::Malformed,
        detail: "not JSON".into(),
        bytes: b"{".to_vec(),
    });
    Ok(sealed)
}

fn one_series(number: u32) -> Result<Series, Failure> {
    let host = format!("web-{number:02}");
    let mut labels = vec![("host", host.as_str())];
    Ok(Series::new(
        "default",
        "cpu.load",
        &mut labels,
        &Limits::default(),
    )?)
}

fn report(spans: &mut [Duration]) {
    spans.sort();
    let at = |share: usize| spans.get(spans.len() * share / 100).or(spans.last());
    println!(
        "{} commits: p50 {:?}, p99 {:?}",
        spans.len(),
        at(50),
        at(99)
    );
}

async fn reopen(committer: &Committer, store: &dyn ObjectStore) -> Result<(), Failure> {
    let state = committer.state();
    for table in Table::ALL {
        let rows: u64 = state.files(table).map(|file| file.rows).sum();
        println!(
            "{} {} files {rows} rows",
            table.name(),
            state.files(table).count()
        );
    }
    let first = store.head(&paths::entry(Table::Samples, 0)).await;
    println!(
        "entry 0 of the log is {}",
        if first.is_ok() { "there" } else { "cleaned up" }
    );
    Ok(())
}

fn id(rng: &mut SmallRng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid()
}

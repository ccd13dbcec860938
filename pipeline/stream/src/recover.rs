//! Recovery: the open windows of an earlier life, rebuilt from committed rows.
//!
//! Read are the samples of minutes not yet closed and the 1-minute rows of hours not yet closed: the
//! newest minutes and at most an hour of rollups, whatever Kafka holds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use object_store::ObjectStore;
use tidegauge_dataflow::{Recovered, RecoveredSeries, Settings, rebuild_from};
use tidegauge_lake::{Filter, Merge, Stored};
use tidegauge_model::{DAY_MS, MINUTE_MS, Rollup, SeriesId, SeriesSeen, Tier, Window, floor};
use tidegauge_tables::{LakeState, Table};

use crate::error::StreamError;

/// What each of `peers` workers starts from.
///
/// # Errors
/// If the lake can't be read, or has rows of a series that it does not describe.
pub async fn recover(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    settings: &Settings,
    peers: usize,
) -> Result<Vec<Recovered>, StreamError> {
    let coarse = settings.coarse_tiers();
    let from = state
        .watermark
        .map_or(i64::MIN, |watermark| rebuild_from(watermark, &coarse));
    let base = Recovered {
        watermark: state.watermark,
        epoch: state.epoch,
        touched: state
            .dirty
            .range(from..)
            .map(|(minute, _)| *minute)
            .collect(),
        series: Vec::new(),
    };
    let mut workers = vec![base; peers];
    for (series, open) in open_windows(state, store, from).await? {
        let worker = usize::try_from(series.series.id().0 % peers as u64).expect("an index");
        workers[worker].series.push(open.into_recovered(series));
    }
    Ok(workers)
}

/// One series' rows in open windows.
#[derive(Default)]
struct Open {
    time: Vec<i64>,
    value: Vec<f64>,
    minutes: Vec<(i64, Rollup)>,
}

impl Open {
    fn into_recovered(self, seen: SeriesSeen) -> RecoveredSeries {
        let newest_row = self
            .minutes
            .last()
            .map(|(_, row)| row.last_time.max(row.stale_time.unwrap_or(i64::MIN)));
        RecoveredSeries {
            series: seen.series,
            metadata: seen.metadata,
            last_time: self
                .time
                .last()
                .copied()
                .max(newest_row)
                .unwrap_or(i64::MIN),
            last_value: self
                .value
                .iter()
                .rev()
                .copied()
                .find(|value| !tidegauge_model::is_stale(*value))
                .or(self.minutes.last().map(|(_, row)| row.last)),
            time: self.time,
            value: self.value,
            minutes: self.minutes,
        }
    }
}

async fn open_windows(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    from: i64,
) -> Result<Vec<(SeriesSeen, Open)>, StreamError> {
    // What is past the last cutoff was quarantined, and is upkeep's to fold.
    let Some(cutoff) = state.cutoff else {
        return Ok(Vec::new());
    };
    let minute = state
        .watermark
        .map_or(i64::MIN, |watermark| floor(watermark, MINUTE_MS));
    let mut open: BTreeMap<SeriesId, Open> = BTreeMap::new();
    let samples = Window {
        start: minute,
        end: cutoff.saturating_add(1),
    };
    let mut merge = merged::<f64>(state, store, Table::Samples, &Filter::window(samples)).await?;
    while let Some(rows) = merge.next().await? {
        let series = open.entry(rows.key.series_id).or_default();
        series.time = rows.time;
        series.value = rows.rows;
    }
    if from < minute {
        let minutes = Window {
            start: from,
            end: minute,
        };
        let table = Table::of(Tier::M1);
        let mut merge = merged::<Rollup>(state, store, table, &Filter::window(minutes)).await?;
        while let Some(rows) = merge.next().await? {
            let series = open.entry(rows.key.series_id).or_default();
            series.minutes = rows.time.into_iter().zip(rows.rows).collect();
        }
    }
    described(state, store, from.min(minute), cutoff, open).await
}

/// Finds the labels: a series is in `series` for each day on which it has samples.
async fn described(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    from: i64,
    to: i64,
    mut open: BTreeMap<SeriesId, Open>,
) -> Result<Vec<(SeriesSeen, Open)>, StreamError> {
    let only: HashSet<SeriesId> = open.keys().copied().collect();
    let window = Window {
        start: if from == i64::MIN {
            from
        } else {
            floor(from, DAY_MS)
        },
        end: to.saturating_add(1),
    };
    let filter = Filter {
        only: Some(Arc::new(only)),
        ..Filter::window(window)
    };
    let mut merge = merged::<SeriesSeen>(state, store, Table::Series, &filter).await?;
    let mut seen: HashMap<SeriesId, SeriesSeen> = HashMap::new();
    while let Some(rows) = merge.next().await? {
        seen.extend(rows.rows.into_iter().map(|row| (row.series.id(), row)));
    }
    let mut described = Vec::with_capacity(open.len());
    while let Some((id, rows)) = open.pop_first() {
        let seen = seen.remove(&id).ok_or(StreamError::UnknownSeries(id))?;
        described.push((seen, rows));
    }
    Ok(described)
}

async fn merged<T: Stored>(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    table: Table,
    filter: &Filter,
) -> Result<Merge<T>, StreamError> {
    let files: Vec<_> = state
        .files(table)
        .filter(|file| filter.wants_file(file))
        .map(Arc::clone)
        .collect();
    Ok(Merge::open(store, table, &files, filter).await?)
}

//! Recovery: the open windows of an earlier life, rebuilt from committed rows.
//!
//! Read are the samples of minutes not yet closed, the 1-minute rows of hours not yet closed, and, of as
//! long as silent series are remembered, the 1-hour rows and the late samples that no row has yet,
//! whatever Kafka holds.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use object_store::ObjectStore;
use tidegauge_dataflow::{
    NONE_OPEN, OpenWindows, Recovered, RecoveredSeries, Settings, fold_open, rebuild_from,
};
use tidegauge_lake::{Filter, Merge, Merged, RowKey, Stored};
use tidegauge_model::{
    DAY_MS, MINUTE_MS, Rollup, SeriesId, SeriesSeen, Tier, Window, floor, is_stale, prefer,
};
use tidegauge_tables::{DataFile, LakeState, Table};

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
    // As long as a life that goes on remembers a silent series.
    let since = from.saturating_sub(settings.silence_ms.saturating_mul(2));
    for (series, open) in open_windows(state, store, from, since, &coarse).await? {
        let worker = usize::try_from(series.series.id().0 % peers as u64).expect("an index");
        workers[worker].series.push(open.into_recovered(series));
    }
    Ok(workers)
}

/// One series' open windows, and how far it has come.
struct Open {
    time: Vec<i64>,
    value: Vec<f64>,
    newest: Newest,
    coarse: OpenWindows,
}

impl Open {
    /// Whether no window is open.
    fn is_silent(&self) -> bool {
        self.time.is_empty() && self.coarse.iter().all(|open| open.0 == NONE_OPEN)
    }

    fn into_recovered(self, seen: SeriesSeen) -> RecoveredSeries {
        RecoveredSeries {
            series: seen.series,
            metadata: seen.metadata,
            last_time: self.newest.time,
            last_value: self.newest.value,
            time: self.time,
            value: self.value,
            coarse: self.coarse,
        }
    }
}

/// Files of all tables are sorted by the same key, so they are read side by side.
async fn open_windows(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    from: i64,
    since: i64,
    coarse: &[Tier],
) -> Result<Vec<(SeriesSeen, Open)>, StreamError> {
    // What is past the last cutoff was quarantined, and is upkeep's to fold.
    let Some(cutoff) = state.cutoff else {
        return Ok(Vec::new());
    };
    let minute = state
        .watermark
        .map_or(i64::MIN, |watermark| floor(watermark, MINUTE_MS));
    let not_closed = Filter::window(Window {
        start: minute,
        end: cutoff.saturating_add(1),
    });
    let closed = Filter::window(Window {
        start: from.min(minute),
        end: minute,
    });
    // A series that has been silent since goes on where it ended, should it be one of deltas.
    let known = Filter::window(Window {
        start: since,
        end: from,
    });
    let (first, dirty) = unrepaired(state, since..minute);
    let unrepaired = Filter::window(dirty);
    let late = state.files(Table::Samples);
    let late = late.filter(|file| file.version >= first);
    let mut samples = Runs::<f64>::open(state, store, Table::Samples, &not_closed).await?;
    let mut late = Runs::<f64>::of(late, store, Table::Samples, &unrepaired).await?;
    let mut minutes = Runs::<Rollup>::open(state, store, Table::of(Tier::M1), &closed).await?;
    let mut hours = Runs::<Rollup>::open(state, store, Table::of(Tier::H1), &known).await?;
    let mut open = Vec::new();
    while let Some(key) = [samples.key(), late.key(), minutes.key(), hours.key()]
        .into_iter()
        .flatten()
        .min()
    {
        let key = key.clone();
        let mut newest = Newest::default();
        for row in hours.take(&key).await?.1 {
            newest.rollup(&row);
        }
        let (starts, rows) = minutes.take(&key).await?;
        for row in &rows {
            newest.rollup(row);
        }
        let (time, value) = late.take(&key).await?;
        newest.samples(&time, &value);
        let (time, value) = samples.take(&key).await?;
        newest.samples(&time, &value);
        let windows = Open {
            time,
            value,
            newest,
            // Folded at once: an hour of rows of a million series would fill the memory.
            coarse: fold_open(coarse, state.watermark, std::iter::zip(starts, rows)),
        };
        open.push((key, windows));
    }
    described(state, store, since, cutoff, open).await
}

/// What spans the dirty minutes of `closed`, where the rows of rollups lag behind late samples, and the first
/// version of which such samples may be.
fn unrepaired(state: &LakeState, closed: Range<i64>) -> (u64, Window) {
    let dirty = || state.dirty.range(closed.clone());
    let first = dirty().map(|(_, dirtied)| dirtied.first).min();
    let ends = dirty().next().zip(dirty().next_back());
    let window = ends.map(|((start, _), (last, _))| Window {
        start: *start,
        end: last + MINUTE_MS,
    });
    let none = Window {
        start: closed.end,
        end: closed.end,
    };
    (first.unwrap_or(u64::MAX), window.unwrap_or(none))
}

/// The newest that is known of a series.
struct Newest {
    /// The greatest time, of stale markers too; `i64::MIN` for none.
    time: i64,
    /// Time and value of the newest sample with a value.
    value: Option<(i64, f64)>,
}

impl Default for Newest {
    fn default() -> Self {
        Self {
            time: i64::MIN,
            value: None,
        }
    }
}

impl Newest {
    fn rollup(&mut self, row: &Rollup) {
        self.time = self.time.max(row.last_time);
        self.time = self.time.max(row.stale_time.unwrap_or(i64::MIN));
        if row.count > 0 {
            self.take(row.last_time, row.last);
        }
    }

    /// Samples come ascending in time.
    fn samples(&mut self, time: &[i64], value: &[f64]) {
        self.time = self.time.max(time.last().copied().unwrap_or(i64::MIN));
        let mut samples = std::iter::zip(time, value);
        if let Some((&time, &value)) = samples.rfind(|(_, value)| !is_stale(**value)) {
            self.take(time, value);
        }
    }

    fn take(&mut self, time: i64, value: f64) {
        self.value = Some(match self.value {
            Some(newer) if newer.0 > time => newer,
            Some(same) if same.0 == time => (time, prefer(same.1, value)),
            _ => (time, value),
        });
    }
}

/// Finds the labels: a series is in `series` for each day on which it has samples.
async fn described(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    from: i64,
    to: i64,
    open: Vec<(RowKey, Open)>,
) -> Result<Vec<(SeriesSeen, Open)>, StreamError> {
    let only: HashSet<SeriesId> = open.iter().map(|(key, _)| key.series_id).collect();
    let window = Window {
        start: if from == i64::MIN {
            from
        } else {
            floor(from, DAY_MS)
        },
        // A series is put down once a day, with the first sample seen: its clock may have been ahead.
        end: floor(to, DAY_MS).saturating_add(DAY_MS),
    };
    let filter = Filter {
        only: Some(Arc::new(only)),
        ..Filter::window(window)
    };
    let mut series = Runs::<SeriesSeen>::open(state, store, Table::Series, &filter).await?;
    let mut described = Vec::with_capacity(open.len());
    for (key, rows) in open {
        // Of several days, the newest.
        match series.take(&key).await?.1.pop() {
            Some(seen) => described.push((seen, rows)),
            // Of its own day nothing may be kept any more.
            None if rows.is_silent() => {}
            None => return Err(StreamError::UnknownSeries(key.series_id)),
        }
    }
    Ok(described)
}

/// The rows of a table, a series at a time.
struct Runs<T> {
    merge: Merge<T>,
    head: Option<Merged<T>>,
}

impl<T: Stored> Runs<T> {
    async fn open(
        state: &LakeState,
        store: &Arc<dyn ObjectStore>,
        table: Table,
        filter: &Filter,
    ) -> Result<Self, StreamError> {
        Self::of(state.files(table), store, table, filter).await
    }

    async fn of(
        files: impl Iterator<Item = &Arc<DataFile>>,
        store: &Arc<dyn ObjectStore>,
        table: Table,
        filter: &Filter,
    ) -> Result<Self, StreamError> {
        let files: Vec<_> = files
            .filter(|file| filter.wants_file(file))
            .map(Arc::clone)
            .collect();
        let mut merge = Merge::open(store, table, &files, filter).await?;
        let head = merge.next().await?;
        Ok(Self { merge, head })
    }

    /// The series that comes next.
    fn key(&self) -> Option<&RowKey> {
        self.head.as_ref().map(|head| &head.key)
    }

    /// Times and rows of the series `key`, if there are any. Keys that are asked for must ascend.
    async fn take(&mut self, key: &RowKey) -> Result<(Vec<i64>, Vec<T>), StreamError> {
        while self.key().is_some_and(|head| head < key) {
            self.head = self.merge.next().await?;
        }
        let Some(head) = self.head.take_if(|head| head.key == *key) else {
            return Ok((Vec::new(), Vec::new()));
        };
        self.head = self.merge.next().await?;
        Ok((head.time, head.rows))
    }
}

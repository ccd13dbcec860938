//! Recomputes dirty windows from raw, an hour at a time.
//!
//! All series of a dirty minute are recomputed, and rows that differ from the present ones written
//! as overlays. Which series came late is not looked up: late samples of a series that was silent
//! stand in `Main` files, so no kind of file tells. An hour is one commit, which clears the marks
//! that were set when it began, and holds one series in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Tier, Window, floor};
use tidegauge_tables::{DataFile, FileChanges, FileKind, LakeState, Table};

use super::lane::Lane;
use super::write::Out;
use super::{Upkeep, UpkeepError, UpkeepReport, go_on, patch};
use crate::encode::RowKey;
use crate::read::{Filter, Merged};

impl Upkeep {
    /// Repairs every dirty minute that is closed.
    pub(super) async fn repair(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let state = self.committer.state();
        let hours: BTreeSet<i64> = closed_dirty(&state, i64::MIN, i64::MAX)
            .map(|minute| floor(minute, HOUR_MS))
            .collect();
        let mut outcome = Ok(());
        for hour in hours {
            // An hour whose files can't be read keeps no other from its repair.
            outcome = go_on(outcome, self.repair_hour(hour, report).await)?;
        }
        outcome
    }

    async fn repair_hour(&self, hour: i64, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        for table in Table::ALL
            .into_iter()
            .filter(|table| table.tier().is_some())
        {
            let overlaps = |file: &DataFile| overlaps(file, hour, hour + HOUR_MS);
            while self.thin(table, hour, overlaps, report).await? {}
        }
        let state = self.committer.state();
        let dirty: Vec<i64> = closed_dirty(&state, hour, hour + HOUR_MS).collect();
        if dirty.is_empty() {
            return Ok(());
        }
        let read = if self.may_lack_minutes(&state, hour) {
            closed_minutes(&state, hour).collect()
        } else {
            dirty.clone()
        };
        let mut repair = Repair::open(self, &state, hour, &dirty, &read).await?;
        while repair.series().await? {}
        let (mut files, rows) = repair.finish().await?;
        if let Some(changes) = self.without_merged(&state, &dirty).await? {
            files.insert(Table::Samples, changes);
        }
        let spans = dirty.iter().map(|&minute| (minute, minute + MINUTE_MS));
        self.commit(&state, spans.collect(), files).await?;
        report.minutes_repaired += dirty.len() as u64;
        report.rows_repaired += rows;
        Ok(())
    }

    /// Whether 1-minute rows of the hour may have gone before its raw: all of them, as of a backfill, which is
    /// kept from its coming, or those of a metric that a rule keeps for less. Then raw of the whole hour is
    /// read, and stands in for them. Else the hour could not be folded, and what its old row holds of the
    /// dirty minutes would count again.
    fn may_lack_minutes(&self, state: &LakeState, hour: i64) -> bool {
        let minutes = state.tables.get(&Table::Rollup1m);
        let shortest = self.retention.shortest(Table::Rollup1m);
        let day_end = floor(hour, DAY_MS).saturating_add(DAY_MS);
        let is_trimmed = shortest < self.retention.longest(Table::Rollup1m)
            && day_end.saturating_add(shortest) <= self.clock.now_ms();
        is_trimmed
            || minutes.is_some_and(|minutes| minutes.has_expired_in(hour, hour + HOUR_MS - 1))
    }

    /// The coarse tiers to keep up: 1h always, 5m where the stream writes it.
    fn coarse_tiers(&self, state: &LakeState) -> impl Iterator<Item = (Table, i64)> + use<> {
        let has_5m = state.files(Table::Rollup5m).next().is_some();
        let with_5m = has_5m || self.settings.five_minute_tier;
        [Tier::M5, Tier::H1]
            .into_iter()
            .filter(move |tier| with_5m || *tier == Tier::H1)
            .map(|tier| (Table::of(tier), tier.width_ms().expect("a rollup tier")))
    }
}

/// The dirty minutes in `[from, to)` whose rows the stream has written, ascending.
fn closed_dirty(state: &LakeState, from: i64, to: i64) -> impl Iterator<Item = i64> {
    let watermark = state.watermark.unwrap_or(i64::MIN);
    let minutes = state.dirty.range(from..to).map(|(minute, _)| *minute);
    minutes.filter(move |minute| minute.saturating_add(MINUTE_MS) <= watermark)
}

/// The starts of the hour's minutes that are closed, ascending.
fn closed_minutes(state: &LakeState, hour: i64) -> impl Iterator<Item = i64> {
    let watermark = state.watermark.unwrap_or(i64::MIN);
    let step = usize::try_from(MINUTE_MS).expect("a minute fits");
    let minutes = (hour..hour + HOUR_MS).step_by(step);
    minutes.take_while(move |minute| minute + MINUTE_MS <= watermark)
}

/// Whether the file may hold rows of one of `minutes`, ascending starts.
pub(super) fn touches(file: &DataFile, minutes: &[i64]) -> bool {
    let next = minutes.partition_point(|&minute| minute + MINUTE_MS <= file.min_time);
    minutes
        .get(next)
        .is_some_and(|&minute| minute <= file.max_time)
}

fn overlaps(file: &DataFile, start: i64, end: i64) -> bool {
    file.min_time < end && file.max_time >= start
}

/// One coarse tier within the hour.
struct Coarse<'a> {
    width_ms: i64,
    /// Starts of its closed windows that hold a dirty minute.
    windows: Vec<i64>,
    old: Lane<Rollup>,
    out: Out<'a, Rollup>,
}

/// The repair of one hour, walking its series in file order.
struct Repair<'a> {
    dirty: &'a [i64],
    /// The minutes whose raw is read: `dirty` and perhaps more.
    read: &'a [i64],
    raw: Lane<f64>,
    minutes: Lane<Rollup>,
    out: Out<'a, Rollup>,
    coarse: Vec<Coarse<'a>>,
    rows: u64,
}

impl<'a> Repair<'a> {
    async fn open(
        upkeep: &'a Upkeep,
        state: &LakeState,
        hour: i64,
        dirty: &'a [i64],
        read: &'a [i64],
    ) -> Result<Self, UpkeepError> {
        let store = &upkeep.store;
        let (first, last) = (read[0], read[read.len() - 1]);
        let samples = state.files(Table::Samples);
        let samples: Vec<_> = samples
            .filter(|file| touches(file, read))
            .cloned()
            .collect();
        let only = Filter::window(Window {
            start: first,
            end: last + MINUTE_MS,
        });
        let whole = Filter::window(Window {
            start: hour,
            end: hour + HOUR_MS,
        });
        let rows_of = |table| -> Vec<_> {
            let files = state.files(table).filter(|file| whole.wants_file(file));
            files.cloned().collect()
        };
        let mut coarse = Vec::new();
        for (table, width_ms) in upkeep.coarse_tiers(state) {
            let starts: BTreeSet<i64> = dirty.iter().map(|at| floor(*at, width_ms)).collect();
            let closed = |start: &i64| state.watermark.is_some_and(|j| start + width_ms <= j);
            coarse.push(Coarse {
                width_ms,
                windows: starts.into_iter().filter(closed).collect(),
                old: Lane::open(store, table, &rows_of(table), &whole).await?,
                out: Out::new(upkeep, table, FileKind::Overlay),
            });
        }
        let minutes = rows_of(Table::Rollup1m);
        Ok(Self {
            dirty,
            read,
            raw: Lane::open(store, Table::Samples, &samples, &only).await?,
            minutes: Lane::open(store, Table::Rollup1m, &minutes, &whole).await?,
            out: Out::new(upkeep, Table::Rollup1m, FileKind::Overlay),
            coarse,
            rows: 0,
        })
    }

    /// Repairs the next series; whether there was one. A series without samples in dirty minutes
    /// has nothing to repair.
    async fn series(&mut self) -> Result<bool, UpkeepError> {
        let Some(Merged {
            key, time, rows, ..
        }) = self.raw.next().await?
        else {
            return Ok(false);
        };
        let old = self.minutes.seek(&key).await?;
        let old = old.map_or_else(Default::default, |old| (old.time, old.rows));
        let old = (old.0.as_slice(), old.1.as_slice());
        let samples = (time.as_slice(), rows.as_slice());
        let patched = patch::minutes(self.dirty, samples, old);
        if patched.is_empty() {
            return Ok(true);
        }
        let changed = patched.iter().filter(|minute| minute.changed);
        let (starts, new): (Vec<_>, Vec<_>) = changed.map(|at| (at.start, at.row)).unzip();
        self.rows += new.len() as u64;
        self.out.push(&key, &starts, &new).await?;
        let (starts, rows) = patch::apply(old, &patched);
        let (starts, rows) = patch::fill((&starts, &rows), self.read, samples);
        for coarse in &mut self.coarse {
            self.rows += coarse.series(&key, (&starts, &rows), &patched).await?;
        }
        Ok(true)
    }

    /// The files of all tiers, put, and how many rows they hold.
    async fn finish(self) -> Result<(BTreeMap<Table, FileChanges>, u64), UpkeepError> {
        let mut files = BTreeMap::new();
        let outs = self.coarse.into_iter().map(|coarse| coarse.out);
        for out in outs.chain([self.out]) {
            let table = out.table();
            let add = out.finish().await?;
            if !add.is_empty() {
                let remove = Vec::new();
                files.insert(table, FileChanges { add, remove });
            }
        }
        Ok((files, self.rows))
    }
}

impl Coarse<'_> {
    /// Repairs the windows of one series from its minutes; returns how many rows differ.
    async fn series(
        &mut self,
        key: &RowKey,
        minutes: (&[i64], &[Rollup]),
        patched: &[patch::Patched],
    ) -> Result<u64, UpkeepError> {
        let touched: Vec<i64> = self
            .windows
            .iter()
            .copied()
            .filter(|start| {
                let window = *start..start + self.width_ms;
                patched.iter().any(|minute| window.contains(&minute.start))
            })
            .collect();
        if touched.is_empty() {
            return Ok(0);
        }
        let old = self.old.seek(key).await?;
        let (mut starts, mut rows) = (Vec::new(), Vec::new());
        for start in touched {
            let old = old.as_ref().and_then(|old| {
                let place = old.time.binary_search(&start).ok()?;
                Some(&old.rows[place])
            });
            if let Some(row) = patch::coarse(start, self.width_ms, minutes, patched, old) {
                starts.push(start);
                rows.push(row);
            }
        }
        self.out.push(key, &starts, &rows).await?;
        Ok(rows.len() as u64)
    }
}

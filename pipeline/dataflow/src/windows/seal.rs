//! The seal: one pass over the series in file order.

use tidegauge_model::{
    Counts, MINUTE_MS, Partition, Reject, RejectReason, Rollup, RollupRuns, Sealed, Series, Tier,
    floor, is_stale, settle_run,
};

use super::catalog::State;
use super::{Carry, SealNote, Windows};
use crate::coarse;
use crate::recovered::Recovered;

/// Columns to work in, kept from series to series so that nothing is allocated for one.
#[derive(Default)]
struct Scratch {
    time: Vec<i64>,
    value: Vec<f64>,
    overlay_time: Vec<i64>,
    overlay_value: Vec<f64>,
    open_time: Vec<i64>,
    open_value: Vec<f64>,
    absolute_time: Vec<i64>,
    absolute_value: Vec<f64>,
}

impl Windows {
    /// Seals everything logged and closes the windows with end ≤ `watermark`.
    pub(crate) fn seal(&mut self, watermark: Option<i64>) -> (Sealed, SealNote) {
        let watermark = watermark.max(self.closed);
        let mut out = Output::new(&self.coarse, self.closed);
        let (order, rank) = self.catalog.ranked();
        let order = order.to_vec();
        let mut sorted = self.log.sort(rank);
        let quarantined = self.quarantine.sort(rank);
        let absolute = self.absolute.sort(rank);
        // Nothing before the watermark's minute stays open.
        let base = watermark.map_or_else(
            || {
                sorted
                    .time
                    .iter()
                    .chain(&absolute.time)
                    .copied()
                    .chain(self.carry.first())
                    .min()
                    .unwrap_or_default()
            },
            |watermark| floor(watermark, MINUTE_MS),
        );
        let carry = std::mem::replace(&mut self.carry, Carry::from(base));
        let clock = self.clocks.values().copied().max().unwrap_or(i64::MAX);
        let mut scratch = Scratch::default();
        for (place, &dense) in order.iter().enumerate() {
            let dense = dense as usize;
            let state = &mut self.catalog.states[dense];
            let rows = sorted.rows(place);
            let ahead = quarantined.rows(place);
            let totals = absolute.rows(place);
            let none_came = rows.is_empty() && ahead.is_empty() && totals.is_empty();
            if none_came && carry.is_empty(dense) && state.idle() {
                continue;
            }
            let mut pass = Pass {
                closed: self.closed,
                watermark,
                out: &mut out,
                coarse: &self.coarse,
            };
            scratch.open_time.clear();
            scratch.open_value.clear();
            carry.read(dense, &mut scratch.open_time, &mut scratch.open_value);
            if !none_came {
                state.last_used = clock;
                let came = Came {
                    rows: (&sorted.time[rows.clone()], &sorted.value[rows.clone()]),
                    ahead: (&quarantined.time[ahead.clone()], &quarantined.value[ahead]),
                    absolute: (&absolute.time[totals.clone()], &absolute.value[totals]),
                };
                match pass.samples(state, came, &mut scratch) {
                    Main::AsTheyLie(from) => sorted.keep(rows.start + from..rows.end),
                    Main::Settled(from) => {
                        sorted.keep_instead(&scratch.time[from..], &scratch.value[from..]);
                    }
                }
            }
            let open_from = pass.fold(state, &scratch.open_time, &scratch.open_value);
            let (time, value) = (
                &scratch.open_time[open_from..],
                &scratch.open_value[open_from..],
            );
            // A span longer than the carry can hold (49 days) is one wrong clock within the cutoff
            // of another: what lies beyond is left to upkeep, which reads it from raw.
            let held = time.partition_point(|&time| self.carry.holds(time));
            self.carry.push(dense, &time[..held], &value[..held]);
            out.dirty(&time[held..]);
        }
        (out.sealed.samples.time, out.sealed.samples.value) = sorted.into_kept();
        self.closed = watermark;
        self.finish(out)
    }

    fn finish(&mut self, mut out: Output) -> (Sealed, SealNote) {
        self.touched.extend(out.dirty.iter().copied());
        self.mark_again(&mut out);
        out.sealed.series.extend(self.catalog.take_changed());
        let refused = std::mem::take(&mut self.refused) + out.sealed.rejects.len() as u64;
        out.sealed.rejects.append(&mut self.rejects);
        out.dirty.sort_unstable();
        out.dirty.dedup();
        let note = SealNote {
            dirty: out.dirty,
            counts: Counts {
                duplicate: out.duplicate,
                rejected: refused,
                ..Counts::default()
            },
            open_samples: self.carry.len() as u64,
            series: self.catalog.len() as u64,
        };
        out.sealed.rollups = out.rollups;
        self.retire();
        (out.sealed, note)
    }

    /// Marks minutes dirty again whose coarse window has closed now: its row was folded without the
    /// late samples. A minute is forgotten once its coarsest window is closed.
    fn mark_again(&mut self, out: &mut Output) {
        let Some(watermark) = self.closed else { return };
        let before = out.closed_before;
        let closes_now = |minute: i64, width: i64| {
            let end = floor(minute, width) + width;
            end <= watermark && before.is_none_or(|before| end > before)
        };
        let widest = self
            .coarse
            .iter()
            .map(|(_, width)| *width)
            .max()
            .unwrap_or(MINUTE_MS);
        for &minute in &self.touched {
            if self
                .coarse
                .iter()
                .any(|(_, width)| closes_now(minute, *width))
            {
                out.dirty.push(minute);
            }
        }
        self.touched
            .retain(|&minute| floor(minute, widest) + widest > watermark);
    }

    fn retire(&mut self) {
        let Some(clock) = self.clocks.values().copied().min() else {
            return;
        };
        let carry = &self.carry;
        let horizon = clock.saturating_sub(self.silence_ms.saturating_mul(2));
        if let Some(renumbered) = self.catalog.retire(horizon, |dense| !carry.is_empty(dense)) {
            self.carry.renumber(&renumbered);
        }
    }

    /// Takes up the open windows of an earlier life.
    pub(super) fn restore(&mut self, recovered: Recovered) {
        let base = recovered
            .series
            .iter()
            .filter_map(|series| series.time.first())
            .min();
        self.carry = Carry::from(base.copied().unwrap_or_default());
        for series in recovered.series {
            let Ok(dense) = self.catalog.intern(&series.series, &series.metadata, false) else {
                continue;
            };
            let state = &mut self.catalog.states[dense as usize];
            state.last_time = state.last_time.max(series.last_time);
            state.last_used = series.last_time;
            if let Some((time, total)) = series.last_value {
                (state.total_time, state.resume_total) = (time, total);
            }
            state.coarse = series.coarse;
            // What the carry can't hold was marked dirty when it was sealed.
            let held = series.time.partition_point(|&time| self.carry.holds(time));
            self.carry
                .push(dense as usize, &series.time[..held], &series.value[..held]);
        }
    }
}

/// What a seal brings forth.
struct Output {
    sealed: Sealed,
    rollups: Vec<(Tier, RollupRuns)>,
    dirty: Vec<i64>,
    duplicate: u64,
    closed_before: Option<i64>,
}

impl Output {
    fn new(coarse: &[(Tier, i64)], closed_before: Option<i64>) -> Self {
        let tiers = std::iter::once(Tier::M1).chain(coarse.iter().map(|(tier, _)| *tier));
        Self {
            sealed: Sealed::default(),
            rollups: tiers.map(|tier| (tier, RollupRuns::default())).collect(),
            dirty: Vec::new(),
            duplicate: 0,
            closed_before,
        }
    }

    /// Marks the minutes of samples.
    fn dirty(&mut self, time: &[i64]) {
        for &at in time {
            let minute = floor(at, MINUTE_MS);
            if self.dirty.last() != Some(&minute) {
                self.dirty.push(minute);
            }
        }
    }

    /// Adds a row to the tier at `place`, finest first.
    fn row(&mut self, place: usize, state: &State, start: i64, row: Rollup) {
        self.rollups[place].1.push(&state.series, start, row);
    }
}

/// Where the main rows of a series are: from this place on.
enum Main {
    /// In the columns as they were sorted.
    AsTheyLie(usize),
    /// In the scratch columns, settled or added up.
    Settled(usize),
}

/// What came of one series, in order of arrival.
#[derive(Clone, Copy)]
struct Came<'a> {
    rows: Rows<'a>,
    /// Past the future cutoff of their epoch.
    ahead: Rows<'a>,
    /// Of a series with a running total, which they set.
    absolute: Rows<'a>,
}

/// One series' turn.
struct Pass<'a> {
    closed: Option<i64>,
    watermark: Option<i64>,
    out: &'a mut Output,
    coarse: &'a [(Tier, i64)],
}

impl Pass<'_> {
    /// Notes the new samples of the series, says which of them are main rows, and leaves those of open
    /// windows, joined with the carried ones and settled, in `scratch.open_*`.
    fn samples(&mut self, state: &mut State, came: Came<'_>, scratch: &mut Scratch) -> Main {
        let Scratch {
            time,
            value,
            overlay_time,
            overlay_value,
            open_time,
            open_value,
            absolute_time,
            absolute_value,
        } = scratch;
        let (mut times, mut values) = came.rows;
        let ahead = self.refuse_deltas(state, came.ahead);
        refill(absolute_time, came.absolute.0);
        refill(absolute_value, came.absolute.1);
        self.out.duplicate += settle_run(absolute_time, absolute_value) as u64;
        let absolute = (&**absolute_time, &**absolute_value);
        let mut main: fn(usize) -> Main = Main::AsTheyLie;
        // Nearly every run ascends as it came and is used where it lies.
        if state.total.is_some() || !times.is_sorted_by(|a, b| a < b) {
            refill(time, times);
            refill(value, values);
            self.out.duplicate += settle_run(time, value) as u64;
            self.accumulate(state, absolute, time, value);
            (times, values) = (time, value);
            main = Main::Settled;
        }
        let sealed_before = times.partition_point(|&at| at <= state.last_time);
        let sealed_before = state.maybe_repeated(&times[sealed_before..]) + sealed_before;
        refill(overlay_time, &times[..sealed_before]);
        refill(overlay_value, &values[..sealed_before]);
        if !ahead.0.is_empty() || !absolute.0.is_empty() {
            for (time, value) in [ahead, absolute] {
                overlay_time.extend_from_slice(time);
                overlay_value.extend_from_slice(value);
            }
            self.out.duplicate += settle_run(overlay_time, overlay_value) as u64;
            self.out.dirty(ahead.0);
            state.note_ahead(ahead.0);
        }
        let main_time = &times[sealed_before..];
        // Those on time first: a clock that is ahead must not put a day down with its own time.
        state.note_days(times, &mut self.out.sealed.series);
        state.note_days(overlay_time, &mut self.out.sealed.series);
        self.out
            .sealed
            .overlay
            .push(&state.series, overlay_time, overlay_value);
        self.out
            .sealed
            .samples
            .push_run(&state.series, main_time.len());
        if let Some(&newest) = main_time.last() {
            state.last_time = newest;
        }

        let closed_until = self
            .closed
            .map_or(i64::MIN, |closed| floor(closed, MINUTE_MS));
        for (times, values) in [(times, values), absolute] {
            let in_closed = times.partition_point(|&at| at < closed_until);
            self.out.dirty(&times[..in_closed]);
            open_time.extend_from_slice(&times[in_closed..]);
            open_value.extend_from_slice(&values[in_closed..]);
        }
        self.out.duplicate += settle_run(open_time, open_value) as u64;
        main(sealed_before)
    }

    /// Puts quarantined deltas down as rejects: a clock far ahead would hold its series' total there.
    /// Those of other series pass.
    fn refuse_deltas<'a>(&mut self, state: &State, ahead: Rows<'a>) -> Rows<'a> {
        if state.total.is_none() {
            return ahead;
        }
        let deltas = std::iter::zip(ahead.0, ahead.1);
        let refused = deltas.map(|(&at, &delta)| Refused::Future.reject(&state.series, at, delta));
        self.out.sealed.rejects.extend(refused);
        (&[], &[])
    }

    /// Turns deltas, ascending in time, into running totals. A delta at or before the series'
    /// newest total has no row of its own: that total is written once more with it, and as the greater
    /// of two values counts, holds it from then on, also for who starts from what is written. Totals
    /// before it stay as they are, so the delta is put down as a reject. Absolute values of the series
    /// are totals themselves: deltas after one go on from it.
    fn accumulate(
        &mut self,
        state: &mut State,
        absolute: Rows<'_>,
        time: &mut Vec<i64>,
        value: &mut Vec<f64>,
    ) {
        let Some(total) = &mut state.total else {
            return;
        };
        let late = time.partition_point(|&at| at <= state.total_time);
        for (at, delta) in time.drain(..late).zip(value.drain(..late)) {
            *total += if is_stale(delta) { 0.0 } else { delta };
            let reject = Refused::Late.reject(&state.series, at, delta);
            self.out.sealed.rejects.push(reject);
        }
        let (before, before_time) = (*total, state.total_time);
        let (absolute_time, absolute_value) = absolute;
        let set = std::iter::zip(absolute_time, absolute_value);
        let mut set = set
            .filter(|(at, value)| **at > before_time && !is_stale(**value))
            .peekable();
        for (at, value) in std::iter::zip(&*time, &mut *value).filter(|(_, it)| !is_stale(**it)) {
            while let Some((_, absolute)) = set.next_if(|(set_at, _)| *set_at < at) {
                *total = *absolute;
            }
            *total += *value;
            *value = *total;
            state.total_time = *at;
        }
        if let Some((at, absolute)) = set.last() {
            (*total, state.total_time) = (*absolute, *at);
        }
        if late > 0 {
            time.insert(0, before_time);
            value.insert(0, before);
        }
    }

    /// Folds the minutes that close and what closes with them; returns where the samples that stay
    /// open begin.
    fn fold(&mut self, state: &mut State, time: &[i64], value: &[f64]) -> usize {
        let Some(watermark) = self.watermark else {
            return 0;
        };
        let open_from = time.partition_point(|&at| at < floor(watermark, MINUTE_MS));
        let mut at = 0;
        while at < open_from {
            let start = floor(time[at], MINUTE_MS);
            let end = at + time[at..open_from].partition_point(|&t| t < start + MINUTE_MS);
            let row = Rollup::fold(&time[at..end], &value[at..end]).expect("a minute with samples");
            self.out.row(0, state, start, row);
            for (place, (_, width)) in self.coarse.iter().enumerate() {
                let done = coarse::append(&mut state.coarse[place], *width, start, &row);
                if let Some((start, row)) = done {
                    self.out.row(place + 1, state, start, row);
                }
            }
            at = end;
        }
        for (place, (_, width)) in self.coarse.iter().enumerate() {
            if let Some((start, row)) = coarse::close(&mut state.coarse[place], *width, watermark) {
                self.out.row(place + 1, state, start, row);
            }
        }
        open_from
    }
}

/// Times and values of one series.
type Rows<'a> = (&'a [i64], &'a [f64]);

fn refill<T: Copy>(column: &mut Vec<T>, rows: &[T]) {
    column.clear();
    column.extend_from_slice(rows);
}

/// Why a delta has no row of its own.
#[derive(Clone, Copy)]
enum Refused {
    Late,
    Future,
}

impl Refused {
    fn reject(self, series: &Series, time: i64, delta: f64) -> Reject {
        let (reason, why) = match self {
            Self::Late => (
                RejectReason::LateDelta,
                "came after a later one; the newest total holds it",
            ),
            Self::Future => (
                RejectReason::FutureDelta,
                "is past the future cutoff and in no total; set its producer's clock",
            ),
        };
        Reject {
            tenant: series.tenant().into(),
            partition: Partition {
                topic: "".into(),
                index: -1,
            },
            offset: -1,
            time,
            reason,
            detail: format!("delta {delta} of {series:?} at {time} {why}"),
            bytes: Vec::new(),
        }
    }
}

//! The series one worker owns: their numbers, their order in files, and what is known of each.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tidegauge_model::{DAY_MS, Definition, Metadata, Series, SeriesId, SeriesSeen};

use crate::coarse::{self, NONE_OPEN, OpenWindows};

/// One series' state. Its open 1-minute samples are in the [`super::carry::Carry`].
#[derive(Debug)]
pub(super) struct State {
    pub(super) series: Series,
    pub(super) metadata: Arc<Metadata>,
    /// Greatest time sealed as a main row: only later samples are sure to repeat no row.
    pub(super) last_time: i64,
    /// The least and the greatest time of quarantined samples not yet passed by main rows: what comes
    /// between may repeat one. None for nearly every series.
    pub(super) ahead: Option<Box<(i64, i64)>>,
    /// The newest day (days since 1970) written down in `series`, and the 63 days before it as
    /// bits, lowest bit the newest.
    pub(super) newest_day: i32,
    /// The last day written down that lies before those: that of today, for a series whose producer's clock
    /// was once far ahead.
    far_day: i32,
    pub(super) days: u64,
    /// When it had a sample on the newest day. Unlike `last_time`, also of one that is late or
    /// quarantined; has no meaning before the first day.
    pub(super) seen_time: i64,
    /// The source clock (see [`super::Windows`]) when it last had a sample.
    pub(super) last_used: i64,
    /// For a series of deltas: the running total.
    pub(super) total: Option<f64>,
    /// The newest time at which a total of it stands. Unlike `last_time` it is not guessed for a series
    /// of which nothing is known.
    pub(super) total_time: i64,
    /// The last committed value of an earlier life: where the total goes on if the series turns out
    /// to be one of deltas, which only its definition tells.
    pub(super) resume_total: f64,
    /// Whether a producer has sent absolute values of it.
    absolute: bool,
    pub(super) coarse: OpenWindows,
}

/// All series of one worker by dense number.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) states: Vec<State>,
    by_id: HashMap<SeriesId, u32>,
    /// (source, local) → dense number.
    locals: HashMap<u32, Vec<u32>>,
    /// Dense numbers in file order, and each one's place in it.
    order: Vec<u32>,
    rank: Vec<u32>,
    /// Dense numbers of series of which some producers send deltas and others absolute values, or the same
    /// one now this and now that; and the (source, local) whose values are deltas.
    mixed: HashSet<u32>,
    deltas: HashSet<(u32, u32)>,
    turned: Vec<u32>,
    /// How many coarse tiers there are.
    coarse: usize,
    /// The time that an unknown series may have been sealed up to.
    pub(super) floor: i64,
    changed: Vec<u32>,
}

/// A definition whose series has the id of another.
#[derive(Debug)]
pub(super) struct Collision;

/// The number of a local series that was refused.
pub(super) const REFUSED: u32 = u32::MAX;

impl Catalog {
    pub(super) fn new(coarse: usize, floor: i64) -> Self {
        Self {
            states: Vec::new(),
            by_id: HashMap::new(),
            locals: HashMap::new(),
            order: Vec::new(),
            rank: Vec::new(),
            mixed: HashSet::new(),
            deltas: HashSet::new(),
            turned: Vec::new(),
            coarse,
            floor,
            changed: Vec::new(),
        }
    }

    /// Learns what `(source, definition.local)` stands for.
    pub(super) fn define(
        &mut self,
        source: u32,
        definition: &Definition,
    ) -> Result<u32, Collision> {
        let dense = self.intern(&definition.series, &definition.metadata, definition.delta);
        let locals = self.locals.entry(source).or_default();
        let local = definition.local as usize;
        if locals.len() <= local {
            locals.resize(local + 1, REFUSED);
        }
        locals[local] = *dense.as_ref().unwrap_or(&REFUSED);
        if let Ok(dense) = dense {
            self.note_kind((source, definition.local), dense, definition.delta);
        }
        dense
    }

    fn note_kind(&mut self, local: (u32, u32), dense: u32, delta: bool) {
        let state = &mut self.states[dense as usize];
        if delta {
            self.deltas.insert(local);
        } else {
            self.deltas.remove(&local);
            state.absolute = true;
        }
        if state.absolute && state.total.is_some() && self.mixed.insert(dense) && delta {
            self.turned.push(dense);
        }
    }

    /// Series that have had absolute values only until now: those logged are that, too.
    pub(super) fn take_turned(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.turned)
    }

    /// Whether any series has values of both kinds, which must then be told apart.
    pub(super) fn has_mixed(&self) -> bool {
        !self.mixed.is_empty()
    }

    /// Whether values of this local number are absolute though its series has a running total.
    pub(super) fn sets_total(&self, source: u32, local: u32, dense: u32) -> bool {
        self.mixed.contains(&dense) && !self.deltas.contains(&(source, local))
    }

    /// Forgets what the numbers of `source` stood for.
    pub(super) fn forget(&mut self, source: u32) {
        self.locals.remove(&source);
        self.deltas.retain(|(of, _)| *of != source);
    }

    /// The number of `series`, given now if it is new.
    pub(super) fn intern(
        &mut self,
        series: &Series,
        metadata: &Arc<Metadata>,
        delta: bool,
    ) -> Result<u32, Collision> {
        if let Some(&dense) = self.by_id.get(&series.id()) {
            let state = &mut self.states[dense as usize];
            if state.series != *series {
                return Err(Collision);
            }
            if delta && state.total.is_none() {
                state.total = Some(state.resume_total);
            }
            if state.metadata != *metadata && **metadata != Metadata::default() {
                state.metadata = Arc::clone(metadata);
                self.changed.push(dense);
            }
            return Ok(dense);
        }
        let dense = u32::try_from(self.states.len()).expect("fewer than 2^32 series a worker");
        self.by_id.insert(series.id(), dense);
        self.states.push(State {
            series: series.clone(),
            metadata: Arc::clone(metadata),
            last_time: self.floor,
            ahead: None,
            last_used: i64::MAX,
            newest_day: i32::MIN,
            far_day: i32::MIN,
            days: 0,
            seen_time: 0,
            total: delta.then_some(0.0),
            total_time: i64::MIN,
            resume_total: 0.0,
            absolute: false,
            coarse: coarse::none(self.coarse),
        });
        Ok(dense)
    }

    /// The numbers that `source` uses, by its local ones.
    pub(super) fn locals(&self, source: u32) -> &[u32] {
        self.locals.get(&source).map_or(&[], Vec::as_slice)
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Dense numbers in file order, and the place of each; brought up to date with new series.
    pub(super) fn ranked(&mut self) -> (&[u32], &[u32]) {
        let known = self.order.len();
        if known < self.states.len() {
            let states = &self.states;
            let dense = |at: usize| u32::try_from(at).expect("fewer than 2^32 series a worker");
            self.order.extend((known..states.len()).map(dense));
            // A stable merge sort: the known part is one run already.
            self.order.sort_by(|&a, &b| {
                states[a as usize]
                    .series
                    .file_order(&states[b as usize].series)
            });
            self.rank.resize(states.len(), 0);
            for (place, &number) in self.order.iter().enumerate() {
                self.rank[number as usize] = dense(place);
            }
        }
        (&self.order, &self.rank)
    }

    /// Series whose metadata has changed since the last call, to be written down again.
    pub(super) fn take_changed(&mut self) -> Vec<SeriesSeen> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|dense| &self.states[dense as usize])
            .filter(|state| state.days != 0)
            .map(|state| state.seen(state.seen_time, state.seen_time))
            .collect()
    }

    /// Drops series last used before `horizon` that hold nothing open, and returns the new number
    /// of each old one. A later sample of a dropped series might repeat a sealed row unnoticed, so
    /// up to its newest time every unknown series counts as sealed from then on. Renumbering is a
    /// pass over everything, so it waits until a quarter would go.
    pub(super) fn retire(
        &mut self,
        horizon: i64,
        busy: impl Fn(usize) -> bool,
    ) -> Option<Vec<u32>> {
        let leaves =
            |dense: usize, state: &State| state.last_used < horizon && state.idle() && !busy(dense);
        let leaving = self
            .states
            .iter()
            .enumerate()
            .filter(|(i, s)| leaves(*i, s))
            .count();
        if leaving < 1_000 || leaving * 4 < self.states.len() {
            return None;
        }
        let mut renumbered = vec![REFUSED; self.states.len()];
        let mut next = 0;
        for (dense, state) in std::mem::take(&mut self.states).into_iter().enumerate() {
            if leaves(dense, &state) {
                self.floor = self.floor.max(state.last_time);
                self.by_id.remove(&state.series.id());
            } else {
                renumbered[dense] = next;
                self.by_id.insert(state.series.id(), next);
                self.states.push(state);
                next += 1;
            }
        }
        for local in self
            .locals
            .values_mut()
            .flatten()
            .filter(|local| **local != REFUSED)
        {
            *local = renumbered[*local as usize];
        }
        let mixed = std::mem::take(&mut self.mixed).into_iter();
        let mixed = mixed.map(|dense| renumbered[dense as usize]);
        self.mixed = mixed.filter(|dense| *dense != REFUSED).collect();
        self.order.clear();
        self.rank.clear();
        Some(renumbered)
    }
}

impl State {
    /// Whether no coarse window is open.
    pub(super) fn idle(&self) -> bool {
        self.coarse.iter().all(|open| open.0 == NONE_OPEN)
    }

    /// Notes the times of quarantined samples.
    pub(super) fn note_ahead(&mut self, time: &[i64]) {
        for &at in time {
            let ahead = self.ahead.get_or_insert_with(|| Box::new((at, at)));
            **ahead = (ahead.0.min(at), ahead.1.max(at));
        }
    }

    /// How many of `times`, ascending and all past `last_time`, may repeat a quarantined sample: all up to
    /// the last that lies between such.
    pub(super) fn maybe_repeated(&mut self, times: &[i64]) -> usize {
        let (Some(&(first, last)), Some(&newest)) = (self.ahead.as_deref(), times.last()) else {
            return 0;
        };
        if newest > last {
            self.ahead = None;
        }
        if newest < first {
            return 0;
        }
        times.partition_point(|&at| at <= last)
    }

    fn seen(&self, first_seen: i64, last_seen: i64) -> SeriesSeen {
        SeriesSeen {
            series: self.series.clone(),
            metadata: Arc::clone(&self.metadata),
            first_seen,
            last_seen,
        }
    }

    /// Notes the days of a run of sealed samples, ascending in time, and puts down those that are
    /// new. When a new day begins, the day before is put down once more with its last sample.
    pub(super) fn note_days(&mut self, time: &[i64], out: &mut Vec<SeriesSeen>) {
        let mut rest = time;
        while let Some(&first) = rest.first() {
            let day = first.div_euclid(DAY_MS);
            let end = (day + 1) * DAY_MS;
            let (of_day, later) = rest.split_at(rest.partition_point(|&t| t < end));
            rest = later;
            let last = of_day[of_day.len() - 1];
            if day >= i64::from(self.newest_day) {
                self.seen_time = last;
            }
            if self.note_day(i32::try_from(day).unwrap_or(i32::MAX)) {
                let yesterday = (day - 1) * DAY_MS..day * DAY_MS;
                if yesterday.contains(&self.last_time) {
                    out.push(self.seen(self.last_time, self.last_time));
                }
                out.push(self.seen(first, last));
            }
        }
    }

    /// Whether `day` was not noted before.
    fn note_day(&mut self, day: i32) -> bool {
        if day > self.newest_day {
            let ahead = i64::from(day) - i64::from(self.newest_day);
            self.days = if ahead < 64 {
                self.days << ahead | 1
            } else {
                1
            };
            self.newest_day = day;
            return true;
        }
        let back = i64::from(self.newest_day) - i64::from(day);
        if back >= 64 {
            // Too far back to remember more than the last such; readers settle what is put down twice.
            return std::mem::replace(&mut self.far_day, day) != day;
        }
        let bit = 1 << back;
        let new = self.days & bit == 0;
        self.days |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_model::{Limits, MetricType};

    /// A late or quarantined sample moves no `last_time`, and the metadata may change all the same.
    #[test]
    fn changed_metadata_is_put_down_on_a_day_that_had_a_sample() {
        let mut catalog = Catalog::new(1, i64::MIN);
        let labels = &mut Vec::new();
        let series = Series::new("t", "up", labels, &Limits::default()).expect("valid");
        let define = |catalog: &mut Catalog, metric_type| {
            let metadata = Metadata {
                metric_type,
                ..Metadata::default()
            };
            let dense = catalog.intern(&series, &Arc::new(metadata), false);
            dense.is_ok()
        };
        assert!(define(&mut catalog, MetricType::Gauge));
        let mut written = Vec::new();
        let ahead = [400 * DAY_MS + 5, 400 * DAY_MS + 9];
        catalog.states[0].note_days(&ahead, &mut written);
        assert!(define(&mut catalog, MetricType::Counter));
        let changed = catalog.take_changed();
        let seen: Vec<_> = changed
            .iter()
            .map(|it| (it.first_seen, it.last_seen))
            .collect();
        assert_eq!(seen, [(ahead[1], ahead[1])]);
    }

    #[test]
    fn one_sample_far_ahead_puts_no_day_down_again_and_again() {
        let mut catalog = Catalog::new(1, i64::MIN);
        let labels = &mut Vec::new();
        let series = Series::new("t", "up", labels, &Limits::default()).expect("valid");
        let interned = catalog.intern(&series, &Arc::default(), false);
        assert!(interned.is_ok());
        let mut rows = |time: i64| {
            let mut written = Vec::new();
            catalog.states[0].note_days(&[time], &mut written);
            written.len()
        };
        assert_eq!(rows(400 * DAY_MS), 1);
        assert_eq!(rows(20 * DAY_MS), 1);
        assert_eq!(rows(20 * DAY_MS + 1), 0);
        assert_eq!(rows(21 * DAY_MS), 1);
        assert_eq!(rows(21 * DAY_MS + 1), 0);
    }
}

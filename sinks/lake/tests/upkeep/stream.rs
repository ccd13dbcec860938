//! A naive stand-in for the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_model::{
    DAY_MS, HOUR_MS, Limits, MINUTE_MS, Partition, Reject, RejectReason, Rollup, RollupRuns,
    Sealed, Series, SeriesSeen, Tier, floor, normal, stale,
};
use tidegauge_tables::{CommitKind, Counts};

use crate::rows::{Rows, Samples, bits, coarsen, fold, last_seen, put};

/// Midnight of the day the simulated clock begins at.
const MIDNIGHT: i64 = 1_795_219_200_000;
/// So that the run crosses midnight.
pub(crate) const START: i64 = MIDNIGHT + 21 * HOUR_MS;

/// A naive stand-in for the stream: it decides as the stream does what is late and what is written.
pub(crate) struct Stream {
    random: SmallRng,
    late_percent: u32,
    pub(crate) series: Vec<Series>,
    pub(crate) coarse: Vec<(Tier, i64)>,
    /// The newest time of each series that went to a `Main` file.
    last_time: Vec<i64>,
    /// What came in windows that are not closed.
    open: Samples,
    /// The minutes it has written, for coarse windows not closed.
    minutes: BTreeMap<(usize, i64), Rollup>,
    touched: BTreeSet<i64>,
    pub(crate) watermark: i64,
    epoch: u64,
    /// All that ever was acknowledged.
    all: Samples,
    /// When each reject came, and its offset.
    pub(crate) rejects: Vec<(i64, i64)>,
    /// The most rejects of one seal.
    pub(crate) most_rejects: usize,
}

impl Stream {
    pub(crate) fn new(seed: u64, late_percent: u32) -> Self {
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
            rejects: Vec::new(),
            most_rejects: 0,
        }
    }

    pub(crate) fn sample(&mut self) -> (usize, i64, f64) {
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
    pub(crate) fn seal(
        &mut self,
        samples: Vec<(usize, i64, f64)>,
        step_ms: i64,
    ) -> (Sealed, CommitKind) {
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
            rejects: self.refuse(before),
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

    /// Some rejects that come at about `time`, in no order.
    fn refuse(&mut self, time: i64) -> Vec<Reject> {
        let count = self.random.random_range(0..=self.most_rejects);
        let first = self.rejects.len();
        for offset in (first as i64..).take(count) {
            let time = time + self.random.random_range(0..MINUTE_MS);
            self.rejects.push((time, offset));
        }
        let reject = |&(time, offset): &(i64, i64)| Reject {
            tenant: "a".into(),
            partition: Partition {
                topic: "metrics".into(),
                index: 0,
            },
            offset,
            time,
            reason: RejectReason::Malformed,
            detail: "not JSON".into(),
            bytes: b"?".to_vec(),
        };
        self.rejects[first..].iter().map(reject).collect()
    }

    /// The series of samples, once a day each.
    pub(crate) fn seen(&self, samples: impl Iterator<Item = (usize, i64)>) -> Vec<SeriesSeen> {
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

    pub(crate) fn series_oracle(&self) -> Rows {
        let seen = self.seen(self.all.keys().copied());
        let row = |seen: &SeriesSeen| ((seen.series.id(), seen.first_seen), last_seen(seen));
        seen.iter().map(row).collect()
    }

    /// The rows of the windows that have closed since `before`.
    pub(crate) fn close(&mut self, before: i64) -> Vec<(Tier, RollupRuns)> {
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

    pub(crate) fn runs(&self, rows: &BTreeMap<(usize, i64), Rollup>) -> RollupRuns {
        let mut runs = RollupRuns::default();
        for ((series, start), row) in rows {
            runs.push(&self.series[*series], *start, *row);
        }
        runs
    }

    pub(crate) fn oracle(&self, tier: Tier) -> Rows {
        let minutes = fold(&self.all);
        match tier.width_ms() {
            None => self.named(&self.all, |value| vec![value.to_bits()]),
            Some(MINUTE_MS) => self.named(&minutes, bits),
            Some(width) => self.named(&coarsen(&minutes, width), bits),
        }
    }

    pub(crate) fn named<T>(
        &self,
        rows: &BTreeMap<(usize, i64), T>,
        bits: impl Fn(&T) -> Vec<u64>,
    ) -> Rows {
        let name = |(series, at): &(usize, i64)| (self.series[*series].id(), *at);
        rows.iter()
            .map(|(key, row)| (name(key), bits(row)))
            .collect()
    }
}

//! A pipeline without Kafka or a store: scripted partitions at one end, shelves of rows at the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tidegauge_dataflow::{
    Bell, Board, Cluster, Draft, Lead, Outlet, Recovered, RecoveredSeries, Settings, Tick,
    WorkerEnds, fold_open, rebuild_from, run,
};
use tidegauge_model::{
    Chunk, Columns, Definition, HOUR_MS, Limits, MINUTE_MS, Metadata, NextOffset, Partition,
    Rollup, Sealed, Series, SeriesId, SourceEvent, Tier, Window, floor, prefer,
};

/// A sample as a producer writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) series: usize,
    pub(crate) time: i64,
    pub(crate) value: f64,
}

/// The series with the number `n`.
pub(crate) fn series(n: usize) -> Series {
    let name = format!("metric.{}", n % 3);
    let host = format!("web-{n:02}");
    Series::new(
        "default",
        &name,
        &mut vec![("host", &host)],
        &Limits::default(),
    )
    .expect("valid")
}

/// What has been committed, as a store would hold it.
#[derive(Clone, Default)]
pub(crate) struct Shelves {
    pub(crate) main: Vec<(SeriesId, i64, f64)>,
    pub(crate) overlay: Vec<(SeriesId, i64, f64)>,
    pub(crate) rollups: BTreeMap<Tier, Vec<(SeriesId, i64, Rollup)>>,
    pub(crate) seen: BTreeSet<(SeriesId, i64)>,
    pub(crate) rejects: usize,
    pub(crate) drafts: Vec<Draft<usize>>,
    pub(crate) next: BTreeMap<Partition, i64>,
    /// All of the above after each commit.
    pub(crate) history: Vec<Shelves>,
}

impl Shelves {
    /// What stood after the first `commits` commits.
    pub(crate) fn first(&self, commits: usize) -> Self {
        self.history[commits - 1].clone()
    }

    fn shelve(&mut self, sealed: &Sealed) {
        for (runs, shelf) in [
            (&sealed.samples, &mut self.main),
            (&sealed.overlay, &mut self.overlay),
        ] {
            for (series, time, value) in runs.iter() {
                assert!(time.is_sorted_by(|a, b| a < b), "a run ascends");
                shelf.extend(time.iter().zip(value).map(|(&t, &v)| (series.id(), t, v)));
            }
            assert!(
                runs.runs
                    .is_sorted_by(|a, b| a.series.file_order(&b.series).is_lt()),
                "runs stand in file order, each series once"
            );
        }
        for (tier, runs) in &sealed.rollups {
            for (series, time, rows) in runs.iter() {
                let shelf = self.rollups.entry(*tier).or_default();
                shelf.extend(
                    time.iter()
                        .zip(rows)
                        .map(|(&t, &row)| (series.id(), t, row)),
                );
            }
        }
        for seen in &sealed.series {
            let day = seen.first_seen.div_euclid(86_400_000);
            assert_eq!(day, seen.last_seen.div_euclid(86_400_000), "one day a row");
            self.seen.insert((seen.series.id(), day));
        }
        self.rejects += sealed.rejects.len();
    }

    /// Every minute ever marked dirty.
    pub(crate) fn dirty(&self) -> BTreeSet<i64> {
        self.drafts
            .iter()
            .flat_map(|draft| draft.dirty.iter().copied())
            .collect()
    }

    /// The raw tier as readers see it.
    pub(crate) fn settled(&self) -> BTreeMap<(SeriesId, i64), f64> {
        settle(self.main.iter().chain(&self.overlay).copied())
    }

    /// What a new life starts from, made the naive way.
    pub(crate) fn recover(&self, settings: &Settings, all: usize) -> Recovered {
        let Some(last) = self.drafts.last() else {
            return Recovered::default();
        };
        let mut recovered = Recovered {
            watermark: last.watermark,
            epoch: last.epoch,
            ..Recovered::default()
        };
        let from = last
            .watermark
            .map_or(i64::MIN, |it| rebuild_from(it, &settings.coarse_tiers()));
        let minute = last.watermark.map_or(i64::MIN, |it| floor(it, MINUTE_MS));
        recovered.touched = self
            .dirty()
            .into_iter()
            .filter(|&dirty| dirty >= from)
            .collect();
        let samples = self.settled();
        for n in 0..all {
            let id = series(n).id();
            let open = |time: i64| time >= minute && time <= last.cutoff;
            let rows: Vec<(i64, f64)> = samples
                .iter()
                .filter(|((of, time), _)| *of == id && open(*time))
                .map(|((_, time), value)| (*time, *value))
                .collect();
            let minutes: Vec<(i64, Rollup)> = self
                .rollups
                .get(&Tier::M1)
                .into_iter()
                .flatten()
                .filter(|(of, start, _)| *of == id && *start >= from)
                .map(|(_, start, row)| (*start, *row))
                .collect();
            if rows.is_empty() && minutes.is_empty() {
                continue;
            }
            recovered.series.push(RecoveredSeries {
                series: series(n),
                metadata: Arc::new(Metadata::default()),
                time: rows.iter().map(|row| row.0).collect(),
                value: rows.iter().map(|row| row.1).collect(),
                last_time: rows.last().map_or(i64::MIN, |row| row.0),
                last_value: rows.last().copied(),
                coarse: fold_open(&settings.coarse_tiers(), last.watermark, minutes),
            });
        }
        recovered
    }
}

/// Equal (series, time) settled: the oracle of the raw tier.
pub(crate) fn settle(
    rows: impl Iterator<Item = (SeriesId, i64, f64)>,
) -> BTreeMap<(SeriesId, i64), f64> {
    let mut settled = BTreeMap::new();
    for (series, time, value) in rows {
        settled
            .entry((series, time))
            .and_modify(|kept| *kept = prefer(*kept, value))
            .or_insert(value);
    }
    settled
}

/// The oracle of the 1-minute tier.
pub(crate) fn minutes(
    samples: &BTreeMap<(SeriesId, i64), f64>,
) -> BTreeMap<(SeriesId, i64), Rollup> {
    let mut groups: BTreeMap<(SeriesId, i64), (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for (&(series, time), &value) in samples {
        let group = groups
            .entry((series, Window::holding(time, MINUTE_MS).start))
            .or_default();
        group.0.push(time);
        group.1.push(value);
    }
    let fold = |(time, value): (Vec<i64>, Vec<f64>)| Rollup::fold(&time, &value).expect("samples");
    groups
        .into_iter()
        .map(|(key, group)| (key, fold(group)))
        .collect()
}

/// The oracle of the 1-hour tier.
pub(crate) fn hours(
    minutes: &BTreeMap<(SeriesId, i64), Rollup>,
) -> BTreeMap<(SeriesId, i64), Rollup> {
    let mut hours: BTreeMap<(SeriesId, i64), Rollup> = BTreeMap::new();
    for (&(series, start), row) in minutes {
        hours
            .entry((series, floor(start, HOUR_MS)))
            .and_modify(|hour| hour.append(row))
            .or_insert(*row);
    }
    hours
}

/// A partition that a script plays: samples in the order they are read, and how far they have been.
pub(crate) struct Script {
    pub(crate) partition: Partition,
    pub(crate) samples: Vec<Sample>,
}

/// One life of a pipeline.
pub(crate) struct Life {
    pub(crate) cluster: Cluster,
    pub(crate) shelves: Arc<Mutex<Shelves>>,
    events: Vec<(Sender<SourceEvent>, Bell)>,
    ticks: (Sender<Tick>, Bell),
    committed: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
    known: BTreeMap<Partition, BTreeMap<usize, u32>>,
    pub(crate) board: Board,
}

impl Life {
    /// Starts the processes of a cluster of `workers` each in threads of this one, from what
    /// `shelves` hold.
    pub(crate) fn start(
        settings: &Settings,
        hosts: &[String],
        workers: usize,
        shelves: Shelves,
        all: usize,
    ) -> Self {
        let recovered = shelves.recover(settings, all);
        let shelves = Arc::new(Mutex::new(shelves));
        let board = Board::default();
        let (tick_sender, ticks) = unbounded();
        let ticks_bell = Bell::default();
        let committed = Arc::new(AtomicU64::new(0));
        let mut life = Self {
            cluster: Cluster {
                workers,
                process: 0,
                hosts: hosts.to_vec(),
            },
            shelves,
            events: Vec::new(),
            ticks: (tick_sender, ticks_bell.clone()),
            committed: Arc::clone(&committed),
            threads: Vec::new(),
            known: BTreeMap::new(),
            board: board.clone(),
        };
        let peers = life.cluster.peers();
        let seals: Arc<Mutex<BTreeMap<usize, Sealed>>> = Arc::default();
        for process in 0..hosts.len().max(1) {
            let cluster = Cluster {
                process,
                ..life.cluster.clone()
            };
            let ends = cluster
                .indices()
                .map(|index| {
                    let mine = |series: &RecoveredSeries| {
                        series.series.id().0 % peers as u64 == index as u64
                    };
                    let recovered = Recovered {
                        series: recovered
                            .series
                            .iter()
                            .filter(|it| mine(it))
                            .cloned()
                            .collect(),
                        ..recovered.clone()
                    };
                    life.worker(recovered, &seals)
                })
                .collect();
            let lead = (process == 0).then(|| {
                let (drafts, taken) = bounded(2);
                life.threads
                    .push(committer(taken, &life.shelves, &seals, &committed));
                Lead {
                    ticks: ticks.clone(),
                    ticks_bell: ticks_bell.clone(),
                    drafts,
                    committed: Arc::clone(&committed),
                }
            });
            let (settings, board) = (settings.clone(), board.clone());
            life.threads.push(thread::spawn(move || {
                run(&cluster, &settings, ends, lead, &board).expect("runs to its end");
            }));
        }
        life
    }

    /// A worker's ends, with a sink that keeps rows by a number that it returns as receipt.
    fn worker(
        &mut self,
        recovered: Recovered,
        seals: &Arc<Mutex<BTreeMap<usize, Sealed>>>,
    ) -> WorkerEnds<usize> {
        let (event_sender, events) = unbounded();
        let events_bell = Bell::default();
        self.events.push((event_sender, events_bell.clone()));
        let (seal_sender, sealed) = bounded::<(u64, Sealed)>(2);
        let (receipt_sender, receipts) = bounded(2);
        let bell = Bell::default();
        let (rung, seals) = (bell.clone(), Arc::clone(seals));
        self.threads.push(thread::spawn(move || {
            for (epoch, rows) in sealed {
                let mut seals = seals.lock().expect("no panics");
                let number = seals.len();
                seals.insert(number, rows);
                drop(seals);
                receipt_sender.send((epoch, number)).expect("taken");
                rung.ring();
            }
        }));
        let outlet = Outlet {
            seals: seal_sender,
            receipts,
            bell,
        };
        WorkerEnds {
            events,
            events_bell,
            controls: unbounded().0,
            recovered,
            outlet,
        }
    }

    /// Registers the partition with the worker that owns it.
    pub(crate) fn register(&mut self, partition: &Partition, lateness_ms: i64) {
        self.known.insert(partition.clone(), BTreeMap::new());
        let registered = SourceEvent::Registered {
            partition: partition.clone(),
            lateness_ms,
        };
        self.send(partition, registered);
    }

    /// Plays the samples of `script` at `range` as one chunk, read at `now`.
    pub(crate) fn play(
        &mut self,
        script: &Script,
        range: std::ops::Range<usize>,
        now: i64,
        ended: bool,
    ) {
        let known = self.known.get_mut(&script.partition).expect("registered");
        let mut samples = Columns::default();
        let mut definitions = Vec::new();
        for sample in &script.samples[range.clone()] {
            let next = u32::try_from(known.len()).expect("few");
            let local = *known.entry(sample.series).or_insert_with(|| {
                definitions.push(Definition {
                    local: next,
                    series: series(sample.series),
                    metadata: Arc::new(Metadata::default()),
                    delta: false,
                });
                next
            });
            samples.push(local, sample.time, sample.value);
        }
        let chunk = Chunk {
            partition: script.partition.clone(),
            next: NextOffset(i64::try_from(range.end).expect("few")),
            mark: None,
            polled_at: now,
            clock: now,
            samples,
            definitions,
            rejects: Vec::new(),
            proven_end_at: ended.then_some(now),
        };
        self.send(&script.partition, SourceEvent::Chunk(chunk));
    }

    fn send(&self, partition: &Partition, event: SourceEvent) {
        let worker = usize::try_from(partition.index).expect("positive") % self.events.len();
        let (events, bell) = &self.events[worker];
        events.send(event).expect("workers live");
        bell.ring();
    }

    /// Ticks, once the tick before has been taken: a clock runs no further ahead of the workers than
    /// one round of the script, or what they read would lie past their future cutoff.
    pub(crate) fn tick(&self, now: i64, seal: bool) {
        while !self.ticks.0.is_empty() {
            thread::yield_now();
        }
        self.ticks
            .0
            .send(Tick {
                now,
                seal,
                stop: false,
            })
            .expect("worker 0 lives");
        self.ticks.1.ring();
    }

    fn watermark(&self) -> Option<i64> {
        self.board.read().open.and_then(|open| open.watermark)
    }

    /// Ends this life with a last commit.
    pub(crate) fn stop(self, now: i64) -> Shelves {
        // The script ends with proofs of idleness up to here: all before them is taken then.
        let complete = now - 20_000;
        let taken = |(events, _): &(Sender<SourceEvent>, Bell)| events.is_empty();
        while !self.events.iter().all(taken) || self.watermark() < Some(complete) {
            self.tick(now, false);
            thread::yield_now();
        }
        self.ticks
            .0
            .send(Tick {
                now,
                seal: true,
                stop: true,
            })
            .expect("worker 0 lives");
        self.ticks.1.ring();
        drop(self.events);
        for thread in self.threads {
            thread.join().expect("no panics");
        }
        assert!(
            self.committed.load(Ordering::Acquire) > 0,
            "something was committed"
        );
        let shelves = self.shelves.lock().expect("no panics");
        shelves.clone()
    }
}

/// Commits drafts: from then on, and not before, their rows count.
fn committer(
    drafts: Receiver<Draft<usize>>,
    shelves: &Arc<Mutex<Shelves>>,
    seals: &Arc<Mutex<BTreeMap<usize, Sealed>>>,
    committed: &Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    let (shelves, seals, committed) = (
        Arc::clone(shelves),
        Arc::clone(seals),
        Arc::clone(committed),
    );
    thread::spawn(move || {
        for draft in drafts {
            let mut shelves = shelves.lock().expect("no panics");
            for receipt in &draft.receipts {
                shelves.shelve(&seals.lock().expect("no panics")[receipt]);
            }
            for cut in &draft.cuts {
                shelves.next.insert(cut.partition.clone(), cut.next.0);
            }
            committed.store(draft.epoch, Ordering::Release);
            shelves.drafts.push(draft);
            let now = Shelves {
                history: Vec::new(),
                ..shelves.clone()
            };
            shelves.history.push(now);
        }
    })
}

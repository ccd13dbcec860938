//! The consumer thread: polls in rounds, decodes, and hands over one chunk a partition and round.
//!
//! A round ends when nothing more is there, or after `ROUND`, or with `round_samples` or
//! `round_bytes`. Between rounds the reader hears what the watcher learned and what the handle
//! wants. What it holds is bounded: the client's own queue (`queue_kib` and one fetch answer of at
//! most 16 MiB a broker), one round, and the channel (its capacity times one round).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tidegauge_model::{Partition, PartitionCut, SourceEvent};

use crate::hooks::Clock;
use crate::lane::{Lane, Phase, Verified};
use crate::native::{BEGINNING, Batch, Client, Code, END, Message, Queue, Topic};
use crate::outlet::{Halt, Outlet};
use crate::settings::{Settings, StartAt};
use crate::share::WorkerShare;
use crate::shared::{Blocked, PartitionLag, Shared, SourceStats, Trouble};
use crate::topics::Topics;
use crate::verdict::Doubt;
use crate::watch::{Ask, Told};

/// Messages taken by one call.
const BATCH: usize = 8192;
/// How long to wait for a first record; other duties wait so long at most.
const WAIT: Duration = Duration::from_millis(25);
/// How long to wait for more records once there is one: makes few large chunks of many small ones.
const LINGER: Duration = Duration::from_millis(3);
/// How long one round may last.
const ROUND: Duration = Duration::from_millis(50);
/// How often lags and counts are shown.
const PUBLISH: Duration = Duration::from_millis(200);

/// What the handle wants.
#[derive(Debug)]
pub(crate) enum Command {
    Pause(Vec<Partition>),
    Resume(Vec<Partition>),
}

/// The thread's state.
pub(crate) struct Reader {
    pub(crate) settings: Settings,
    pub(crate) topics: Arc<Topics>,
    pub(crate) share: WorkerShare,
    pub(crate) client: Arc<Client>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) asks: Sender<Ask>,
    pub(crate) told: Receiver<Told>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) out: Outlet,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) resume: BTreeMap<Partition, PartitionCut>,
    pub(crate) state: State,
}

/// What changes while reading.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) by_partition: HashMap<Partition, usize>,
    /// Lanes by what their messages carry.
    pub(crate) by_message: HashMap<(usize, i32), usize>,
    pub(crate) handles: HashMap<Arc<str>, Topic>,
    /// The id under which each topic was first seen.
    pub(crate) ids: HashMap<Arc<str>, [i64; 2]>,
    /// Whether brokers have said once which topics there are.
    pub(crate) surveyed: bool,
    /// Whether an answer about ends is outstanding.
    pub(crate) asking: bool,
    /// What the client last complained of, and when.
    pub(crate) trouble: Option<(Instant, String)>,
    /// Why no broker says which topics there are.
    pub(crate) away: Option<Blocked>,
    /// Topics of which brokers let nothing be read.
    pub(crate) unread: BTreeMap<Arc<str>, Blocked>,
    pub(crate) stats: SourceStats,
    published: Option<Instant>,
    /// What the round holds so far.
    samples: usize,
    bytes: usize,
}

impl Reader {
    /// Reads until told to stop or until it can't go on; says why it ended where that matters.
    pub(crate) fn run(mut self) {
        let ended = self.read();
        self.publish();
        if let Err(Halt::Failed(error)) = ended {
            tracing::error!(%error, "kafka source stops");
            self.shared.fail(error);
        }
        self.shared.ready.store(true, Ordering::Release);
        self.out.sent = true;
        self.out.wake();
        for at in 0..self.state.lanes.len() {
            self.halt(at);
        }
    }

    fn read(&mut self) -> Result<(), Halt> {
        let mut batch = Batch::new(&self.queue, BATCH);
        self.adopt_resumed()?;
        while !self.out.stop.load(Ordering::Relaxed) {
            self.client_events()?;
            self.obey()?;
            self.listen()?;
            self.ask();
            self.ask_doubts();
            self.round(&mut batch)?;
            self.out.wake();
            if self
                .state
                .published
                .is_none_or(|at| at.elapsed() >= PUBLISH)
            {
                self.publish();
            }
        }
        Ok(())
    }

    fn round(&mut self, batch: &mut Batch) -> Result<(), Halt> {
        let (began, mut wait, mut linger) = (Instant::now(), WAIT, LINGER);
        loop {
            let count = batch.fill(wait, linger);
            let polled_at = (self.clock)();
            for index in 0..count {
                self.message(batch.get(index), index, polled_at)?;
                if self.round_is_full() {
                    self.hand_over(batch, polled_at)?;
                }
            }
            self.settle(batch);
            if count < BATCH || began.elapsed() > ROUND {
                return self.hand_over(batch, polled_at);
            }
            (wait, linger) = (Duration::ZERO, Duration::ZERO);
        }
    }

    fn round_is_full(&self) -> bool {
        self.state.samples >= self.settings.round_samples
            || self.state.bytes >= self.settings.round_bytes
    }

    fn message(&mut self, message: Message<'_>, index: usize, at: i64) -> Result<(), Halt> {
        let key = (message.topic_key(), message.index());
        let Some(&lane) = self.state.by_message.get(&key) else {
            return Ok(());
        };
        match message.code() {
            None => self.record(lane, &message, index, at),
            Some(Code::RD_KAFKA_RESP_ERR__PARTITION_EOF) => {
                self.reached_end(lane, message.offset());
                Ok(())
            }
            Some(Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) => {
                self.doubt(lane, Doubt::OutOfRange);
                Ok(())
            }
            Some(_) => self.partition_error(lane, message.error_text()),
        }
    }

    fn record(
        &mut self,
        at: usize,
        message: &Message<'_>,
        index: usize,
        now: i64,
    ) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        match lane.phase {
            Phase::Reading => {}
            Phase::Verifying => match lane.verify(message) {
                Verified::Pass => return Ok(()),
                Verified::Take => {}
                Verified::TakeUnverified => self.unverified(at),
                Verified::Doubt(doubt) => {
                    self.doubt(at, doubt);
                    return Ok(());
                }
            },
            Phase::Doubting(_) | Phase::Gone => return Ok(()),
        }
        let lane = &mut self.state.lanes[at];
        // The client may hand out a record twice after it has started a partition again.
        if lane.next.is_some_and(|next| message.offset() < next) {
            return Ok(());
        }
        let taken = lane.take(message, index, now);
        let stats = &mut self.state.stats;
        stats.records += 1;
        stats.bytes += taken.bytes as u64;
        stats.samples += taken.samples as u64;
        stats.tombstones += u64::from(taken.tombstone);
        self.state.samples += taken.samples;
        self.state.bytes += taken.bytes + taken.refused_bytes;
        Ok(())
    }

    fn reached_end(&mut self, at: usize, offset: i64) {
        let lane = &mut self.state.lanes[at];
        match (&lane.phase, lane.next) {
            (Phase::Verifying, Some(next)) if offset < next => {
                self.doubt(at, Doubt::EndsEarly { end: offset });
                return;
            }
            (Phase::Verifying, _) => {
                lane.phase = Phase::Reading;
                lane.reached(offset);
                self.unverified(at);
            }
            (Phase::Reading, _) => lane.reached(offset),
            (Phase::Doubting(_) | Phase::Gone, _) => return,
        }
        self.state.lanes[at].behind_since = None;
    }

    fn unverified(&mut self, at: usize) {
        self.state.stats.unverified += 1;
        let partition = &self.state.lanes[at].partition;
        tracing::warn!(%partition, "the last record read is no longer there to compare");
    }

    fn settle(&mut self, batch: &Batch) {
        for lane in self.state.lanes.iter_mut().filter(|lane| lane.touched) {
            lane.settle(|index| batch.get(index));
        }
    }

    /// Sends one chunk for each partition that was touched.
    fn hand_over(&mut self, batch: &Batch, polled_at: i64) -> Result<(), Halt> {
        (self.state.samples, self.state.bytes) = (0, 0);
        self.settle(batch);
        let now = Instant::now();
        let stale_ms = i64::try_from(self.settings.stale_ms).unwrap_or(i64::MAX);
        for at in 0..self.state.lanes.len() {
            let lane = &mut self.state.lanes[at];
            if lane.touched {
                lane.hear(now, polled_at, stale_ms);
                self.send_chunk(at, polled_at, None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn send_chunk(
        &mut self,
        at: usize,
        polled_at: i64,
        proven_end_at: Option<i64>,
    ) -> Result<(), Halt> {
        let Some(handed) = self.state.lanes[at].chunk(polled_at, proven_end_at) else {
            return Ok(());
        };
        let stats = &mut self.state.stats;
        stats.chunks += 1;
        stats.rejects += handed.chunk.rejects.len() as u64;
        stats.skipped.string_fields += handed.skipped.string_fields;
        stats.skipped.exemplars += handed.skipped.exemplars;
        stats.skipped.relabel_drops += handed.skipped.relabel_drops;
        stats.skipped.folded_rejects += handed.skipped.folded_rejects;
        self.out.send(SourceEvent::Chunk(handed.chunk))
    }

    /// Begins, or begins again, to read a lane from where it stands.
    pub(crate) fn begin(&mut self, at: usize) -> Result<(), Halt> {
        self.halt(at);
        let lane = &mut self.state.lanes[at];
        let now = Instant::now();
        (lane.heard_at, lane.fresh_at) = (now, now);
        lane.behind_since = None;
        if lane.paused || matches!(lane.phase, Phase::Doubting(_) | Phase::Gone) {
            return Ok(());
        }
        let verifying = lane.mark.filter(|_| lane.phase == Phase::Verifying);
        let first = *lane.first.get_or_insert(match self.settings.start {
            StartAt::Latest if !self.state.surveyed => END,
            _ => BEGINNING,
        });
        let offset = verifying
            .map(|mark| mark.offset)
            .or(lane.next)
            .unwrap_or(first);
        let topic = &self.state.handles[&lane.partition.topic];
        topic.start(lane.partition.index, offset, &self.queue)?;
        lane.started = true;
        Ok(())
    }

    /// Ends reading a lane; whatever the client still holds of it is dropped.
    pub(crate) fn halt(&mut self, at: usize) {
        let lane = &mut self.state.lanes[at];
        if std::mem::take(&mut lane.started) {
            self.state.handles[&lane.partition.topic].stop(lane.partition.index);
        }
    }

    fn obey(&mut self) -> Result<(), Halt> {
        while let Ok(command) = self.commands.try_recv() {
            let (partitions, pause) = match command {
                Command::Pause(partitions) => (partitions, true),
                Command::Resume(partitions) => (partitions, false),
            };
            for partition in partitions {
                let Some(&at) = self.state.by_partition.get(&partition) else {
                    continue;
                };
                if std::mem::replace(&mut self.state.lanes[at].paused, pause) == pause {
                    continue;
                }
                if pause {
                    self.halt(at);
                } else {
                    self.begin(at)?;
                }
            }
        }
        Ok(())
    }

    fn client_events(&mut self) -> Result<(), Halt> {
        while let Some(event) = self.client.event() {
            if event.fatal {
                return Err(crate::SourceError::Fatal { reason: event.text }.into());
            }
            if !event.text.is_empty() {
                tracing::debug!(text = event.text, "kafka client");
                // "2/2 brokers are down" says less than what was said of one of them.
                let is_sum = event.text.ends_with("brokers are down");
                if !is_sum || self.state.trouble.is_none() {
                    self.state.trouble = Some((Instant::now(), event.text));
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.state.published = Some(Instant::now());
        let lags = self
            .state
            .lanes
            .iter()
            .filter(|lane| lane.phase != Phase::Gone);
        let lags = lags
            .filter_map(|lane| {
                let next = lane.next?;
                let topic = &self.state.handles[&lane.partition.topic];
                let end = topic.cached_end(lane.partition.index).max(lane.end);
                let end = end.unwrap_or(next).max(next);
                let partition = lane.partition.clone();
                Some(PartitionLag {
                    partition,
                    next,
                    end,
                    lag: end - next,
                })
            })
            .collect();
        let blocked = |lane: &Lane| Some((lane.partition.clone(), lane.blocked.clone()?));
        let trouble = Trouble {
            brokers: self.state.away.clone(),
            topics: self.state.unread.clone().into_iter().collect(),
            partitions: self.state.lanes.iter().filter_map(blocked).collect(),
        };
        self.shared.publish(lags, self.state.stats, trouble);
    }
}

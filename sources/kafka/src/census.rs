//! Which partitions there are: taking on new ones, letting go of those that are gone.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegauge_model::{Partition, PartitionCut, SourceEvent};

use crate::lane::{Lane, Phase};
use crate::native::Topic;
use crate::native::admin::{Presence, TopicState};
use crate::outlet::Halt;
use crate::reader::Reader;
use crate::shared::Blocked;
use crate::watch::Told;

impl Reader {
    /// Takes on the partitions that a commit knows, before any broker has answered: they hold the
    /// watermark from the start.
    pub(crate) fn adopt_resumed(&mut self) -> Result<(), Halt> {
        for (partition, cut) in std::mem::take(&mut self.resume) {
            if !self.share.owns(&partition) {
                continue;
            }
            if self.topics.rule(&partition.topic).is_none() {
                tracing::info!(%partition, "committed, but no longer read by the settings");
                continue;
            }
            self.adopt(partition, Some(cut))?;
        }
        Ok(())
    }

    fn adopt(&mut self, partition: Partition, cut: Option<PartitionCut>) -> Result<(), Halt> {
        let Some(rule) = self.topics.rule(&partition.topic).map(Arc::clone) else {
            return Ok(());
        };
        let handle = match self.state.handles.entry(Arc::clone(&partition.topic)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Topic::new(&self.client, &partition.topic)?),
        };
        let at = self.state.lanes.len();
        self.state
            .by_message
            .insert((handle.key(), partition.index), at);
        self.state.by_partition.insert(partition.clone(), at);
        let now = Instant::now();
        self.state
            .lanes
            .push(Lane::new(partition, rule, &self.settings, cut, now));
        self.register(at)?;
        self.begin(at)
    }

    pub(crate) fn register(&mut self, at: usize) -> Result<(), Halt> {
        let lane = &self.state.lanes[at];
        let (partition, lateness_ms) = (lane.partition.clone(), lane.rule.lateness_ms);
        tracing::info!(%partition, next = lane.next, "kafka partition registered");
        self.out.send(SourceEvent::Registered {
            partition,
            lateness_ms,
        })
    }

    /// Hears what the watcher has learned.
    pub(crate) fn listen(&mut self) -> Result<(), Halt> {
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Topics(Ok(topics)) => {
                    self.state.away = None;
                    self.survey(&topics)?;
                }
                Told::Topics(Err(reason)) => {
                    tracing::debug!(reason, "looking for topics failed");
                    self.brokers_away(&reason);
                    self.state.trouble.get_or_insert((Instant::now(), reason));
                }
                Told::Ends {
                    asked_at,
                    partitions,
                    answers,
                } => {
                    self.ends(asked_at, &partitions, answers)?;
                }
                Told::Holds { partition, answer } => self.settle_doubt(&partition, answer)?,
            }
        }
        if !self.shared.ready.load(Ordering::Relaxed) && self.is_ready() {
            self.shared.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn brokers_away(&mut self, reason: &str) {
        if self.state.away.is_none() {
            let reason = self.explain(reason);
            tracing::warn!(reason, "kafka can't be reached");
            let since = (self.clock)();
            self.state.away = Some(Blocked { since, reason });
        }
    }

    /// Whether all partitions are known and none is still being checked.
    fn is_ready(&self) -> bool {
        let unsure = |lane: &Lane| matches!(lane.phase, Phase::Verifying | Phase::Doubting(_));
        self.state.surveyed && !self.state.lanes.iter().any(unsure)
    }

    fn survey(&mut self, topics: &[TopicState]) -> Result<(), Halt> {
        for topic in topics {
            match &topic.presence {
                Presence::Here => {
                    self.state.unread.remove(&topic.name);
                    self.present(topic)?;
                }
                Presence::Absent => {
                    self.state.unread.remove(&topic.name);
                    self.absent(topic, "the brokers know no such topic")?;
                }
                Presence::Unclear(reason) => self.unclear(topic, reason)?,
            }
        }
        self.state.surveyed = true;
        Ok(())
    }

    fn present(&mut self, topic: &TopicState) -> Result<(), Halt> {
        for at in self.lanes_of(&topic.name) {
            if !topic
                .partitions
                .contains(&self.state.lanes[at].partition.index)
            {
                self.missing(at, "its topic has fewer partitions now")?;
                continue;
            }
            self.state.lanes[at].missing_since = None;
            if self.state.lanes[at].phase == Phase::Gone {
                self.revive(at)?;
            }
        }
        self.identify(&topic.name, topic.id);
        for &index in &topic.partitions {
            let partition = Partition {
                topic: Arc::clone(&topic.name),
                index,
            };
            let new = !self.state.by_partition.contains_key(&partition);
            if new && self.share.owns(&partition) {
                self.adopt(partition, None)?;
            }
        }
        Ok(())
    }

    /// Says once that brokers let nothing of a topic be read. One that has partitions is told of by them.
    fn unread(&mut self, topic: &Arc<str>, reason: &str) {
        let lanes = self.lanes_of(topic);
        let has_any = lanes
            .iter()
            .any(|&at| self.state.lanes[at].phase != Phase::Gone);
        if has_any || self.state.unread.contains_key(topic) {
            return;
        }
        tracing::warn!(%topic, reason, "nothing of this topic can be read; it is asked for again and again");
        let blocked = Blocked {
            since: (self.clock)(),
            reason: reason.to_owned(),
        };
        self.state.unread.insert(Arc::clone(topic), blocked);
    }

    fn absent(&mut self, topic: &TopicState, reason: &str) -> Result<(), Halt> {
        for at in self.lanes_of(&topic.name) {
            self.missing(at, reason)?;
        }
        Ok(())
    }

    fn unclear(&mut self, topic: &TopicState, reason: &str) -> Result<(), Halt> {
        self.unread(&topic.name, reason);
        for at in self.lanes_of(&topic.name) {
            self.block(at, (self.clock)(), reason)?;
        }
        Ok(())
    }

    pub(crate) fn lanes_of(&self, topic: &str) -> Vec<usize> {
        let lanes = self.state.lanes.iter().enumerate();
        lanes
            .filter(|(_, lane)| &*lane.partition.topic == topic)
            .map(|(at, _)| at)
            .collect()
    }

    /// A partition that brokers say is not there is blocked at first, for brokers that are
    /// starting say so too, and withdrawn once they have said so for long enough.
    fn missing(&mut self, at: usize, reason: &str) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        if lane.phase == Phase::Gone {
            return Ok(());
        }
        let since = *lane.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Duration::from_millis(self.settings.gone_after_ms) {
            return self.block(at, (self.clock)(), reason);
        }
        self.withdraw(at, reason.to_owned())
    }

    pub(crate) fn withdraw(&mut self, at: usize, reason: String) -> Result<(), Halt> {
        self.halt(at);
        let lane = &mut self.state.lanes[at];
        lane.phase = Phase::Gone;
        lane.blocked = None;
        let partition = lane.partition.clone();
        tracing::warn!(%partition, reason, "kafka partition withdrawn");
        self.out.send(SourceEvent::Withdrawn { partition, reason })
    }

    /// A withdrawn partition is there again: it goes on where it stood, if it is the same one.
    fn revive(&mut self, at: usize) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        lane.phase = if lane.mark.is_some() {
            Phase::Verifying
        } else {
            Phase::Reading
        };
        lane.redefine();
        self.register(at)?;
        self.begin(at)
    }
}

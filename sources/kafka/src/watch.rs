//! The second thread: asks brokers, so that reading never waits for an answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tidegauge_model::Partition;

use crate::hooks::Clock;
use crate::native::admin::{Asker, Edge, EdgeAnswer, TopicState};
use crate::topics::Topics;

/// What the reader wants to know.
pub(crate) enum Ask {
    /// Where these partitions end.
    Ends(Vec<Partition>),
    /// What this partition holds, and whether its topic is the one that was read.
    Holds(Partition),
    /// What topics there are, now rather than at the next turn.
    Topics,
}

/// What brokers said.
pub(crate) enum Told {
    /// The topics that are read, as of one moment.
    Topics(Result<Vec<TopicState>, String>),
    /// Where partitions end.
    Ends {
        /// Wall clock when the request was sent, in milliseconds.
        asked_at: i64,
        partitions: Vec<Partition>,
        answers: Result<Vec<EdgeAnswer>, String>,
    },
    /// What a partition holds.
    Holds {
        partition: Partition,
        answer: Result<Held, String>,
    },
}

/// What a partition holds: offsets `[first, end)`.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// Its topic's id.
    pub(crate) topic_id: [i64; 2],
}

/// The thread's state.
pub(crate) struct Watcher {
    pub(crate) topics: Arc<Topics>,
    pub(crate) asker: Asker,
    pub(crate) asks: Receiver<Ask>,
    pub(crate) told: Sender<Told>,
    pub(crate) clock: Clock,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) refresh: Duration,
    /// Topics that are described whether or not the list of topics has them.
    pub(crate) followed: BTreeSet<Arc<str>>,
}

/// Topics are not looked for more often than this, whoever asks.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(200);

impl Watcher {
    /// Answers until the reader or the handle ends it.
    pub(crate) fn run(mut self) {
        self.followed.extend(self.topics.named().map(Arc::clone));
        let mut refreshed: Option<Instant> = None;
        let mut wanted = true;
        while !self.stop.load(Ordering::Relaxed) {
            let every = if wanted {
                REFRESH_AT_MOST_EVERY
            } else {
                self.refresh
            };
            let left = refreshed.map_or(Duration::ZERO, |at| every.saturating_sub(at.elapsed()));
            if left.is_zero() {
                let topics = self.look();
                // A broker that can't be asked is asked again soon.
                wanted = topics.is_err();
                refreshed = Some(Instant::now());
                if self.told.send(Told::Topics(topics)).is_err() {
                    return;
                }
                continue;
            }
            match self.asks.recv_timeout(left.min(Duration::from_millis(100))) {
                Ok(Ask::Topics) => wanted = true,
                Ok(Ask::Ends(partitions)) => self.ends(partitions),
                Ok(Ask::Holds(partition)) => self.holds(partition),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) -> Result<Vec<TopicState>, String> {
        if self.topics.has_regex() {
            for name in self.asker.topic_names()? {
                if self.topics.rule(&name).is_some() {
                    // Once seen it is asked for by name, so that its absence is noticed.
                    self.followed.insert(name.into());
                }
            }
        }
        let names: Vec<_> = self.followed.iter().map(Arc::clone).collect();
        self.asker.describe(&names)
    }

    fn ends(&self, partitions: Vec<Partition>) {
        let asked_at = (self.clock)();
        let answers = self.asker.edges(&partitions, Edge::Latest);
        let _ = self.told.send(Told::Ends {
            asked_at,
            partitions,
            answers,
        });
    }

    fn holds(&self, partition: Partition) {
        let answer = self.held(&partition);
        let _ = self.told.send(Told::Holds { partition, answer });
    }

    fn held(&self, partition: &Partition) -> Result<Held, String> {
        let one = std::slice::from_ref(partition);
        let edge = |edge| {
            let answers = self.asker.edges(one, edge)?;
            answers
                .into_iter()
                .next()
                .map_or_else(|| Err("no answer".into()), |answer| answer.1)
        };
        let states = self.asker.describe(&[Arc::clone(&partition.topic)])?;
        let topic_id = states.first().map_or([0; 2], |state| state.id);
        Ok(Held {
            first: edge(Edge::Earliest)?,
            end: edge(Edge::Latest)?,
            topic_id,
        })
    }
}

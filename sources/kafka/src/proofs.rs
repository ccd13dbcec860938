//! Idle or blocked: a quiet partition is asked for its end.
//!
//! If what is read next is not before an end that was asked for at `t`, then everything that was
//! in the partition at `t` has been taken and sent on: the partition is proven idle as of `t`. If
//! the question can't be answered, it is blocked.
//!
//! Quiet is a partition that brings nothing by which event time could be told: no record, or only
//! rejects and samples of clocks that are ahead. One that has brought nothing but stale samples for long
//! is asked too: at its end that is no backlog but a clock that is behind, which must not hold
//! everyone's windows open.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tidegauge_model::{Partition, SourceEvent};

use crate::lane::{Lane, Phase};
use crate::native::admin::EdgeAnswer;
use crate::outlet::Halt;
use crate::reader::Reader;
use crate::shared::Blocked;
use crate::watch::Ask;

/// How long a partition may hold more than comes out of it before it counts as blocked.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);
/// How old a complaint of the client may be to explain what fails now.
const TROUBLE_LASTS: Duration = Duration::from_secs(30);

impl Reader {
    /// Asks for the ends of partitions that are quiet, all in one question, and never while
    /// another is unanswered.
    pub(crate) fn ask(&mut self) {
        if self.state.asking {
            return;
        }
        let now = Instant::now();
        let stale = Duration::from_millis(self.settings.stale_ms);
        let mut partitions = Vec::new();
        for lane in &mut self.state.lanes {
            let every = self.settings.idle_proof_ms(lane.rule.lateness_ms);
            let every = Duration::from_millis(u64::try_from(every).unwrap_or(0));
            if is_due(lane, now, every, stale) {
                lane.asked_at = Some(now);
                partitions.push(lane.partition.clone());
            }
        }
        if !partitions.is_empty() && self.asks.send(Ask::Ends(partitions)).is_ok() {
            self.state.asking = true;
        }
    }

    /// Takes the answer to [`Reader::ask`].
    pub(crate) fn ends(
        &mut self,
        asked_at: i64,
        partitions: &[Partition],
        answers: Result<Vec<EdgeAnswer>, String>,
    ) -> Result<(), Halt> {
        self.state.asking = false;
        let (mut answers, all): (HashMap<_, _>, _) = match answers {
            Ok(answers) => (
                answers.into_iter().collect(),
                "the brokers left it out".to_owned(),
            ),
            Err(reason) => (HashMap::new(), reason),
        };
        for partition in partitions {
            let Some(&at) = self.state.by_partition.get(partition) else {
                continue;
            };
            match answers
                .remove(partition)
                .unwrap_or_else(|| Err(all.clone()))
            {
                Ok(end) => self.end(at, asked_at, end)?,
                Err(reason) => {
                    let reason = self.explain(&reason);
                    self.block(at, asked_at, &reason)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, at: usize, asked_at: i64, end: i64) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        lane.end = Some(end);
        let is_done = |next: &i64| *next >= end && lane.phase == Phase::Reading;
        if lane.next.as_ref().is_some_and(is_done) {
            lane.behind_since = None;
            lane.blocked = None;
            self.state.stats.proofs += 1;
            return self.send_chunk(at, (self.clock)(), Some(asked_at));
        }
        if lane.paused || matches!(lane.phase, Phase::Doubting(_) | Phase::Gone) {
            return Ok(());
        }
        let since = *lane.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() < STUCK_AFTER {
            return Ok(());
        }
        let from = lane
            .next
            .map_or_else(|| "its start".into(), |next| format!("offset {next}"));
        let reason = self.explain(&format!(
            "the end is {end}, but nothing from {from} on comes: an open transaction, or a fetch that fails"
        ));
        self.block(at, asked_at, &reason)
    }

    /// The client says that a partition can't be read.
    pub(crate) fn partition_error(&mut self, at: usize, reason: String) -> Result<(), Halt> {
        let _ = self.asks.send(Ask::Topics);
        self.block(at, (self.clock)(), &reason)
    }

    /// Reports a partition as blocked, once until it brings something again.
    pub(crate) fn block(&mut self, at: usize, since: i64, reason: &str) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        if lane.phase == Phase::Gone || lane.blocked.is_some() {
            return Ok(());
        }
        self.state.stats.blocked += 1;
        let (partition, reason) = (lane.partition.clone(), reason.to_owned());
        lane.blocked = Some(Blocked {
            since,
            reason: reason.clone(),
        });
        tracing::warn!(%partition, reason, "kafka partition blocked");
        self.out.send(SourceEvent::Blocked {
            partition,
            since,
            reason,
        })
    }

    /// A failure with what the client last complained of, which often is the cause.
    pub(crate) fn explain(&self, reason: &str) -> String {
        match &self.state.trouble {
            Some((at, trouble)) if at.elapsed() < TROUBLE_LASTS && trouble != reason => {
                format!("{reason} ({trouble})")
            }
            _ => reason.to_owned(),
        }
    }
}

/// Whether a lane has been quiet or stale long enough to ask, and was not just asked.
fn is_due(lane: &Lane, now: Instant, every: Duration, stale: Duration) -> bool {
    let is_quiet = now.duration_since(lane.heard_at) >= every;
    let is_stale = now.duration_since(lane.fresh_at) >= stale;
    matches!(lane.phase, Phase::Reading | Phase::Verifying)
        && (is_quiet || is_stale)
        && lane
            .asked_at
            .is_none_or(|at| now.duration_since(at) >= every)
}

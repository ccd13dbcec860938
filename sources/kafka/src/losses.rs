//! What happens when a partition may not be the one that was read, or no longer holds what was
//! not yet read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegauge_model::{NextOffset, Partition, Reject, RejectReason};

use crate::SourceError;
use crate::lane::Phase;
use crate::outlet::Halt;
use crate::proofs::STUCK_AFTER;
use crate::reader::Reader;
use crate::settings::OnLost;
use crate::verdict::{Doubt, Loss, LossCause, Verdict, judge};
use crate::watch::{Ask, Held};

/// How long to wait before a question about a doubt is put again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The id of a topic at brokers that know no ids.
const NO_ID: [i64; 2] = [0, 0];

impl Reader {
    /// Stops reading a partition until it is known what it holds now.
    pub(crate) fn doubt(&mut self, at: usize, doubt: Doubt) {
        // One that is withdrawn is looked at when it comes back.
        if self.state.lanes[at].phase == Phase::Gone {
            return;
        }
        self.halt(at);
        let lane = &mut self.state.lanes[at];
        // A doubt that already stands is answered by the same question, but for the certainty that
        // the topic is another.
        if matches!(lane.phase, Phase::Doubting(_)) && doubt != Doubt::OtherTopicId {
            return;
        }
        tracing::warn!(partition = %lane.partition, ?doubt, "checking what the partition holds");
        // A new leader may not yet know the end: it is given time.
        let may_pass = matches!(doubt, Doubt::EndsEarly { .. });
        lane.phase = Phase::Doubting(doubt);
        if may_pass {
            lane.asked_at = Some(Instant::now());
            return;
        }
        lane.asking = true;
        let _ = self.asks.send(Ask::Holds(lane.partition.clone()));
    }

    /// Puts questions about doubts again that could not be answered.
    pub(crate) fn ask_doubts(&mut self) {
        for lane in &mut self.state.lanes {
            let unanswered = matches!(lane.phase, Phase::Doubting(_)) && !lane.asking;
            if unanswered && lane.asked_at.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                lane.asking = true;
                let _ = self.asks.send(Ask::Holds(lane.partition.clone()));
            }
        }
    }

    /// Takes the answer and goes on, or stops.
    pub(crate) fn settle_doubt(
        &mut self,
        partition: &Partition,
        answer: Result<Held, String>,
    ) -> Result<(), Halt> {
        let Some(&at) = self.state.by_partition.get(partition) else {
            return Ok(());
        };
        let lane = &mut self.state.lanes[at];
        lane.asking = false;
        lane.asked_at = Some(Instant::now());
        let held = match answer {
            Ok(held) => held,
            Err(reason) => return self.block(at, (self.clock)(), &reason),
        };
        // All partitions of a topic with another id are others, this one too.
        self.identify(&partition.topic, held.topic_id);
        let lane = &mut self.state.lanes[at];
        let Phase::Doubting(doubt) = &lane.phase else {
            return Ok(());
        };
        let verdict = lane.next.map_or(Verdict::Intact, |next| {
            judge(doubt, next, held.first, held.end)
        });
        match verdict {
            Verdict::Intact => {
                // The last record is gone; what follows it is there.
                lane.phase = Phase::Reading;
                self.state.stats.unverified += 1;
                self.begin(at)
            }
            Verdict::Again => self.verify_again(at),
            Verdict::Lost(cause) => {
                let next = NextOffset(lane.next.unwrap_or(held.first));
                let (partition, first, end) = (partition.clone(), held.first, held.end);
                self.lost(
                    at,
                    Loss {
                        partition,
                        next,
                        first,
                        end,
                        cause,
                    },
                )
            }
        }
    }

    /// Compares the last record read once more, and tells of a partition whose end stays in doubt.
    fn verify_again(&mut self, at: usize) -> Result<(), Halt> {
        let lane = &mut self.state.lanes[at];
        lane.phase = Phase::Verifying;
        let since = *lane.behind_since.get_or_insert_with(Instant::now);
        self.begin(at)?;
        self.state.lanes[at].behind_since = Some(since);
        if since.elapsed() < STUCK_AFTER {
            return Ok(());
        }
        let reason = "its leader says where it ends, and that it ends before, by turns";
        self.block(at, (self.clock)(), reason)
    }

    /// Compares a topic's id with the one it had, and doubts its partitions if it has changed.
    pub(crate) fn identify(&mut self, topic: &Arc<str>, id: [i64; 2]) {
        if id == NO_ID {
            return;
        }
        let before = self.state.ids.insert(Arc::clone(topic), id);
        if before.is_some_and(|before| before != id) {
            for at in self.lanes_of(topic) {
                self.doubt(at, Doubt::OtherTopicId);
            }
        }
    }

    fn lost(&mut self, at: usize, loss: Loss) -> Result<(), Halt> {
        if self.settings.on_lost == OnLost::Stop {
            return Err(SourceError::Lost(loss).into());
        }
        tracing::warn!(%loss, "kafka records lost; going on");
        self.state.stats.losses += 1;
        if matches!(loss.cause, LossCause::MadeAnew { .. }) {
            // Offsets begin again, so nothing of the old partition may stay with anyone.
            self.withdraw(at, loss.to_string())?;
            self.state.lanes[at].renew(loss.first);
            self.register(at)?;
        }
        let now = (self.clock)();
        let lane = &mut self.state.lanes[at];
        lane.phase = Phase::Reading;
        lane.next = Some(loss.first);
        // The chunk below tells the dataflow so, and it must hear of the next trouble.
        lane.blocked = None;
        lane.reject(Reject {
            tenant: lane.rule.tenant.as_str().into(),
            partition: loss.partition.clone(),
            offset: loss.next.0,
            time: now,
            reason: RejectReason::Lost,
            detail: loss.to_string(),
            bytes: Vec::new(),
        });
        self.begin(at)?;
        self.send_chunk(at, now, None)
    }
}

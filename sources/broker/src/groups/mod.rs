//! A consumer group as a state machine: requests and time go in, answers come out.
//!
//! The rules are those of Kafka's classic group protocol. A group in which nobody is left is
//! *empty*. When members come or go it *prepares* a rebalance until all have joined again or the
//! rebalance timeout has passed, then waits for the leader's assignment (*completing*), then is
//! *stable*. Nothing here reads a clock or does I/O.

mod join;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) use join::{Join, Joined, Waits};

/// Where a group is between two assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// The state's name in Kafka's tools.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// What a member learns when the leader has assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

/// The answer to a waiting request.
pub(crate) type Answer<T> = Result<T, ResponseError>;

/// A member of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    /// By preference: name and metadata.
    protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    joining: Option<oneshot::Sender<Answer<Joined>>>,
    syncing: Option<oneshot::Sender<Answer<Synced>>>,
    /// Gone, unless heard of until then. Does not count while it waits for an answer.
    expires: Instant,
}

impl Member {
    fn heard(&mut self, now: Instant) {
        self.expires = now + self.session_timeout;
    }

    fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// What the member said about itself under `protocol`.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }
}

/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    leader: String,
    pub(crate) members: BTreeMap<String, Member>,
    /// Ids given out to members that have not joined with them yet, and until when.
    promised: BTreeMap<String, (Instant, Duration)>,
    /// When the present rebalance step ends in any case.
    step_ends: Option<Instant>,
    /// A first assignment waits until then for more members.
    gathers_until: Option<Instant>,
    initial_delay: Duration,
}

impl Group {
    /// A group without members.
    pub(crate) fn new(initial_delay: Duration) -> Group {
        Group {
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
            step_ends: None,
            gathers_until: None,
            initial_delay,
        }
    }

    /// Checks that a request comes from a present member of the present generation.
    fn check(&self, member: &str, instance: Option<&str>, generation: i32) -> Answer<()> {
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(())
    }

    fn check_member(&self, member: &str, instance: Option<&str>) -> Answer<()> {
        if let Some(instance) = instance {
            match self.holder_of(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != member => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) {
            Ok(())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    /// The member that is known under a static instance id.
    fn holder_of(&self, instance: &str) -> Option<&str> {
        let found = self
            .members
            .iter()
            .find(|(_, m)| m.instance.as_deref() == Some(instance));
        found.map(|(id, _)| id.as_str())
    }

    /// Gives a member its assignment, once the leader has said what it is.
    pub(crate) fn sync(
        &mut self,
        now: Instant,
        sync: Sync<'_>,
        answer: oneshot::Sender<Answer<Synced>>,
    ) {
        if let Err(refused) = self.check_sync(&sync) {
            let _ = answer.send(Err(refused));
            return;
        }
        let is_leader = self.leader == sync.member;
        let member = self
            .members
            .get_mut(sync.member)
            .expect("checked to be a member");
        member.heard(now);
        member.syncing = Some(answer);
        if self.state == State::CompletingRebalance && is_leader {
            // Whom the leader leaves out has nothing, whatever it had before.
            let mut assigned: HashMap<_, _> = sync.assignments.into_iter().collect();
            for (id, member) in &mut self.members {
                member.assignment = assigned.remove(id).unwrap_or_default();
            }
            self.state = State::Stable;
            self.step_ends = None;
        }
        if self.state == State::Stable {
            self.answer_syncs(now);
        }
    }

    fn check_sync(&self, sync: &Sync<'_>) -> Answer<()> {
        self.check(sync.member, sync.instance, sync.generation)?;
        let differs = |said: Option<&str>, is: &str| said.is_some_and(|said| said != is);
        if differs(sync.protocol_type, &self.protocol_type)
            || differs(sync.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn answer_syncs(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(answer) = member.syncing.take() {
                member.heard(now);
                let _ = answer.send(Ok(Synced {
                    protocol_type: self.protocol_type.clone(),
                    protocol: self.protocol.clone(),
                    assignment: member.assignment.clone(),
                }));
            }
        }
    }

    /// A member says that it lives.
    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Answer<()> {
        self.check(member, instance, generation)?;
        self.members
            .get_mut(member)
            .expect("checked to be a member")
            .heard(now);
        match self.state {
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// May this member commit offsets? An id-less commit is for groups without members.
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Answer<()> {
        if generation < 0 && member.is_empty() && self.state == State::Empty {
            return Ok(());
        }
        self.check(member, instance, generation)?;
        if self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.members
            .get_mut(member)
            .expect("checked to be a member")
            .heard(now);
        Ok(())
    }

    /// A member goes, by its id or, with an empty id, by its static instance id.
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        member: &str,
        instance: Option<&str>,
    ) -> Answer<()> {
        if self.promised.remove(member).is_some() {
            self.complete_if_all_joined(now);
            return Ok(());
        }
        let id = match instance {
            Some(instance) if member.is_empty() => self
                .holder_of(instance)
                .ok_or(ResponseError::UnknownMemberId)?
                .to_owned(),
            _ => {
                self.check_member(member, instance)?;
                member.to_owned()
            }
        };
        self.remove(now, &id);
        Ok(())
    }

    fn remove(&mut self, now: Instant, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        // Whoever has gone away meanwhile need not be told.
        if let Some(answer) = member.joining {
            let _ = answer.send(Err(ResponseError::UnknownMemberId));
        }
        if let Some(answer) = member.syncing {
            let _ = answer.send(Err(ResponseError::UnknownMemberId));
        }
        match self.state {
            State::Empty => {}
            State::PreparingRebalance => self.complete_if_all_joined(now),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(now),
        }
    }

    /// Lets time pass: members not heard of go, rebalance steps end.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.promised.retain(|_, (until, _)| *until > now);
        let expired = self
            .members
            .iter()
            .filter(|(_, m)| !m.is_waiting() && m.expires <= now);
        let expired: Vec<_> = expired.map(|(id, _)| id.clone()).collect();
        for id in expired {
            self.remove(now, &id);
        }
        if self.step_ends.is_some_and(|end| end <= now) {
            match self.state {
                State::PreparingRebalance => self.complete_join(now),
                State::CompletingRebalance => self.drop_unsynced(now),
                State::Empty | State::Stable => self.step_ends = None,
            }
        }
        if self.state == State::PreparingRebalance {
            self.complete_if_all_joined(now);
        }
    }

    /// The leader has not assigned in time: those who did not even ask go, and all join again.
    fn drop_unsynced(&mut self, now: Instant) {
        self.members.retain(|_, member| member.syncing.is_some());
        self.prepare_rebalance(now);
    }

    /// When `tick` has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let members = self
            .members
            .values()
            .filter(|m| !m.is_waiting())
            .map(|m| m.expires);
        let promised = self.promised.values().map(|(until, _)| *until);
        members
            .chain(promised)
            .chain(self.step_ends)
            .chain(self.gathers_until)
            .min()
    }

    /// Nobody is in the group and nobody is about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.promised.is_empty()
    }
}

/// A member's request for its assignment, with everybody's if it is the leader.
#[derive(Debug)]
pub(crate) struct Sync<'a> {
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<&'a str>,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

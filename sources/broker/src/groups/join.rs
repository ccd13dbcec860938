//! Joining a group, and the rebalance that follows.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, Group, Member, State};

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a new member.
    pub(crate) member: String,
    /// The id that a new member gets.
    pub(crate) new_id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// A new member must first be told its id and come back with it.
    pub(crate) needs_id_first: bool,
    /// A leader can be told that the assignment stays as it is.
    pub(crate) can_skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) metadata: Bytes,
}

/// What a member learns when all have joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// All members, for the leader only.
    pub(crate) members: Vec<JoinedMember>,
    /// The leader is not to assign anew.
    pub(crate) skips_assignment: bool,
}

/// What became of a request to join that is not answered yet.
#[derive(Debug)]
pub(crate) enum Waits {
    /// The answer comes by the sender.
    Yes,
    /// The member must come back with this id.
    ComeBackAs(String),
}

impl Group {
    /// Lets a member in, or back in. The answer comes when the whole group has joined.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        join: Join,
        answer: oneshot::Sender<Answer<Joined>>,
    ) -> Waits {
        if let Err(refused) = self.check_join(&join) {
            let _ = answer.send(Err(refused));
            return Waits::Yes;
        }
        if !join.member.is_empty() {
            self.rejoin(now, join, answer);
            return Waits::Yes;
        }
        let holder = join
            .instance
            .as_deref()
            .and_then(|i| self.holder_of(i))
            .map(str::to_owned);
        if let Some(holder) = holder {
            let was_leader = self.leader == holder;
            self.take_over(&holder, &join.new_id);
            let id = join.new_id.clone();
            if self.state == State::Stable && self.members[&id].protocols == join.protocols {
                self.resume(now, &id, was_leader.then_some(holder), &join, answer);
            } else {
                self.enter(now, id, join, answer);
            }
        } else if join.needs_id_first && join.instance.is_none() {
            let until = now + join.session_timeout;
            self.promised
                .insert(join.new_id.clone(), (until, join.session_timeout));
            return Waits::ComeBackAs(join.new_id);
        } else {
            let id = join.new_id.clone();
            self.enter(now, id, join, answer);
        }
        Waits::Yes
    }

    fn check_join(&self, join: &Join) -> Answer<()> {
        if join.protocols.is_empty() || join.protocol_type.is_empty() {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let others = self.members.iter().filter(|(id, _)| **id != join.member);
        let others: Vec<_> = others.map(|(_, member)| member).collect();
        let is_common = |name: &String| {
            others
                .iter()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        let fits = join.protocol_type == self.protocol_type
            && join.protocols.iter().any(|(name, _)| is_common(name));
        if fits {
            Ok(())
        } else {
            Err(ResponseError::InconsistentGroupProtocol)
        }
    }

    fn rejoin(&mut self, now: Instant, join: Join, answer: oneshot::Sender<Answer<Joined>>) {
        let id = join.member.clone();
        if self.promised.remove(&id).is_some() {
            self.enter(now, id, join, answer);
            return;
        }
        if let Err(refused) = self.check_member(&id, join.instance.as_deref()) {
            let _ = answer.send(Err(refused));
            return;
        }
        let member = &self.members[&id];
        let is_unchanged = member.protocols == join.protocols;
        let has_missed_the_answer = match self.state {
            State::CompletingRebalance => is_unchanged,
            State::Stable => is_unchanged && self.leader != id,
            State::Empty | State::PreparingRebalance => false,
        };
        if has_missed_the_answer {
            self.members
                .get_mut(&id)
                .expect("checked to be a member")
                .heard(now);
            let _ = answer.send(Ok(self.joined(&id)));
        } else {
            self.enter(now, id, join, answer);
        }
    }

    /// A static member comes back under a new id: the old one is fenced.
    fn take_over(&mut self, old: &str, new: &str) {
        let mut member = self.members.remove(old).expect("the holder is a member");
        let fenced = ResponseError::FencedInstanceId;
        // Whoever has gone away meanwhile need not be told.
        if let Some(answer) = member.joining.take() {
            let _ = answer.send(Err(fenced));
        }
        if let Some(answer) = member.syncing.take() {
            let _ = answer.send(Err(fenced));
        }
        if self.leader == old {
            new.clone_into(&mut self.leader);
        }
        self.members.insert(new.to_owned(), member);
    }

    /// A static member that came back as it was goes on with its assignment, and nobody else
    /// notices. A leader whose client can't be told so is led to believe that another leads.
    fn resume(
        &mut self,
        now: Instant,
        id: &str,
        leader_before: Option<String>,
        join: &Join,
        answer: oneshot::Sender<Answer<Joined>>,
    ) {
        let member = self.members.get_mut(id).expect("it has just taken over");
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.client_host.clone_from(&join.client_host);
        member.heard(now);
        let mut joined = self.joined(id);
        joined.skips_assignment = leader_before.is_some() && join.can_skip_assignment;
        if let Some(before) = leader_before.filter(|_| !join.can_skip_assignment) {
            joined.leader = before;
            joined.members.clear();
        }
        let _ = answer.send(Ok(joined));
    }

    /// Writes the member down and starts, or goes on with, a rebalance.
    fn enter(
        &mut self,
        now: Instant,
        id: String,
        join: Join,
        answer: oneshot::Sender<Answer<Joined>>,
    ) {
        self.protocol_type = join.protocol_type;
        let assignment = self
            .members
            .remove(&id)
            .map(|old| old.assignment)
            .unwrap_or_default();
        self.members.insert(
            id,
            Member {
                instance: join.instance,
                client_id: join.client_id,
                client_host: join.client_host,
                session_timeout: join.session_timeout,
                rebalance_timeout: join.rebalance_timeout,
                protocols: join.protocols,
                assignment,
                joining: Some(answer),
                syncing: None,
                expires: now + join.session_timeout,
            },
        );
        if self.state != State::PreparingRebalance {
            self.prepare_rebalance(now);
        } else {
            self.complete_if_all_joined(now);
        }
    }

    /// Asks everybody to join again.
    pub(super) fn prepare_rebalance(&mut self, now: Instant) {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max();
        self.step_ends = Some(now + longest.unwrap_or_default());
        self.gathers_until = match self.state {
            State::Empty => Some(now + self.initial_delay),
            _ => None,
        };
        for member in self.members.values_mut() {
            if let Some(answer) = member.syncing.take() {
                member.heard(now);
                let _ = answer.send(Err(ResponseError::RebalanceInProgress));
            }
        }
        self.state = State::PreparingRebalance;
        self.complete_if_all_joined(now);
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Instant) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if self.gathers_until.is_some_and(|until| until > now) {
            return;
        }
        self.gathers_until = None;
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        if all_joined && self.promised.is_empty() {
            self.complete_join(now);
        }
    }

    /// Ends the joining: who has not come is out, the others learn of the new generation.
    pub(super) fn complete_join(&mut self, now: Instant) {
        self.gathers_until = None;
        self.members
            .retain(|_, member| member.joining.is_some() || member.instance.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            self.step_ends = None;
            self.protocol.clear();
            self.leader.clear();
            return;
        }
        self.protocol = self.vote();
        let has_joined = |member: Option<&Member>| member.is_some_and(|m| m.joining.is_some());
        if !has_joined(self.members.get(&self.leader)) {
            let first = self
                .members
                .iter()
                .find(|(_, member)| member.joining.is_some());
            let first = first.or(self.members.iter().next());
            self.leader = first.map(|(id, _)| id.clone()).unwrap_or_default();
        }
        self.state = State::CompletingRebalance;
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max();
        self.step_ends = longest.map(|longest| now + longest);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let member = self.members.get_mut(&id).expect("its id was just read");
            if let Some(answer) = member.joining.take() {
                member.heard(now);
                let _ = answer.send(Ok(joined));
            }
        }
    }

    fn joined(&self, id: &str) -> Joined {
        let all = || {
            let seen = |(id, member): (&String, &Member)| JoinedMember {
                id: id.clone(),
                instance: member.instance.clone(),
                metadata: member.metadata(&self.protocol),
            };
            self.members.iter().map(seen).collect()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: id.to_owned(),
            members: if self.leader == id { all() } else { Vec::new() },
            skips_assignment: false,
        }
    }

    /// The protocol that most members prefer among those that all of them know.
    fn vote(&self) -> String {
        let knows = |member: &Member, name: &str| member.protocols.iter().any(|(n, _)| n == name);
        let common = |name: &str| self.members.values().all(|member| knows(member, name));
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let Some((choice, _)) = member.protocols.iter().find(|(name, _)| common(name)) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice, 1)),
            }
        }
        let best = votes.iter().rev().max_by_key(|(_, count)| *count);
        best.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}

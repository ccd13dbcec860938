//! The group coordinator: all groups and their committed offsets, and the task that lets time pass
//! for them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::error::{BrokerError, Refusal};
use crate::groups::{Answer, Group, State};
use crate::offsets::{Committed, GroupOffsets, Offsets, PartitionName};
use crate::settings::Settings;
use crate::topics::Partition;

/// All groups of this broker.
pub(crate) struct Coordinator {
    groups: Mutex<HashMap<String, Group>>,
    offsets: Mutex<Offsets>,
    initial_delay: Duration,
    offsets_retention_ms: i64,
    /// Makes member ids unique over restarts.
    started_ms: i64,
    next_member: AtomicU64,
    /// Deadlines may have come nearer.
    changed: Notify,
}

/// A group as the tools list it.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) protocol_type: String,
    pub(crate) state: State,
}

impl Coordinator {
    /// Opens the committed offsets in `dir`.
    pub(crate) fn open(
        dir: &Path,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Coordinator, BrokerError> {
        Ok(Coordinator {
            groups: Mutex::default(),
            offsets: Mutex::new(Offsets::open(dir, settings, now_ms)?),
            initial_delay: Duration::from_millis(settings.group_initial_rebalance_delay_ms),
            offsets_retention_ms: settings.offsets_retention_ms,
            started_ms: now_ms,
            next_member: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// An id for a new member.
    pub(crate) fn new_member_id(&self, client_id: &str) -> String {
        let number = self.next_member.fetch_add(1, Ordering::Relaxed);
        format!("{client_id}-{:x}-{number}", self.started_ms)
    }

    /// Does something with a group, which is made if it is missing.
    pub(crate) fn with<T>(&self, group: &str, act: impl FnOnce(&mut Group, Instant) -> T) -> T {
        let mut groups = self.groups.lock();
        let group = groups
            .entry(group.to_owned())
            .or_insert_with(|| Group::new(self.initial_delay));
        let done = act(group, Instant::now());
        self.changed.notify_one();
        done
    }

    /// Does something with a group that must be there.
    pub(crate) fn with_known<T>(
        &self,
        group: &str,
        act: impl FnOnce(&mut Group, Instant) -> Answer<T>,
    ) -> Answer<T> {
        let mut groups = self.groups.lock();
        let group = groups
            .get_mut(group)
            .ok_or(ResponseError::UnknownMemberId)?;
        let before = group.next_deadline();
        let done = act(group, Instant::now());
        if group.next_deadline() < before {
            self.changed.notify_one();
        }
        done
    }

    /// Looks at a group, if it is known with members or offsets.
    pub(crate) fn look<T>(&self, group: &str, see: impl FnOnce(&Group) -> T) -> Option<T> {
        if let Some(group) = self.groups.lock().get(group) {
            return Some(see(group));
        }
        let is_known = self.offsets.lock().of(group).is_some();
        is_known.then(|| see(&Group::new(self.initial_delay)))
    }

    /// All groups with members or offsets.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let idle = |id: &String| {
            let listed = Listed {
                id: id.clone(),
                protocol_type: String::new(),
                state: State::Empty,
            };
            (id.clone(), listed)
        };
        let mut found: BTreeMap<_, _> = self.offsets.lock().groups().map(idle).collect();
        for (id, group) in self.groups.lock().iter() {
            let protocol_type = group.protocol_type.clone();
            let listed = Listed {
                id: id.clone(),
                protocol_type,
                state: group.state,
            };
            found.insert(id.clone(), listed);
        }
        found.into_values().collect()
    }

    /// Keeps what a member, or somebody for a group without members, has committed. What that is
    /// `take` says while no offset can be forgotten: a topic that is there then is still there, or
    /// [`Coordinator::forget_topics`] comes after.
    pub(crate) fn commit(
        &self,
        group: &str,
        check: impl FnOnce(&mut Group, Instant) -> Answer<()>,
        take: impl FnOnce() -> Vec<(PartitionName, Committed)>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut groups = self.groups.lock();
        let mut none = Group::new(self.initial_delay);
        check(groups.get_mut(group).unwrap_or(&mut none), Instant::now())?;
        self.offsets.lock().commit(group, take(), now_ms)
    }

    /// Reads what a group has committed.
    pub(crate) fn committed<T>(
        &self,
        group: &str,
        see: impl FnOnce(Option<&GroupOffsets>) -> T,
    ) -> T {
        see(self.offsets.lock().of(group))
    }

    /// Forgets a group that nobody is in.
    pub(crate) fn delete(&self, group: &str, now_ms: i64) -> Result<(), Refusal> {
        let mut groups = self.groups.lock();
        let mut offsets = self.offsets.lock();
        if groups.get(group).is_some_and(|group| !group.is_idle()) {
            return Err(ResponseError::NonEmptyGroup.into());
        }
        let is_known = groups.remove(group).is_some();
        let names = offsets
            .of(group)
            .map(|known| known.keys().cloned().collect::<Vec<_>>());
        match names {
            None if !is_known => Err(ResponseError::GroupIdNotFound.into()),
            None => Ok(()),
            Some(names) => offsets.forget(group, &names, now_ms),
        }
    }

    /// Forgets single offsets of a group that nobody is in.
    pub(crate) fn forget(
        &self,
        group: &str,
        names: &[PartitionName],
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if self
            .groups
            .lock()
            .get(group)
            .is_some_and(|group| !group.is_idle())
        {
            return Err(ResponseError::NonEmptyGroup.into());
        }
        self.offsets.lock().forget(group, names, now_ms)
    }

    /// Forgets what any group has committed for topics that are gone. It is on disk at the return.
    pub(crate) fn forget_topics(
        &self,
        is_gone: impl Fn(&str) -> bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let _no_commits = self.groups.lock();
        self.offsets.lock().forget_topics(is_gone, now_ms)
    }

    /// Forgets groups without members, and their offsets when those are old.
    pub(crate) fn expire_offsets(&self, now_ms: i64) {
        let mut groups = self.groups.lock();
        let mut offsets = self.offsets.lock();
        groups.retain(|_, group| !group.is_idle());
        let before = now_ms.saturating_sub(self.offsets_retention_ms);
        let idle: Vec<_> = offsets
            .groups()
            .filter(|id| !groups.contains_key(*id))
            .cloned()
            .collect();
        for id in idle {
            let known = offsets.of(&id).into_iter().flatten();
            let old = known.filter(|(_, committed)| committed.at_ms < before);
            let old: Vec<_> = old.map(|(name, _)| name.clone()).collect();
            if let Err(refusal) = offsets.forget(&id, &old, now_ms) {
                tracing::error!(group = id, error = refusal.why, "forgetting old offsets");
            }
        }
    }

    /// The log of committed offsets, for upkeep.
    pub(crate) fn offsets_log(&self) -> Partition {
        self.offsets.lock().log()
    }

    fn tick(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut groups = self.groups.lock();
        for group in groups.values_mut() {
            if group
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                group.tick(now);
            }
        }
        groups.values().filter_map(Group::next_deadline).min()
    }

    /// Ends sessions and rebalances at their time, for ever.
    pub(crate) async fn keep_time(&self) {
        const NOTHING_TO_DO: Duration = Duration::from_secs(3_600);
        loop {
            let next = self
                .tick()
                .unwrap_or_else(|| Instant::now() + NOTHING_TO_DO);
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Coordinator {
        Coordinator::open(dir, &Settings::default(), 0).unwrap()
    }

    fn commit(coordinator: &Coordinator, group: &str, topic: &str, index: i32) {
        let committed = Committed {
            offset: 5,
            leader_epoch: 0,
            metadata: String::new(),
            at_ms: 0,
        };
        let take = || vec![((topic.to_owned(), index), committed)];
        coordinator.commit(group, |_, _| Ok(()), take, 0).unwrap();
    }

    /// The partitions of which a group has committed offsets.
    fn known(coordinator: &Coordinator, group: &str) -> Vec<PartitionName> {
        coordinator.committed(group, |known| {
            known
                .into_iter()
                .flatten()
                .map(|(n, _)| n.clone())
                .collect()
        })
    }

    #[test]
    fn offsets_of_a_topic_that_is_gone_are_forgotten_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let coordinator = open(dir.path());
        for (group, topic, index) in [("a", "gone", 0), ("a", "gone", 1), ("b", "gone", 0)] {
            commit(&coordinator, group, topic, index);
        }
        commit(&coordinator, "a", "gone-not", 0);
        let is_gone = |topic: &str| topic == "gone";
        coordinator.forget_topics(is_gone, 0).unwrap();
        for coordinator in [coordinator, open(dir.path())] {
            assert_eq!(known(&coordinator, "a"), [("gone-not".to_owned(), 0)]);
            assert_eq!(known(&coordinator, "b"), []);
            assert_eq!(coordinator.list().len(), 1);
        }
    }
}

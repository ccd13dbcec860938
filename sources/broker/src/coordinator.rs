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
    /// When upkeep last found somebody in a group, or saw that there had been.
    last_occupied_ms: Mutex<HashMap<String, i64>>,
    initial_delay: Duration,
    offsets_retention_ms: i64,
    /// Makes member ids unique over restarts; who was in a group before is not known.
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
            last_occupied_ms: Mutex::default(),
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
        let groups = self.groups.lock();
        let mut offsets = self.offsets.lock();
        match groups.get(group) {
            Some(group) if !group.is_idle() => return Err(ResponseError::NonEmptyGroup.into()),
            None if offsets.of(group).is_none() => {
                return Err(ResponseError::GroupIdNotFound.into());
            }
            _ => {}
        }
        offsets.forget(group, names, now_ms)
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
    ///
    /// Age runs from the commit or from when the group became empty, whichever came later (KIP-211):
    /// one that reads a quiet topic commits nothing for weeks. Groups of which only the log tells
    /// count as having had members until the broker's start.
    pub(crate) fn expire_offsets(&self, now_ms: i64) {
        let mut groups = self.groups.lock();
        let mut offsets = self.offsets.lock();
        let mut occupied = self.last_occupied_ms.lock();
        occupied.extend(groups.keys().map(|id| (id.clone(), now_ms)));
        occupied.retain(|id, _| offsets.of(id).is_some());
        groups.retain(|_, group| !group.is_idle());
        let before = now_ms.saturating_sub(self.offsets_retention_ms);
        let idle: Vec<_> = offsets
            .groups()
            .filter(|id| !groups.contains_key(*id))
            .cloned()
            .collect();
        for id in idle {
            let empty_since = occupied.get(&id).copied().unwrap_or(self.started_ms);
            let known = offsets.of(&id).into_iter().flatten();
            let old = known.filter(|(_, committed)| committed.at_ms.max(empty_since) < before);
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
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::groups::{Join, Waits};

    fn open(dir: &Path) -> Coordinator {
        Coordinator::open(dir, &Settings::default(), 0).unwrap()
    }

    fn commit(coordinator: &Coordinator, group: &str, topic: &str, index: i32) {
        commit_at(coordinator, group, topic, index, 0);
    }

    fn commit_at(coordinator: &Coordinator, group: &str, topic: &str, index: i32, at_ms: i64) {
        let committed = Committed {
            offset: 5,
            leader_epoch: 0,
            metadata: String::new(),
            at_ms,
        };
        let take = || vec![((topic.to_owned(), index), committed)];
        let check = |_: &mut Group, _| Ok(());
        coordinator.commit(group, check, take, at_ms).unwrap();
    }

    fn join(coordinator: &Coordinator, group: &str) {
        let join = Join {
            member: String::new(),
            new_id: "m".to_owned(),
            instance: None,
            client_id: "c".to_owned(),
            client_host: "/here".to_owned(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(60),
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::new())],
            needs_id_first: false,
            can_skip_assignment: true,
        };
        let joined = coordinator.with(group, |group, now| {
            group.join(now, join, oneshot::channel().0)
        });
        assert!(matches!(joined, Waits::Yes));
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
    fn offsets_are_kept_as_long_as_somebody_is_in_the_group_and_the_retention_longer() {
        const WEEK: i64 = 7 * 24 * 3_600_000;
        let dir = tempfile::tempdir().unwrap();
        let coordinator = open(dir.path());
        let here = |coordinator: &Coordinator, group: &str| !known(coordinator, group).is_empty();
        commit(&coordinator, "read", "t", 0);
        commit(&coordinator, "simple", "t", 0);
        join(&coordinator, "read");
        coordinator.expire_offsets(2 * WEEK);
        assert!(here(&coordinator, "read"), "it has a member");
        assert!(!here(&coordinator, "simple"), "it never had one");
        let left = coordinator.with_known("read", |group, now| group.leave(now, "m", None));
        left.unwrap();
        coordinator.expire_offsets(2 * WEEK + 5);
        coordinator.expire_offsets(3 * WEEK + 5);
        assert!(here(&coordinator, "read"), "empty for just the retention");
        coordinator.expire_offsets(3 * WEEK + 6);
        assert!(!here(&coordinator, "read"));

        commit_at(&coordinator, "read", "t", 0, 4 * WEEK);
        drop(coordinator);
        let coordinator = Coordinator::open(dir.path(), &Settings::default(), 9 * WEEK).unwrap();
        coordinator.expire_offsets(10 * WEEK);
        assert!(
            here(&coordinator, "read"),
            "its members may have been away with the broker"
        );
        coordinator.expire_offsets(10 * WEEK + 1);
        assert!(!here(&coordinator, "read"));
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

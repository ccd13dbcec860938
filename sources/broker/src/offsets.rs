//! Committed offsets: a table in memory, and a compacted log under it that rebuilds the table.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Header};
use crate::error::{BrokerError, Refusal};
use crate::log::{Log, force, read, storage};
use crate::records;
use crate::settings::Settings;
use crate::topic_config::TopicConfig;
use crate::topics::Partition;

/// What a group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    /// When it was committed.
    pub(crate) at_ms: i64,
}

/// A partition, by its topic's name.
pub(crate) type PartitionName = (String, i32);

/// The committed offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<PartitionName, Committed>;

/// The committed offsets of all groups.
pub(crate) struct Offsets {
    log: Partition,
    by_group: HashMap<String, GroupOffsets>,
}

impl Offsets {
    /// Opens the log in `dir` and reads the table from it.
    pub(crate) fn open(
        dir: &Path,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Offsets, BrokerError> {
        let given = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "4194304"),
            ("segment.ms", "3600000"),
            ("delete.retention.ms", "0"),
        ];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config =
            TopicConfig::new(settings, BTreeMap::from(given)).map_err(BrokerError::Settings)?;
        let log = Log::open(dir, Arc::new(config), now_ms)
            .map_err(BrokerError::file("opening the committed offsets in", dir))?;
        let log = Arc::new(Mutex::new(log));
        let by_group = load(&log).map_err(|refusal| BrokerError::Damaged {
            path: dir.to_owned(),
            why: refusal.why,
        })?;
        Ok(Offsets { log, by_group })
    }

    /// The log, for upkeep.
    pub(crate) fn log(&self) -> Partition {
        Arc::clone(&self.log)
    }

    /// Keeps what a group has committed.
    pub(crate) fn commit(
        &mut self,
        group: &str,
        committed: Vec<(PartitionName, Committed)>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        self.write(
            group,
            committed.iter().map(|(name, one)| (name, Some(one))),
            now_ms,
        )?;
        if !committed.is_empty() {
            self.by_group
                .entry(group.to_owned())
                .or_default()
                .extend(committed);
        }
        Ok(())
    }

    /// Forgets some of what a group has committed.
    pub(crate) fn forget(
        &mut self,
        group: &str,
        names: &[PartitionName],
        now_ms: i64,
    ) -> Result<(), Refusal> {
        self.write(group, names.iter().map(|name| (name, None)), now_ms)?;
        if let Some(offsets) = self.by_group.get_mut(group) {
            for name in names {
                offsets.remove(name);
            }
            if offsets.is_empty() {
                self.by_group.remove(group);
            }
        }
        Ok(())
    }

    /// Forgets what all groups have committed for topics that are gone, for good: a topic of the same
    /// name begins anew.
    pub(crate) fn forget_topics(
        &mut self,
        is_gone: impl Fn(&str) -> bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let of_gone = |(group, offsets): (&String, &GroupOffsets)| {
            let names = offsets.keys().filter(|(topic, _)| is_gone(topic));
            (group.clone(), names.cloned().collect::<Vec<_>>())
        };
        let mut stale: Vec<_> = self.by_group.iter().map(of_gone).collect();
        stale.retain(|(_, names)| !names.is_empty());
        for (group, names) in &stale {
            self.forget(group, names, now_ms)?;
        }
        if stale.is_empty() {
            return Ok(());
        }
        storage(force::force_all(&self.log))
    }

    fn write<'a>(
        &self,
        group: &str,
        changes: impl Iterator<Item = (&'a PartitionName, Option<&'a Committed>)>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let changes: Vec<(Vec<u8>, Option<Vec<u8>>)> = changes
            .map(|((topic, index), committed)| (json(&(group, topic, index)), committed.map(json)))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let pairs: Vec<_> = changes
            .iter()
            .map(|(k, v)| (k.as_slice(), v.as_deref()))
            .collect();
        let bytes = records::build(&pairs, now_ms);
        let header = Header::parse(&bytes).expect("a built batch has a header");
        self.log
            .lock()
            .append(&Batch { header, bytes }, now_ms)
            .map(drop)
    }

    /// What a group has committed.
    pub(crate) fn of(&self, group: &str) -> Option<&GroupOffsets> {
        self.by_group.get(group)
    }

    /// All groups that have committed anything.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &String> {
        self.by_group.keys()
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers have a json form")
}

fn load(log: &Partition) -> Result<HashMap<String, GroupOffsets>, Refusal> {
    let mut by_group: HashMap<String, GroupOffsets> = HashMap::new();
    read::scan(log, |header, batch| {
        let Ok(payload) = records::payload(batch, header, 1 << 26) else {
            return;
        };
        for record in records::walk(&payload, header).map_while(Result::ok) {
            let key = record.key.unwrap_or_default();
            let Ok((group, topic, index)) = serde_json::from_slice::<(String, String, i32)>(key)
            else {
                continue;
            };
            match record
                .value
                .and_then(|value| serde_json::from_slice(value).ok())
            {
                Some(committed) => {
                    by_group
                        .entry(group)
                        .or_default()
                        .insert((topic, index), committed);
                }
                None => {
                    by_group.entry(group).or_default().remove(&(topic, index));
                }
            }
        }
    })?;
    by_group.retain(|_, offsets| !offsets.is_empty());
    Ok(by_group)
}

//! The topics: which there are, what is set on them, where their partitions lie.
//!
//! `topics/<name>/topic.json` describes a topic, `topics/<name>/<partition>/` holds a log. A topic
//! appears and disappears by one rename. Names that start with `~` are on their way in or out; no
//! topic can be called so.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kafka_protocol::error::ResponseError;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Clock;
use crate::disk;
use crate::error::{BrokerError, Refusal};
use crate::log::Log;
use crate::settings::{MAX_PARTITIONS, Settings};
use crate::topic_config::TopicConfig;

/// One partition, shared by all connections.
pub(crate) type Partition = Arc<Mutex<Log>>;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    config: RwLock<Arc<TopicConfig>>,
    partitions: RwLock<Arc<Vec<Partition>>>,
}

impl Topic {
    /// The configuration in effect.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    /// All partitions, by number.
    pub(crate) fn partitions(&self) -> Arc<Vec<Partition>> {
        Arc::clone(&self.partitions.read())
    }

    /// One partition.
    pub(crate) fn partition(&self, index: i32) -> Option<Partition> {
        let index = usize::try_from(index).ok()?;
        self.partitions.read().get(index).map(Arc::clone)
    }
}

/// `topic.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    id: Uuid,
    partitions: i32,
    configs: BTreeMap<String, String>,
}

/// All topics.
pub(crate) struct Topics {
    dir: PathBuf,
    settings: Arc<Settings>,
    clock: Clock,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
    by_id: RwLock<HashMap<Uuid, Arc<Topic>>>,
    /// Held while topics are made or removed.
    changing: Mutex<()>,
    temporary: AtomicU64,
}

impl Topics {
    /// Opens all topics under `dir`, finishing removals that a crash cut short.
    pub(crate) fn open(
        dir: &Path,
        settings: &Arc<Settings>,
        clock: &Clock,
    ) -> Result<Topics, BrokerError> {
        fs::create_dir_all(dir).map_err(BrokerError::file("making", dir))?;
        let topics = Topics {
            dir: dir.to_owned(),
            settings: Arc::clone(settings),
            clock: Arc::clone(clock),
            by_name: RwLock::default(),
            by_id: RwLock::default(),
            changing: Mutex::new(()),
            temporary: AtomicU64::new(0),
        };
        for entry in fs::read_dir(dir).map_err(BrokerError::file("reading", dir))? {
            let path = entry.map_err(BrokerError::file("reading", dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.starts_with('~') {
                fs::remove_dir_all(&path).map_err(BrokerError::file("removing", &path))?;
            } else if path.is_dir() {
                topics.insert(topics.load(name, &path)?);
            }
        }
        Ok(topics)
    }

    fn load(&self, name: &str, path: &Path) -> Result<Arc<Topic>, BrokerError> {
        let file = path.join("topic.json");
        let text = fs::read(&file).map_err(BrokerError::file("reading", &file))?;
        let damaged = |why: String| BrokerError::Damaged {
            path: file.clone(),
            why,
        };
        let found: Description =
            serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        let config = TopicConfig::new(&self.settings, found.configs).map_err(damaged)?;
        self.open_topic(name, path, found.id, found.partitions, Arc::new(config))
            .map_err(BrokerError::file("opening the topic in", path))
    }

    fn open_topic(
        &self,
        name: &str,
        path: &Path,
        id: Uuid,
        count: i32,
        config: Arc<TopicConfig>,
    ) -> io::Result<Arc<Topic>> {
        let partitions = (0..count).map(|index| self.open_log(path, index, &config));
        let partitions = partitions.collect::<io::Result<Vec<_>>>()?;
        disk::sync_dir(path)?;
        Ok(Arc::new(Topic {
            name: name.to_owned(),
            id,
            config: RwLock::new(config),
            partitions: RwLock::new(Arc::new(partitions)),
        }))
    }

    fn open_log(
        &self,
        path: &Path,
        index: i32,
        config: &Arc<TopicConfig>,
    ) -> io::Result<Partition> {
        let log = Log::open(
            &path.join(index.to_string()),
            Arc::clone(config),
            (self.clock)(),
        )?;
        Ok(Arc::new(Mutex::new(log)))
    }

    fn insert(&self, topic: Arc<Topic>) {
        self.by_id.write().insert(topic.id, Arc::clone(&topic));
        self.by_name.write().insert(topic.name.clone(), topic);
    }

    /// The topic called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().get(name).map(Arc::clone)
    }

    /// The topic with this id.
    pub(crate) fn get_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.by_id.read().get(&id).map(Arc::clone)
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().values().map(Arc::clone).collect()
    }

    /// How many partitions `name` gets where nobody says.
    pub(crate) fn default_partitions(&self, name: &str) -> i32 {
        let own = self.settings.topic_partitions.get(name).copied();
        own.unwrap_or(self.settings.default_partitions)
    }

    /// Checks whether the topic could be made.
    pub(crate) fn check_new(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<TopicConfig, Refusal> {
        check_name(name)?;
        if self.get(name).is_some() {
            let why = format!("topic {name} exists already");
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, why));
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            let why = format!("{partitions} partitions: must be in 1..={MAX_PARTITIONS}");
            return Err(Refusal::new(ResponseError::InvalidPartitions, why));
        }
        TopicConfig::new(&self.settings, configs.clone())
            .map_err(|why| Refusal::new(ResponseError::InvalidConfig, why))
    }

    /// Makes a topic.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, Refusal> {
        let _changing = self.changing.lock();
        let config = Arc::new(self.check_new(name, partitions, &configs)?);
        let temporary = self.temporary_dir(name);
        let made = self.write_new(&temporary, name, partitions, config);
        if made.is_err() {
            // All that was opened is closed again. What can't be removed goes at the next start.
            let _ = fs::remove_dir_all(&temporary);
        }
        let topic = made.map_err(storage)?;
        tracing::info!(topic = name, partitions, "made a topic");
        self.insert(Arc::clone(&topic));
        Ok(topic)
    }

    /// All that can fail, be it for want of space or of file descriptors, does so before the topic
    /// has its name: one that has it must open at the next start.
    fn write_new(
        &self,
        temporary: &Path,
        name: &str,
        partitions: i32,
        config: Arc<TopicConfig>,
    ) -> io::Result<Arc<Topic>> {
        fs::create_dir_all(temporary)?;
        let id = self.next_id(name);
        let configs = config.given.clone();
        save(
            temporary,
            &Description {
                id,
                partitions,
                configs,
            },
        )?;
        let topic = self.open_topic(name, temporary, id, partitions, config)?;
        let path = self.dir.join(name);
        self.rename(temporary, &path)?;
        for (index, log) in topic.partitions().iter().enumerate() {
            log.lock().moved_to(path.join(index.to_string()));
        }
        Ok(topic)
    }

    /// Renames a topic's directory, on disk or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        let synced = disk::sync_dir(&self.dir);
        if synced.is_err() {
            fs::rename(to, from)?;
        }
        synced
    }

    /// The topic called `name`, made with defaults if the settings allow that.
    pub(crate) fn get_or_create(
        &self,
        name: &str,
        may_create: bool,
    ) -> Result<Arc<Topic>, Refusal> {
        if let Some(topic) = self.get(name) {
            return Ok(topic);
        }
        check_name(name)?;
        if !may_create || !self.settings.auto_create_topics {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        match self.create(name, self.default_partitions(name), BTreeMap::new()) {
            Err(refusal) if refusal.code == ResponseError::TopicAlreadyExists => self
                .get(name)
                .ok_or_else(|| ResponseError::UnknownTopicOrPartition.into()),
            made => made,
        }
    }

    /// Removes a topic and its records. `forget` is called when it is gone and before one of the same
    /// name can be made.
    pub(crate) fn delete(
        &self,
        name: &str,
        forget: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _changing = self.changing.lock();
        let topic = self
            .get(name)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let gone = self.temporary_dir(name);
        self.rename(&self.dir.join(name), &gone).map_err(storage)?;
        self.by_name.write().remove(name);
        self.by_id.write().remove(&topic.id);
        for log in topic.partitions().iter() {
            log.lock().mark_deleted();
        }
        tracing::info!(topic = name, "deleted a topic");
        let forgotten = forget();
        fs::remove_dir_all(&gone).map_err(storage)?;
        forgotten
    }

    /// Adds partitions until there are `count`.
    pub(crate) fn grow(&self, name: &str, count: i32, validate_only: bool) -> Result<(), Refusal> {
        let _changing = self.changing.lock();
        let topic = self
            .get(name)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let has = topic.partitions().len() as i32;
        if count <= has || count > MAX_PARTITIONS {
            let why =
                format!("topic {name} has {has} partitions: ask for more, up to {MAX_PARTITIONS}");
            return Err(Refusal::new(ResponseError::InvalidPartitions, why));
        }
        if validate_only {
            return Ok(());
        }
        let (path, config) = (self.dir.join(name), topic.config());
        let mut partitions = topic.partitions().to_vec();
        for index in has..count {
            partitions.push(self.open_log(&path, index, &config).map_err(storage)?);
        }
        let configs = config.given.clone();
        save(
            &path,
            &Description {
                id: topic.id,
                partitions: count,
                configs,
            },
        )
        .map_err(storage)?;
        *topic.partitions.write() = Arc::new(partitions);
        Ok(())
    }

    /// Replaces what is set on a topic.
    pub(crate) fn configure(
        &self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&TopicConfig, &mut BTreeMap<String, String>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _changing = self.changing.lock();
        let topic = self
            .get(name)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let in_effect = topic.config();
        let mut configs = in_effect.given.clone();
        change(&in_effect, &mut configs)?;
        let config = TopicConfig::new(&self.settings, configs.clone())
            .map_err(|why| Refusal::new(ResponseError::InvalidConfig, why))?;
        if validate_only {
            return Ok(());
        }
        let partitions = topic.partitions();
        let description = Description {
            id: topic.id,
            partitions: partitions.len() as i32,
            configs,
        };
        save(&self.dir.join(name), &description).map_err(storage)?;
        let config = Arc::new(config);
        *topic.config.write() = Arc::clone(&config);
        for log in partitions.iter() {
            log.lock().set_config(Arc::clone(&config));
        }
        Ok(())
    }

    fn temporary_dir(&self, name: &str) -> PathBuf {
        self.dir.join(format!(
            "~{}-{name}",
            self.temporary.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// An id that a topic of the same name made earlier or later can't have.
    fn next_id(&self, name: &str) -> Uuid {
        let salt = self.temporary.fetch_add(1, Ordering::Relaxed);
        let seed = format!("{name}/{}/{salt}/{}", (self.clock)(), self.dir.display());
        let hash = xxhash_rust::xxh3::xxh3_128(seed.as_bytes());
        uuid::Builder::from_random_bytes(hash.to_be_bytes()).into_uuid()
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=249).contains(&name.len()) && name != "." && name != ".." && name.chars().all(is_known)
    {
        return Ok(());
    }
    let why = "a topic's name has 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'";
    Err(Refusal::new(ResponseError::InvalidTopicException, why))
}

fn save(dir: &Path, description: &Description) -> io::Result<()> {
    disk::put(dir, "topic.json", &serde_json::to_vec_pretty(description)?)
}

fn storage(failed: io::Error) -> Refusal {
    tracing::error!(error = %failed, "changing a topic");
    Refusal::new(ResponseError::KafkaStorageError, failed.to_string())
}

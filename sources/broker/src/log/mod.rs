//! The log of one partition: segments on disk, the sequence of its producers, and who waits for
//! its next record.

pub(crate) mod compact;
pub(crate) mod force;
pub(crate) mod index;
pub(crate) mod read;
pub(crate) mod recovery;
pub(crate) mod retention;
pub(crate) mod segment;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use tokio::sync::Notify;

use crate::batch::{Batch, Header};
use crate::disk;
use crate::error::Refusal;
use crate::log::index::Checkpoint;
use crate::log::read::Hints;
use crate::log::segment::Segment;
use crate::producers::{Producers, Verdict};
use crate::topic_config::TopicConfig;

/// How long a silent idempotent producer is remembered: a day, as Apache Kafka does.
const PRODUCER_EXPIRY_MS: i64 = 24 * 3_600_000;

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    config: Arc<TopicConfig>,
    /// By base offset; the last one is appended to.
    segments: Vec<Segment>,
    /// Records before this offset are gone, even where their bytes still lie in a segment.
    start_offset: i64,
    next_offset: i64,
    producers: Producers,
    hints: Hints,
    waiting: Vec<Arc<Notify>>,
    /// Records before this offset are on disk.
    forced_up_to: i64,
    /// Bytes may have been lost on the way to the disk.
    force_failed: bool,
    /// Held while the log is forced to disk.
    forcing: Arc<parking_lot::Mutex<()>>,
    /// The topic is gone: nothing more is taken.
    deleted: bool,
}

/// Where an appended batch landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The offset after the batch's last record.
    pub(crate) next_offset: i64,
    /// The first offset of the log that can be read.
    pub(crate) start_offset: i64,
}

impl Log {
    /// The first offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Bytes of all segments.
    pub(crate) fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Puts another configuration into effect.
    pub(crate) fn set_config(&mut self, config: Arc<TopicConfig>) {
        self.config = config;
    }

    /// Appends a checked batch and wakes those who wait for it.
    pub(crate) fn append(&mut self, batch: &Batch, now_ms: i64) -> Result<Appended, Refusal> {
        if self.deleted {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        if let Verdict::Duplicate(base_offset) = self.producers.judge(&batch.header)? {
            return Ok(self.appended(batch, base_offset));
        }
        let written = self.write(batch, now_ms).map_err(|failed| {
            tracing::error!(dir = %self.dir.display(), error = %failed, "appending a batch");
            Refusal::new(ResponseError::KafkaStorageError, failed.to_string())
        });
        written.map(|base_offset| self.appended(batch, base_offset))
    }

    fn appended(&self, batch: &Batch, base_offset: i64) -> Appended {
        let header = Header {
            base_offset,
            ..batch.header
        };
        Appended {
            base_offset,
            next_offset: header.next_offset(),
            start_offset: self.start_offset,
        }
    }

    /// Writes a batch at the end. Returns its offset.
    fn write(&mut self, batch: &Batch, now_ms: i64) -> io::Result<i64> {
        let active = self.active();
        if active.len > 0
            && active.len + batch.header.len as u64 > u64::from(self.config.segment_bytes)
        {
            self.roll(now_ms)?;
        }
        let base_offset = self.next_offset;
        let mut header = batch.header;
        header.base_offset = base_offset;
        let active = self
            .segments
            .last_mut()
            .expect("a log has an active segment");
        active.append(&header, &batch.bytes, now_ms)?;
        self.next_offset = header.next_offset();
        self.producers.note(&header, base_offset, now_ms);
        self.wake();
        Ok(base_offset)
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("a log has an active segment")
    }

    /// Closes the active segment and opens the next. An empty one stays.
    pub(crate) fn roll(&mut self, now_ms: i64) -> io::Result<()> {
        if self.active().len == 0 {
            return Ok(());
        }
        let next = Segment::create(&self.dir, self.next_offset, now_ms)?;
        self.producers.expire(now_ms - PRODUCER_EXPIRY_MS);
        let producers = self.producers.clone();
        self.segments
            .last_mut()
            .expect("a log has an active segment")
            .close(producers);
        self.segments.push(next);
        Ok(())
    }

    /// Wakes everyone who waits for this partition.
    fn wake(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.notify_one();
        }
    }

    /// Asks to be woken at the next append.
    pub(crate) fn wait(&mut self, notify: &Arc<Notify>) {
        self.waiting.push(Arc::clone(notify));
    }

    /// Takes back `wait`.
    pub(crate) fn stop_waiting(&mut self, notify: &Arc<Notify>) {
        self.waiting.retain(|waiting| !Arc::ptr_eq(waiting, notify));
    }

    /// Goes on in `dir`, which the log's directory was renamed to.
    pub(crate) fn moved_to(&mut self, dir: PathBuf) {
        for segment in &mut self.segments {
            let name = segment.path.file_name().expect("a segment is a file");
            segment.path = dir.join(name);
        }
        self.dir = dir;
    }

    /// Refuses all further use: the topic is deleted.
    pub(crate) fn mark_deleted(&mut self) {
        self.deleted = true;
        self.wake();
    }

    /// Moves the start of the log up to `offset`; −1 is the end.
    pub(crate) fn delete_before(&mut self, offset: i64) -> Result<i64, Refusal> {
        let offset = if offset == -1 {
            self.next_offset
        } else {
            offset
        };
        if offset < 0 || offset > self.next_offset {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        if offset > self.start_offset {
            self.start_offset = offset;
            recovery::save_start_offset(&self.dir, offset)
                .map_err(|e| Refusal::new(ResponseError::KafkaStorageError, e.to_string()))?;
            self.hints.clear();
        }
        Ok(self.start_offset)
    }

    /// The segment that holds `offset` or, where compaction took it, the first one after.
    fn segment_for(&self, offset: i64) -> usize {
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        let at = after.saturating_sub(1);
        if self.segments[at].next_offset <= offset && at + 1 < self.segments.len() {
            at + 1
        } else {
            at
        }
    }

    /// Closed segments whose checkpoint is not yet written.
    fn unsaved(&self) -> Vec<i64> {
        let unsaved = self
            .segments
            .iter()
            .filter(|segment| segment.unsaved_producers.is_some());
        unsaved.map(|segment| segment.base_offset).collect()
    }

    /// What is needed to write the checkpoint of a closed segment; none where it need not be.
    fn unsaved_checkpoint(&self, base_offset: i64) -> io::Result<Option<Unsaved>> {
        let found = self.segments.iter().find(|s| s.base_offset == base_offset);
        let unsaved = found.and_then(|s| Some((s, s.unsaved_producers.clone()?)));
        let Some((segment, producers)) = unsaved.filter(|_| !self.deleted) else {
            return Ok(None);
        };
        Ok(Some(Unsaved {
            file: segment.file()?,
            checkpoint: segment.checkpoint(producers),
            base_offset,
            version: segment.version,
        }))
    }

    /// Writes the checkpoint of a closed segment that is on disk now, unless the segment was replaced
    /// or the topic deleted meanwhile: one of the same name may lie in this place by then.
    fn save_checkpoint(&mut self, unsaved: &Unsaved) -> io::Result<()> {
        if self.deleted || self.force_failed {
            return Ok(());
        }
        let found = self
            .segments
            .iter_mut()
            .find(|s| s.base_offset == unsaved.base_offset);
        if let Some(segment) = found
            && segment.len == unsaved.checkpoint.len
            && segment.version == unsaved.version
        {
            unsaved.checkpoint.save(&segment.checkpoint_path())?;
            segment.unsaved_producers = None;
            segment.open = None;
        }
        Ok(())
    }
}

/// A closed segment whose checkpoint is not yet written.
struct Unsaved {
    file: Arc<File>,
    checkpoint: Checkpoint,
    base_offset: i64,
    version: u64,
}

/// Forces closed segments to disk and writes their checkpoints. The lock is held only in between.
pub(crate) fn save_checkpoints(log: &parking_lot::Mutex<Log>) -> io::Result<()> {
    let (unsaved, dir) = {
        let log = log.lock();
        (log.unsaved(), log.dir.clone())
    };
    for base_offset in unsaved {
        let unsaved = log.lock().unsaved_checkpoint(base_offset)?;
        let Some(unsaved) = unsaved else { continue };
        if let Err(failed) = unsaved.file.sync_data() {
            log.lock().force_failed = true;
            return Err(failed);
        }
        disk::sync_dir(&dir)?;
        log.lock().save_checkpoint(&unsaved)?;
    }
    Ok(())
}

/// Forces everything to disk and writes a checkpoint of the active segment, so that the next start
/// need not scan.
pub(crate) fn close(log: &parking_lot::Mutex<Log>) -> io::Result<()> {
    save_checkpoints(log)?;
    let log = log.lock();
    if log.deleted || log.force_failed {
        return Ok(());
    }
    let active = log.active();
    active.file()?.sync_data()?;
    disk::sync_dir(&log.dir)?;
    active
        .checkpoint(log.producers.clone())
        .save(&active.checkpoint_path())
}

/// The place of a found batch, or the segment's error as the client sees it.
pub(crate) fn storage<T>(found: io::Result<T>) -> Result<T, Refusal> {
    found.map_err(|failed| {
        tracing::error!(error = %failed, "reading the log");
        Refusal::new(ResponseError::KafkaStorageError, failed.to_string())
    })
}

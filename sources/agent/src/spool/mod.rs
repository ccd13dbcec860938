//! What is not yet delivered, in a bounded queue of files.
//!
//! Entries are numbered upwards for ever and written to the page cache before anyone tries to
//! deliver them, so that a killed process loses none (a power cut may take the last seconds). They
//! leave when they are acknowledged; the number up to which that is so stands in a file of its own.
//! A kill between an acknowledgement and that file makes an entry go out twice, which does no
//! harm: it holds the same samples.
//!
//! When the bound is reached the oldest file goes, and what it held is counted. While the disk
//! takes no writes, a little is held in memory.

mod segment;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use segment::{Found, Segment};

/// How much is held in memory while the disk refuses to take it.
const MEMORY_BYTES_MOST: usize = 4 << 20;

/// More missing entries than this between two files mean that they don't belong together.
const GAP_MOST: u64 = 1 << 20;

/// An entry to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) samples: u32,
    pub(crate) payload: Vec<u8>,
}

/// What left undelivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) entries: u64,
    pub(crate) samples: u64,
}

/// Why a spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory can't be used.
    #[error(
        "opening the agent's buffer in {dir}: {source}; make it writable or set another `buffer_dir`"
    )]
    Io {
        /// Which directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another agent uses the buffer in {dir}; stop it or set another `buffer_dir`")]
    InUse {
        /// Which directory.
        dir: PathBuf,
    },
}

enum Place {
    Disk {
        segment: u64,
        found: Found,
    },
    Memory {
        samples: u32,
        payload: Vec<u8>,
    },
    /// Its bytes could not be read back.
    Lost,
}

impl Place {
    const fn samples(&self) -> u32 {
        match self {
            Self::Disk { found, .. } => found.samples,
            Self::Memory { samples, .. } => *samples,
            Self::Lost => 0,
        }
    }
}

/// The queue.
pub(crate) struct Spool {
    dir: PathBuf,
    bytes_most: u64,
    segment_bytes: u64,
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// Entries `head..`, oldest first.
    places: VecDeque<Place>,
    head: u64,
    bytes: u64,
    memory_bytes: usize,
    samples: u64,
    dropped: Dropped,
    cursor: File,
    /// Held open for its lock.
    _lock: File,
}

impl Spool {
    /// Opens the queue in `dir`, with what an earlier process left there.
    pub(crate) fn open(dir: &Path, bytes_most: u64) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Io {
            dir: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = open_file(&dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SpoolError::InUse {
                    dir: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let cursor = open_file(&dir.join("delivered")).map_err(failed)?;
        let mut spool = Self {
            dir: dir.to_owned(),
            bytes_most,
            segment_bytes: (bytes_most / 8).min(1 << 20),
            segments: VecDeque::new(),
            places: VecDeque::new(),
            head: read_cursor(&cursor).unwrap_or(0),
            bytes: 0,
            memory_bytes: 0,
            samples: 0,
            dropped: Dropped::default(),
            cursor,
            _lock: lock,
        };
        spool.recover().map_err(failed)?;
        Ok(spool)
    }

    /// Adds an entry. It is never an error: what finds no place is counted.
    pub(crate) fn append(&mut self, samples: u32, payload: Vec<u8>) {
        let seq = self.next_seq();
        self.samples += u64::from(samples);
        let place = match self.write(seq, samples, &payload) {
            Ok(place) => place,
            Err(error) if self.memory_bytes + payload.len() <= MEMORY_BYTES_MOST => {
                tracing::warn!(dir = %self.dir.display(), %error, "the agent's buffer takes no writes");
                self.memory_bytes += payload.len();
                Place::Memory { samples, payload }
            }
            Err(_) => {
                self.samples -= u64::from(samples);
                self.dropped.entries += 1;
                self.dropped.samples += u64::from(samples);
                return;
            }
        };
        self.places.push_back(place);
    }

    /// The oldest entries, at least one if there is any, at most `entries` and about `bytes`.
    pub(crate) fn peek(&mut self, entries: usize, bytes: usize) -> Vec<Entry> {
        let mut taken = Vec::new();
        let mut size = 0;
        for at in 0..self.places.len() {
            if taken.len() == entries || size >= bytes {
                break;
            }
            if let Some(entry) = self.read(at) {
                size += entry.payload.len();
                taken.push(entry);
            }
        }
        if taken.is_empty() && !self.places.is_empty() {
            // Nothing left that can be read.
            self.acknowledge(self.next_seq());
        }
        taken
    }

    /// Everything numbered below `end` is delivered, or can't be.
    pub(crate) fn acknowledge(&mut self, end: u64) {
        while self.head < end && self.pop().is_some() {}
        let mut cursor = [0; 12];
        cursor[..8].copy_from_slice(&self.head.to_le_bytes());
        cursor[8..].copy_from_slice(&crc32fast::hash(&self.head.to_le_bytes()).to_le_bytes());
        if let Err(error) = self.cursor.write_all_at(&cursor, 0) {
            tracing::debug!(%error, "noting what is delivered; after a crash it goes out again");
        }
        while self
            .segments
            .get(1)
            .is_some_and(|next| next.first <= self.head)
        {
            self.delete_oldest();
        }
    }

    /// Bytes on disk and in memory.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes + self.memory_bytes as u64
    }

    /// Samples that wait.
    pub(crate) const fn samples(&self) -> u64 {
        self.samples
    }

    /// What left undelivered since this process began.
    pub(crate) const fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn next_seq(&self) -> u64 {
        self.head + self.places.len() as u64
    }

    fn write(&mut self, seq: u64, samples: u32, payload: &[u8]) -> io::Result<Place> {
        let need = payload.len() as u64 + 32;
        while self.bytes + need > self.bytes_most && !self.segments.is_empty() {
            self.drop_oldest();
        }
        // Numbers are without gaps inside a segment; an entry held in memory makes one.
        let fits = |last: &Segment| last.bytes < self.segment_bytes && last.next == seq;
        if !self.segments.back().is_some_and(fits) {
            self.segments.push_back(Segment::create(&self.dir, seq)?);
        }
        let last = self
            .segments
            .back_mut()
            .expect("there is a segment to write to");
        let segment = last.first;
        match last.append(samples, payload) {
            Ok(found) => {
                self.bytes += found.bytes as u64;
                Ok(Place::Disk { segment, found })
            }
            Err(error) => {
                // A full disk must not fill with empty files.
                if let Some(empty) = self.segments.pop_back_if(|last| last.bytes == 0) {
                    empty.delete()?;
                }
                Err(error)
            }
        }
    }

    fn read(&mut self, at: usize) -> Option<Entry> {
        let seq = self.head + at as u64;
        let read = match &self.places[at] {
            Place::Lost => return None,
            Place::Memory { samples, payload } => {
                return Some(Entry {
                    seq,
                    samples: *samples,
                    payload: payload.clone(),
                });
            }
            Place::Disk { segment, found } => {
                let holder = self.segments.iter().find(|known| known.first == *segment);
                holder.and_then(|holder| holder.read(*found).transpose())
            }
        };
        let samples = self.places[at].samples();
        match read {
            Some(Ok(payload)) => Some(Entry {
                seq,
                samples,
                payload,
            }),
            other => {
                let error = other.and_then(Result::err).map(|error| error.to_string());
                tracing::warn!(
                    seq,
                    error,
                    "an entry of the agent's buffer can't be read back"
                );
                self.places[at] = Place::Lost;
                self.samples -= u64::from(samples);
                self.dropped.entries += 1;
                self.dropped.samples += u64::from(samples);
                None
            }
        }
    }

    fn pop(&mut self) -> Option<Place> {
        let place = self.places.pop_front()?;
        self.head += 1;
        self.samples -= u64::from(place.samples());
        if let Place::Memory { payload, .. } = &place {
            self.memory_bytes -= payload.len();
        }
        Some(place)
    }

    /// Gives up the oldest segment with all it holds, and what in memory is older.
    fn drop_oldest(&mut self) {
        let later = self.segments.get(1).map_or(u64::MAX, |next| next.first);
        while self.head < later {
            let Some(place) = self.pop() else { break };
            // What was lost is counted already.
            if !matches!(place, Place::Lost) {
                self.dropped.entries += 1;
                self.dropped.samples += u64::from(place.samples());
            }
        }
        self.delete_oldest();
    }

    fn delete_oldest(&mut self) {
        if let Some(oldest) = self.segments.pop_front() {
            self.bytes -= oldest.bytes;
            if let Err(error) = oldest.delete() {
                tracing::warn!(dir = %self.dir.display(), %error, "deleting a file of the agent's buffer");
            }
        }
    }

    fn recover(&mut self) -> io::Result<()> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            paths.push(entry?.path());
        }
        paths.sort();
        let cursor = self.head;
        for path in paths {
            let Some((segment, found)) = Segment::open(&path)? else {
                continue;
            };
            self.adopt(segment, found, cursor)?;
        }
        Ok(())
    }

    /// Takes over a file of an earlier process, oldest first.
    fn adopt(&mut self, segment: Segment, found: Vec<Found>, cursor: u64) -> io::Result<()> {
        let from = if self.places.is_empty() {
            cursor
        } else {
            self.next_seq()
        };
        let waiting: Vec<Found> = found
            .into_iter()
            .filter(|found| found.seq >= from)
            .collect();
        let Some(first) = waiting.first() else {
            return segment.delete();
        };
        if self.places.is_empty() {
            self.head = first.seq;
        }
        // No process leaves a gap that wide: the file is not of this queue.
        if first.seq - self.next_seq() > GAP_MOST {
            return Ok(());
        }
        // A gap: entries that were only in memory, or behind a broken one.
        while self.next_seq() < first.seq {
            self.places.push_back(Place::Lost);
            self.dropped.entries += 1;
        }
        for found in waiting {
            self.samples += u64::from(found.samples);
            self.places.push_back(Place::Disk {
                segment: segment.first,
                found,
            });
        }
        self.bytes += segment.bytes;
        self.segments.push_back(segment);
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn read_cursor(file: &File) -> Option<u64> {
    let mut bytes = [0; 12];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let (seq, crc) = bytes.split_first_chunk::<8>()?;
    (crc32fast::hash(seq).to_le_bytes() == *crc).then(|| u64::from_le_bytes(*seq))
}

#[cfg(test)]
mod tests;

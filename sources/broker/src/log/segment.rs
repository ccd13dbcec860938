//! One file of a partition's log: whole batches, one after the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{HEADER_LEN, Header};
use crate::log::index::{Checkpoint, Index};
use crate::producers::Producers;

/// How much is read at once while looking for a batch.
const LOOK_BYTES: u64 = 32 << 10;

/// The epoch of the leader that every batch carries: a single node is never succeeded.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// A segment: its file and what is known of it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) path: PathBuf,
    /// Bytes of whole batches; the file may hold more only while an append fails.
    pub(crate) len: u64,
    /// The offset after the last record; the base offset while empty.
    pub(crate) next_offset: i64,
    pub(crate) newest_timestamp: i64,
    pub(crate) first_append_ms: i64,
    pub(crate) last_append_ms: i64,
    pub(crate) compacted_ms: i64,
    pub(crate) index: Index,
    /// The open file, held until the segment is closed and on disk: only who held it all the while is
    /// sure to be told of a write that failed.
    pub(crate) open: Option<Arc<File>>,
    /// The producers at the segment's end, until its checkpoint is written.
    pub(crate) unsaved_producers: Option<Producers>,
    /// Counts how often the file was replaced: a place in an older one means nothing in a newer.
    pub(crate) version: u64,
}

/// A place in a segment, with the file held open.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<File>,
    pub(crate) segment: i64,
    pub(crate) version: u64,
    pub(crate) position: u64,
    /// Bytes of whole batches from the position to the segment's end.
    pub(crate) available: u64,
}

/// The segment's file name without its extension.
pub(crate) fn stem(base_offset: i64) -> String {
    format!("{base_offset:020}")
}

impl Segment {
    /// Makes an empty segment that can be appended to.
    pub(crate) fn create(dir: &Path, base_offset: i64, now_ms: i64) -> io::Result<Segment> {
        let path = dir.join(stem(base_offset)).with_extension("log");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)?;
        Ok(Segment {
            base_offset,
            path,
            len: 0,
            next_offset: base_offset,
            newest_timestamp: -1,
            first_append_ms: now_ms,
            last_append_ms: now_ms,
            compacted_ms: 0,
            index: Index::default(),
            open: Some(Arc::new(file)),
            unsaved_producers: None,
            version: 0,
        })
    }

    /// Writes a batch at the end, under the offset `next_offset`.
    pub(crate) fn append(&mut self, header: &Header, bytes: &[u8], now_ms: i64) -> io::Result<()> {
        let file = self
            .open
            .as_deref()
            .expect("only the active segment is appended to");
        let mut prefix = [0u8; 16];
        prefix[..8].copy_from_slice(&header.base_offset.to_be_bytes());
        prefix[8..12].copy_from_slice(&bytes[8..12]);
        prefix[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        // At an explicit place: what an earlier failure left behind the end is written over.
        let written = file
            .write_all_at(&prefix, self.len)
            .and_then(|()| file.write_all_at(&bytes[16..], self.len + 16));
        if written.is_err() {
            // Torn bytes do no harm, but the next start would tell of them.
            let _ = file.set_len(self.len);
            return written;
        }
        self.note(header, now_ms);
        Ok(())
    }

    /// Accounts for the batch that lies at the end.
    pub(crate) fn note(&mut self, header: &Header, now_ms: i64) {
        if self.len == 0 {
            self.first_append_ms = now_ms;
        }
        self.index.note(header, self.len, self.newest_timestamp);
        self.len += header.len as u64;
        self.next_offset = header.next_offset();
        self.newest_timestamp = self.newest_timestamp.max(header.max_timestamp);
        self.last_append_ms = now_ms;
    }

    /// The segment's file, open for reading.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        match &self.open {
            Some(file) => Ok(Arc::clone(file)),
            None => Ok(Arc::new(File::open(&self.path)?)),
        }
    }

    /// The place of the first batch that reaches `offset`; none if all lie before it.
    pub(crate) fn find_offset(&self, offset: i64) -> io::Result<Option<Place>> {
        self.find_offset_where(offset, |header| header.next_offset() > offset)
    }

    /// The place of the first batch that is `wanted`, looked for from about `offset` on.
    pub(crate) fn find_offset_where(
        &self,
        offset: i64,
        wanted: impl FnMut(&Header) -> bool,
    ) -> io::Result<Option<Place>> {
        self.find(self.index.before_offset(offset), wanted)
    }

    /// The place of the first batch that reaches `timestamp` and does not end before `from_offset`.
    pub(crate) fn find_time(&self, timestamp: i64, from_offset: i64) -> io::Result<Option<Place>> {
        let start = self
            .index
            .before_time(timestamp)
            .max(self.index.before_offset(from_offset));
        self.find(start, |header| {
            header.max_timestamp >= timestamp && header.next_offset() > from_offset
        })
    }

    fn find(
        &self,
        start: u64,
        mut wanted: impl FnMut(&Header) -> bool,
    ) -> io::Result<Option<Place>> {
        let file = self.file()?;
        let mut position = start;
        let mut window = Vec::new();
        let mut window_at = start;
        while position < self.len {
            let inside = (position - window_at) as usize;
            if window.len() < inside + HEADER_LEN {
                window_at = position;
                window.resize(LOOK_BYTES.min(self.len - position) as usize, 0);
                file.read_exact_at(&mut window, position)?;
                continue;
            }
            let Some(header) = Header::parse(&window[inside..]) else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("no batch at {position} of {}", self.path.display()),
                ));
            };
            if wanted(&header) {
                return Ok(Some(self.place(file, position)));
            }
            position += header.len as u64;
        }
        Ok(None)
    }

    /// The place at a known position.
    pub(crate) fn place(&self, file: Arc<File>, position: u64) -> Place {
        Place {
            file,
            segment: self.base_offset,
            version: self.version,
            position,
            available: self.len - position,
        }
    }

    /// Ends appending; the checkpoint is written later, when the bytes are on disk.
    pub(crate) fn close(&mut self, producers: Producers) {
        self.unsaved_producers = Some(producers);
    }

    /// What the checkpoint of this segment says.
    pub(crate) fn checkpoint(&self, producers: Producers) -> Checkpoint {
        Checkpoint {
            len: self.len,
            next_offset: self.next_offset,
            newest_timestamp: self.newest_timestamp,
            first_append_ms: self.first_append_ms,
            last_append_ms: self.last_append_ms,
            compacted_ms: self.compacted_ms,
            index: self.index.clone(),
            producers,
        }
    }

    /// The path of the segment's checkpoint.
    pub(crate) fn checkpoint_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Removes the segment's files, if someone has not already. Readers that hold the file open still read it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for path in [&self.checkpoint_path(), &self.path] {
            match fs::remove_file(path) {
                Err(failed) if failed.kind() != io::ErrorKind::NotFound => return Err(failed),
                _ => {}
            }
        }
        Ok(())
    }
}

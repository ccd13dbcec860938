//! The sparse index of a segment, by offset and by time, and the checkpoint file it is kept in.
//!
//! One entry per 32 KiB of log: 24 bytes of memory for each, so 100 GB of log cost 75 MB. The
//! checkpoint `<base>.index` says how far the segment is known to be sound, so that a start scans
//! only what came after; it is written after the segment's bytes were forced to disk. A missing
//! or damaged checkpoint costs a scan, nothing more.

use std::fs;
use std::io;
use std::path::Path;

use crate::batch::Header;
use crate::producers::Producers;

/// How many bytes of log lie between two entries.
const INTERVAL: u64 = 32 << 10;
const MAGIC: &[u8; 8] = b"TGINDEX1";

/// A batch's place in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    position: u64,
    /// The newest timestamp of all batches before this one.
    newest_before: i64,
}

/// Where batches lie in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Notes the batch at `position`; `newest_before` is the newest timestamp of those before it.
    pub(crate) fn note(&mut self, batch: &Header, position: u64, newest_before: i64) {
        let due = self
            .entries
            .last()
            .is_none_or(|last| position >= last.position + INTERVAL);
        if due {
            self.entries.push(Entry {
                offset: batch.base_offset,
                position,
                newest_before,
            });
        }
    }

    /// From where to look for the batch that holds `offset`.
    pub(crate) fn before_offset(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        after
            .checked_sub(1)
            .map_or(0, |at| self.entries[at].position)
    }

    /// From where to look for the first batch that reaches `timestamp`.
    pub(crate) fn before_time(&self, timestamp: i64) -> u64 {
        let after = self
            .entries
            .partition_point(|entry| entry.newest_before < timestamp);
        after
            .checked_sub(1)
            .map_or(0, |at| self.entries[at].position)
    }
}

/// What is known of a segment up to `len`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Bytes of the segment that this covers.
    pub(crate) len: u64,
    pub(crate) next_offset: i64,
    pub(crate) newest_timestamp: i64,
    /// When the broker took the first and the last record.
    pub(crate) first_append_ms: i64,
    pub(crate) last_append_ms: i64,
    /// When the segment was first compacted; 0 is never.
    pub(crate) compacted_ms: i64,
    pub(crate) index: Index,
    /// The partition's producers after the last record.
    pub(crate) producers: Producers,
}

impl Checkpoint {
    /// Writes the checkpoint, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("index.tmp");
        fs::write(&temporary, self.encode())?;
        fs::rename(&temporary, path)
    }

    /// Reads a checkpoint; none if it is missing or damaged.
    pub(crate) fn load(path: &Path) -> Option<Checkpoint> {
        Self::decode(&fs::read(path).ok()?)
    }

    fn encode(&self) -> Vec<u8> {
        let producers = self.producers.encode();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.len.to_be_bytes());
        for number in [
            self.next_offset,
            self.newest_timestamp,
            self.first_append_ms,
            self.last_append_ms,
            self.compacted_ms,
            self.index.entries.len() as i64,
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for entry in &self.index.entries {
            out.extend_from_slice(&entry.offset.to_be_bytes());
            out.extend_from_slice(&entry.position.to_be_bytes());
            out.extend_from_slice(&entry.newest_before.to_be_bytes());
        }
        out.extend_from_slice(&producers);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut number = || {
            let (found, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(i64::from_be_bytes(*found))
        };
        let len = number()? as u64;
        let (next_offset, newest_timestamp) = (number()?, number()?);
        let (first_append_ms, last_append_ms) = (number()?, number()?);
        let compacted_ms = number()?;
        let count = number()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let (offset, position) = (number()?, number()? as u64);
            entries.push(Entry {
                offset,
                position,
                newest_before: number()?,
            });
        }
        Some(Checkpoint {
            len,
            next_offset,
            newest_timestamp,
            first_append_ms,
            last_append_ms,
            compacted_ms,
            index: Index { entries },
            producers: Producers::decode(rest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(offset: i64) -> Header {
        let mut header = Header::parse(&crate::records::build(&[(b"k", None)], 0)).unwrap();
        header.base_offset = offset;
        header
    }

    #[test]
    fn the_index_never_points_behind_what_is_sought() {
        let mut index = Index::default();
        for n in 0..100 {
            index.note(&header(n * 10), n as u64 * 10_000, n * 1_000 - 1);
        }
        assert_eq!(index.before_offset(0), 0);
        for n in 0..100 {
            let found = index.before_offset(n * 10 + 5);
            assert!(found <= n as u64 * 10_000 && found + INTERVAL + 10_000 > n as u64 * 10_000);
            assert!(index.before_time(n * 1_000) <= n as u64 * 10_000);
        }
    }

    #[test]
    fn a_checkpoint_survives_and_a_damaged_one_is_none() {
        let mut index = Index::default();
        index.note(&header(3), 0, -1);
        let checkpoint = Checkpoint {
            len: 500,
            next_offset: 9,
            newest_timestamp: 77,
            first_append_ms: 1,
            last_append_ms: 2,
            compacted_ms: 0,
            index,
            producers: Producers::default(),
        };
        let mut bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        bytes[20] ^= 1;
        assert_eq!(Checkpoint::decode(&bytes), None);
        assert_eq!(Checkpoint::decode(&[]), None);
    }
}

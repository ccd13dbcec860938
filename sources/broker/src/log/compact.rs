//! Compaction: of each key only the newest record stays.
//!
//! Closed segments are read once for the newest offset of each key and once more to write what
//! stays. A tombstone stays until `delete.retention.ms` after its segment was first compacted, so
//! that a slow reader still learns of the deletion. Segments whose tombstones are all gone are
//! merged, so that the number of files stays bounded. New files replace old ones by rename, the
//! oldest first; a crash in between leaves either form, never neither.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::Header;
use crate::log::Log;
use crate::log::index::Index;
use crate::log::recovery::read_batch;
use crate::log::segment::Segment;
use crate::producers::Producers;
use crate::records::{self, Record};

/// The newest offset of each key, by the key's 128-bit hash.
type Newest = HashMap<u128, i64>;

/// Keys taken into one pass; further segments wait for the next.
const MAX_KEYS: usize = 4_000_000;
/// The most a batch may decompress to; a larger one is kept as it is.
const BATCH_LIMIT: usize = 256 << 20;

/// What a compaction needs to know of a closed segment.
#[derive(Clone, Debug)]
pub(super) struct Source {
    base_offset: i64,
    path: std::path::PathBuf,
    len: u64,
    first_append_ms: i64,
    last_append_ms: i64,
    compacted_ms: i64,
    /// All its tombstones may go.
    is_settled: bool,
}

/// Compacts `log` if its configuration asks for it and enough is dirty. Returns the bytes freed.
pub(crate) fn compact(log: &Mutex<Log>, now_ms: i64) -> io::Result<u64> {
    let Some(sources) = log.lock().worth_compacting(now_ms) else {
        return Ok(0);
    };
    let (newest, covered) = newest_offsets(&sources)?;
    let mut freed = 0;
    let segment_bytes = log.lock().config.segment_bytes;
    for group in groups(&sources[..covered], segment_bytes) {
        let temporary = group[0].path.with_extension("log.tmp");
        let before: u64 = group.iter().map(|source| source.len).sum();
        let replaced = rewrite(&temporary, group, &newest, now_ms).and_then(|written| {
            freed += before - written.len.min(before);
            log.lock().replace(group, written)
        });
        if !matches!(replaced, Ok(true)) {
            // It holds room that a full disk needs, and is gone already if the topic is.
            let _ = fs::remove_file(&temporary);
            return replaced.map(|_| freed);
        }
    }
    Ok(freed)
}

impl Log {
    pub(super) fn worth_compacting(&self, now_ms: i64) -> Option<Vec<Source>> {
        if !self.config.compact || self.deleted {
            return None;
        }
        let closed = &self.segments[..self.segments.len() - 1];
        let all: u64 = closed.iter().map(|segment| segment.len).sum();
        let dirty = closed.iter().filter(|segment| segment.compacted_ms == 0);
        let dirty: u64 = dirty.map(|segment| segment.len).sum();
        if dirty == 0 || dirty * 100 < all * u64::from(self.config.min_dirty_percent) {
            return None;
        }
        let settled_before = now_ms.saturating_sub(self.config.delete_retention_ms);
        let source = |segment: &Segment| Source {
            base_offset: segment.base_offset,
            path: segment.path.clone(),
            len: segment.len,
            first_append_ms: segment.first_append_ms,
            last_append_ms: segment.last_append_ms,
            compacted_ms: segment.compacted_ms,
            is_settled: segment.compacted_ms > 0 && segment.compacted_ms <= settled_before,
        };
        Some(closed.iter().map(source).collect())
    }

    /// Puts the rewritten segment in the place of `group`. False if the log has gone on without.
    /// What a failure leaves can be read: a segment goes from memory after its file has, and after
    /// the one that takes its place has come.
    pub(super) fn replace(&mut self, group: &[Source], mut written: Segment) -> io::Result<bool> {
        let first = self
            .segments
            .iter()
            .position(|s| s.base_offset == group[0].base_offset);
        let Some(first) = first.filter(|_| !self.deleted) else {
            return Ok(false);
        };
        self.hints.clear();
        if written.len == 0 {
            fs::remove_file(&written.path)?;
            for _ in group {
                self.segments[first].remove()?;
                self.segments.remove(first);
            }
            return Ok(true);
        }
        let place = &self.segments[first];
        // That of the old file must not be taken for one of the new.
        let _ = fs::remove_file(place.checkpoint_path());
        fs::rename(&written.path, &place.path)?;
        written.path.clone_from(&place.path);
        written.version = place.version + 1;
        if written.next_offset > self.forced_up_to {
            // The old file was not on disk; the new one is, but its name may not be.
            self.forced_up_to = self.forced_up_to.min(written.base_offset);
        }
        // A start reads the producers of the last checkpoint and goes on from there. Newer ones than
        // the segment's own do no harm: what lies behind is noted again, in order.
        written.unsaved_producers = Some(self.producers.clone());
        let merged = first..first + group.len();
        let old: Vec<Segment> = self.segments.splice(merged, [written]).collect();
        // Should one stay, the next start finds it inside the first and removes it.
        old[1..].iter().try_for_each(Segment::remove)?;
        Ok(true)
    }
}

/// The newest offset of each key in the segments not yet compacted, and how many of `sources` that
/// covers.
fn newest_offsets(sources: &[Source]) -> io::Result<(Newest, usize)> {
    let mut newest = Newest::new();
    for (at, source) in sources.iter().enumerate() {
        if newest.len() >= MAX_KEYS {
            return Ok((newest, at));
        }
        if source.compacted_ms > 0 {
            continue;
        }
        each_batch(source, |batch, header| {
            let Ok(payload) = records::payload(batch, header, BATCH_LIMIT) else {
                return Ok(());
            };
            for record in records::walk(&payload, header).map_while(Result::ok) {
                if let Some(key) = record.key {
                    newest.insert(xxh3_128(key), record.offset);
                }
            }
            Ok(())
        })?;
    }
    Ok((newest, sources.len()))
}

fn each_batch(
    source: &Source,
    mut each: impl FnMut(&Bytes, &Header) -> io::Result<()>,
) -> io::Result<()> {
    let mut from = BufReader::with_capacity(1 << 20, File::open(&source.path)?);
    let mut left = source.len;
    let mut batch = Vec::new();
    while read_batch(&mut from, left, &mut batch)? {
        let header = Header::parse(&batch).expect("a whole batch has a header");
        left -= header.len as u64;
        each(&Bytes::from(std::mem::take(&mut batch)), &header)?;
    }
    match left {
        0 => Ok(()),
        left => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{left} bytes at the end of {} are no batches",
                source.path.display()
            ),
        )),
    }
}

/// Which segments become one: neighbours that are settled and small, each other one by itself.
fn groups(sources: &[Source], max_bytes: u32) -> Vec<&[Source]> {
    let mut groups = Vec::new();
    let mut from = 0;
    for to in 1..=sources.len() {
        let bytes: u64 = sources[from..sources.len().min(to + 1)]
            .iter()
            .map(|s| s.len)
            .sum();
        let goes_on = to < sources.len()
            && sources[from].is_settled
            && sources[to].is_settled
            && bytes <= u64::from(max_bytes);
        if !goes_on {
            groups.push(&sources[from..to]);
            from = to;
        }
    }
    groups
}

/// Writes what stays of `group` into a new file beside the old ones.
fn rewrite(path: &Path, group: &[Source], newest: &Newest, now_ms: i64) -> io::Result<Segment> {
    let first = &group[0];
    let mut written = Segment {
        base_offset: first.base_offset,
        len: 0,
        next_offset: first.base_offset,
        newest_timestamp: -1,
        first_append_ms: first.first_append_ms,
        last_append_ms: first.last_append_ms,
        compacted_ms: if first.compacted_ms > 0 {
            first.compacted_ms
        } else {
            now_ms
        },
        index: Index::default(),
        open: None,
        unsaved_producers: Some(Producers::default()),
        version: 0,
        path: path.to_owned(),
    };
    write_kept(path, group, newest, &mut written)?;
    written.first_append_ms = first.first_append_ms;
    written.last_append_ms = group
        .iter()
        .map(|source| source.last_append_ms)
        .max()
        .unwrap_or(0);
    Ok(written)
}

fn write_kept(
    path: &Path,
    group: &[Source],
    newest: &Newest,
    written: &mut Segment,
) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for source in group {
        each_batch(source, |batch, header| {
            let kept = keep(batch, header, newest, source.is_settled);
            let bytes: &[u8] = match &kept {
                Kept::All => batch,
                Kept::Some(bytes) => bytes,
                Kept::None => return Ok(()),
            };
            to.write_all(bytes)?;
            written.note(
                &Header::parse(bytes).expect("a batch stays one"),
                source.last_append_ms,
            );
            Ok(())
        })?;
    }
    to.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_data()
}

enum Kept {
    All,
    Some(Vec<u8>),
    None,
}

fn keep(batch: &Bytes, header: &Header, newest: &Newest, is_settled: bool) -> Kept {
    let stays = |record: &Record<'_>| match record.key {
        None => true,
        Some(key) => {
            let superseded = newest
                .get(&xxh3_128(key))
                .is_some_and(|at| *at > record.offset);
            !(superseded || is_settled && record.value.is_none())
        }
    };
    let Ok(payload) = records::payload(batch, header, BATCH_LIMIT) else {
        return Kept::All;
    };
    let Ok(all) = records::walk(&payload, header).collect::<Result<Vec<_>, _>>() else {
        return Kept::All;
    };
    let kept: Vec<_> = all.iter().copied().filter(stays).collect();
    if kept.len() == all.len() {
        return Kept::All;
    }
    if kept.is_empty() {
        return Kept::None;
    }
    records::rebuild(batch, header, &kept).map_or(Kept::All, Kept::Some)
}

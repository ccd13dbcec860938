//! Opening a partition's directory: torn tails are cut, missing indexes rebuilt.
//!
//! Each segment is sound up to where its checkpoint says; what lies beyond is scanned, batch by
//! batch with the CRC, and the file is cut at the first batch that is not whole. Records after a
//! damaged place in an older segment stay: a hole in offsets is better than a larger loss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::batch::{HEADER_LEN, Header, crc_fits};
use crate::disk;
use crate::log::Log;
use crate::log::index::{Checkpoint, Index};
use crate::log::read::Hints;
use crate::log::segment::{Segment, stem};
use crate::producers::Producers;
use crate::topic_config::TopicConfig;

/// The file that holds the log's start where `DeleteRecords` moved it.
const START_OFFSET_FILE: &str = "start-offset";
/// A batch larger than any that was ever taken is a torn one.
const MAX_BATCH_BYTES: usize = 1 << 30;

impl Log {
    /// Opens the log in `dir`, which is made if it is missing.
    pub(crate) fn open(dir: &Path, config: Arc<TopicConfig>, now_ms: i64) -> io::Result<Log> {
        fs::create_dir_all(dir)?;
        let mut segments = Vec::new();
        let mut producers = Producers::default();
        for base_offset in base_offsets(dir)? {
            let segment = open_segment(dir, base_offset, &mut producers)?;
            let reached = segments
                .last()
                .map_or(i64::MIN, |last: &Segment| last.next_offset);
            if base_offset < reached {
                // A compaction merged it into the one before and died before removing it.
                segment.remove()?;
                continue;
            }
            segments.push(segment);
        }
        let next_offset = segments.last().map_or(0, |segment| segment.next_offset);
        let start_offset = load_start_offset(dir).min(next_offset);
        let first = segments.first().map_or(0, |segment| segment.base_offset);
        // Checkpoints are written once a segment is on disk; what a crash left without may not be.
        let unsaved = segments.iter().find(|s| s.unsaved_producers.is_some());
        let forced_up_to = unsaved.map_or(next_offset, |segment| segment.base_offset);
        match segments.last_mut() {
            None => segments.push(Segment::create(dir, 0, now_ms)?),
            Some(active) => resume(active)?,
        }
        Ok(Log {
            dir: dir.to_owned(),
            config,
            segments,
            start_offset: start_offset.max(first),
            next_offset,
            producers,
            hints: Hints::default(),
            waiting: Vec::new(),
            forced_up_to,
            force_failed: false,
            forcing: Arc::default(),
            deleted: false,
        })
    }
}

/// The base offsets of the segments in `dir`, ascending. Leftovers of unfinished writes go.
fn base_offsets(dir: &Path) -> io::Result<Vec<i64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let base = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|s| s.parse().ok());
        match (extension, base) {
            (Some("log"), Some(base)) => found.push(base),
            (Some("tmp"), _) => fs::remove_file(&path)?,
            _ => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn open_segment(dir: &Path, base_offset: i64, producers: &mut Producers) -> io::Result<Segment> {
    let path = dir.join(stem(base_offset)).with_extension("log");
    let written_ms = disk::modified_ms(&path)?;
    let file_len = fs::metadata(&path)?.len();
    let mut segment = Segment {
        base_offset,
        len: 0,
        next_offset: base_offset,
        newest_timestamp: -1,
        first_append_ms: written_ms,
        last_append_ms: written_ms,
        compacted_ms: 0,
        index: Index::default(),
        open: None,
        unsaved_producers: None,
        version: 0,
        path,
    };
    if let Some(saved) = Checkpoint::load(&segment.checkpoint_path())
        && saved.len <= file_len
    {
        adopt(&mut segment, &saved);
        *producers = saved.producers;
    }
    if segment.len < file_len {
        scan_rest(&mut segment, producers, file_len, written_ms)?;
        segment.unsaved_producers = Some(producers.clone());
    } else if !segment.checkpoint_path().exists() {
        segment.unsaved_producers = Some(producers.clone());
    }
    Ok(segment)
}

fn adopt(segment: &mut Segment, saved: &Checkpoint) {
    segment.len = saved.len;
    segment.next_offset = saved.next_offset;
    segment.newest_timestamp = saved.newest_timestamp;
    segment.first_append_ms = saved.first_append_ms;
    segment.last_append_ms = saved.last_append_ms;
    segment.compacted_ms = saved.compacted_ms;
    segment.index = saved.index.clone();
}

/// Takes in the batches that no checkpoint covers and cuts the file behind the last whole one.
fn scan_rest(
    segment: &mut Segment,
    producers: &mut Producers,
    file_len: u64,
    written_ms: i64,
) -> io::Result<()> {
    let file = File::open(&segment.path)?;
    let mut from = BufReader::with_capacity(1 << 20, file);
    from.seek(SeekFrom::Start(segment.len))?;
    let mut batch = Vec::new();
    while read_batch(&mut from, file_len - segment.len, &mut batch)? {
        let header = Header::parse(&batch).expect("a whole batch has a header");
        if header.base_offset < segment.next_offset {
            break;
        }
        let first_append_ms = segment.first_append_ms;
        segment.note(&header, written_ms);
        segment.first_append_ms = first_append_ms.min(written_ms);
        producers.note(&header, header.base_offset, written_ms);
    }
    if segment.len < file_len {
        tracing::warn!(
            path = %segment.path.display(),
            kept_bytes = segment.len,
            cut_bytes = file_len - segment.len,
            "cut a torn tail"
        );
        OpenOptions::new()
            .write(true)
            .open(&segment.path)?
            .set_len(segment.len)?;
    }
    Ok(())
}

/// Reads the next batch into `batch`; false where there is no whole, sound one.
pub(crate) fn read_batch(from: &mut impl Read, left: u64, batch: &mut Vec<u8>) -> io::Result<bool> {
    if left < HEADER_LEN as u64 {
        return Ok(false);
    }
    batch.resize(HEADER_LEN, 0);
    from.read_exact(batch)?;
    let Some(header) = Header::parse(batch) else {
        return Ok(false);
    };
    if header.magic != 2 || header.len as u64 > left || header.len > MAX_BATCH_BYTES {
        return Ok(false);
    }
    batch.resize(header.len, 0);
    from.read_exact(&mut batch[HEADER_LEN..])?;
    Ok(crc_fits(batch, &header))
}

/// Makes the last segment writable again.
fn resume(active: &mut Segment) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&active.path)?;
    active.open = Some(Arc::new(file));
    active.unsaved_producers = None;
    Ok(())
}

fn load_start_offset(dir: &Path) -> i64 {
    let text = fs::read_to_string(dir.join(START_OFFSET_FILE)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Remembers where the log starts.
pub(crate) fn save_start_offset(dir: &Path, offset: i64) -> io::Result<()> {
    let temporary = dir.join("start-offset.tmp");
    fs::write(&temporary, offset.to_string())?;
    fs::rename(temporary, dir.join(START_OFFSET_FILE))
}

//! Reading a partition: by offset for fetches, by time for offset lookups.
//!
//! A place is looked up under the log's lock; bytes are read outside it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;

use crate::batch::{HEADER_LEN, Header, walk};
use crate::error::Refusal;
use crate::log::segment::Place;
use crate::log::{Log, storage};
use crate::records::{self, Record};

/// How many consumers' next places are remembered per partition.
const HINTS: usize = 8;
/// The most that a batch may decompress to when a time is looked up in it.
const LOOKUP_LIMIT: usize = 256 << 20;

/// Where recent fetches ended, so that the next fetch starts without a search.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    next: usize,
    places: [Option<(i64, i64, u64)>; HINTS],
}

impl Hints {
    fn get(&self, offset: i64) -> Option<(i64, u64)> {
        let found = self
            .places
            .iter()
            .flatten()
            .find(|(at, _, _)| *at == offset)?;
        Some((found.1, found.2))
    }

    fn put(&mut self, offset: i64, segment: i64, position: u64) {
        if self.get(offset).is_none() {
            self.places[self.next] = Some((offset, segment, position));
            self.next = (self.next + 1) % HINTS;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Hints::default();
    }
}

/// What a reader finds at an offset.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) start_offset: i64,
    pub(crate) next_offset: i64,
    /// None at the end of the log.
    pub(crate) place: Option<Place>,
}

impl Log {
    /// The place of the batch that holds `offset`.
    pub(crate) fn view(&self, offset: i64) -> Result<View, Refusal> {
        if self.deleted {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        if offset < self.start_offset || offset > self.next_offset {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        let place = if offset == self.next_offset {
            None
        } else {
            storage(self.place_of(offset))?
        };
        Ok(View {
            start_offset: self.start_offset,
            next_offset: self.next_offset,
            place,
        })
    }

    /// How many bytes lie from the batch that holds `offset` to the end of the log.
    pub(crate) fn bytes_from(&mut self, offset: i64) -> Result<u64, Refusal> {
        let Some(place) = self.view(offset)?.place else {
            return Ok(0);
        };
        self.remember(offset, &place, 0);
        let later = self
            .segments
            .iter()
            .filter(|segment| segment.base_offset > place.segment);
        Ok(place.available + later.map(|segment| segment.len).sum::<u64>())
    }

    fn place_of(&self, offset: i64) -> io::Result<Option<Place>> {
        if let Some((base, position)) = self.hints.get(offset)
            && let Some(segment) = self.segments.iter().rev().find(|s| s.base_offset == base)
            && position < segment.len
        {
            return Ok(Some(segment.place(segment.file()?, position)));
        }
        for segment in &self.segments[self.segment_for(offset)..] {
            if let Some(place) = segment.find_offset(offset)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The first batch that reaches `timestamp` and does not end before `from`.
    fn place_of_time(&self, timestamp: i64, from: i64) -> io::Result<Option<Place>> {
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.next_offset > from)
        {
            if segment.newest_timestamp >= timestamp
                && let Some(place) = segment.find_time(timestamp, from)?
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Notes where the fetch after `place` starts, unless the segment was replaced meanwhile.
    fn remember(&mut self, next_offset: i64, place: &Place, read: u64) {
        let found = self
            .segments
            .iter()
            .rev()
            .find(|s| s.base_offset == place.segment);
        if found.is_some_and(|segment| segment.version == place.version) {
            self.hints
                .put(next_offset, place.segment, place.position + read);
        }
    }

    /// The newest timestamp behind the batch that holds the start, which may hold deleted records, and
    /// the place of that batch.
    fn newest_behind_start(&self) -> io::Result<(i64, Option<Place>)> {
        let from = self.start_offset;
        let Some(place) = self.place_of(from)? else {
            return Ok((-1, None));
        };
        let mut newest = -1;
        for segment in self.segments.iter().filter(|s| s.next_offset > from) {
            if segment.base_offset >= from {
                newest = newest.max(segment.newest_timestamp);
                continue;
            }
            segment.find_offset_where(from, |header| {
                if header.base_offset > from {
                    newest = newest.max(header.max_timestamp);
                }
                false
            })?;
        }
        Ok((newest, Some(place)))
    }
}

/// Reads whole batches from `place`, at most `max_bytes` of them, but the first one in any case if
/// `at_least_one`.
pub(crate) fn read(
    log: &Mutex<Log>,
    place: &Place,
    max_bytes: usize,
    at_least_one: bool,
) -> io::Result<Bytes> {
    let len = max_bytes.min(place.available as usize);
    let mut bytes = vec![0; len];
    place.file.read_exact_at(&mut bytes, place.position)?;
    let mut end = whole(&bytes);
    if end.is_none() && at_least_one {
        bytes = first_batch(place)?;
        end = whole(&bytes);
    }
    let Some((whole, next_offset)) = end else {
        return Ok(Bytes::new());
    };
    log.lock().remember(next_offset, place, whole as u64);
    bytes.truncate(whole);
    Ok(Bytes::from(bytes))
}

/// Where the last whole batch ends, and the offset after it.
fn whole(bytes: &[u8]) -> Option<(usize, i64)> {
    walk(bytes)
        .last()
        .map(|(at, header)| (at + header.len, header.next_offset()))
}

/// Reads the one batch at `place`.
fn first_batch(place: &Place) -> io::Result<Vec<u8>> {
    let mut fixed = [0; HEADER_LEN];
    place.file.read_exact_at(&mut fixed, place.position)?;
    let header = Header::parse(&fixed)
        .filter(|header| header.len as u64 <= place.available)
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "no whole batch at this place")
        })?;
    let mut bytes = vec![0; header.len];
    place.file.read_exact_at(&mut bytes, place.position)?;
    Ok(bytes)
}

/// A record's offset and timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// The first record whose timestamp is at least `timestamp`; none if there is none.
pub(crate) fn find_time(log: &Mutex<Log>, timestamp: i64) -> Result<Option<Stamp>, Refusal> {
    let start_offset = log.lock().start_offset;
    let mut from = start_offset;
    loop {
        let place = storage(log.lock().place_of_time(timestamp, from))?;
        let Some(place) = place else { return Ok(None) };
        let mut found = None;
        from = each_stamp(&place, |stamp| {
            if found.is_none() && stamp.timestamp >= timestamp && stamp.offset >= start_offset {
                found = Some(stamp);
            }
        })?;
        if found.is_some() {
            return Ok(found);
        }
        // The records for which the batch was found are deleted: a later batch may hold others.
    }
}

/// Looks at each record of the batch at `place`. Returns the offset after the batch.
fn each_stamp(place: &Place, mut see: impl FnMut(Stamp)) -> Result<i64, Refusal> {
    let batch = Bytes::from(storage(first_batch(place))?);
    let header = Header::parse(&batch).expect("a whole batch has a header");
    let unreadable = |_| Refusal::from(ResponseError::CorruptMessage);
    let payload = records::payload(&batch, &header, LOOKUP_LIMIT).map_err(unreadable)?;
    for record in records::walk(&payload, &header) {
        let Record {
            offset, timestamp, ..
        } = record.map_err(unreadable)?;
        see(Stamp { offset, timestamp });
    }
    Ok(header.next_offset())
}

/// The first record that has the newest timestamp of all; none in an empty log.
pub(crate) fn find_newest(log: &Mutex<Log>) -> Result<Option<Stamp>, Refusal> {
    let (start_offset, found) = {
        let log = log.lock();
        (log.start_offset, log.newest_behind_start())
    };
    let (mut newest, first) = storage(found)?;
    let Some(first) = first else { return Ok(None) };
    each_stamp(&first, |stamp| {
        if stamp.offset >= start_offset {
            newest = newest.max(stamp.timestamp);
        }
    })?;
    find_time(log, newest)
}

/// Reads everything from `offset` on, batch by batch, for the broker's own logs.
pub(crate) fn scan(
    log: &Arc<Mutex<Log>>,
    mut each: impl FnMut(&Header, &Bytes),
) -> Result<(), Refusal> {
    let mut offset = log.lock().start_offset();
    loop {
        let view = log.lock().view(offset)?;
        let Some(place) = view.place else {
            return Ok(());
        };
        let bytes = storage(read(log, &place, 1 << 20, true))?;
        for (at, header) in walk(&bytes) {
            each(&header, &bytes.slice(at..at + header.len));
            offset = header.next_offset();
        }
    }
}

//! Dropping what is too old or too much.
//!
//! Age counts from when the broker took a record, not from the record's own timestamp: a producer
//! with a wrong clock, or one that sends history, neither loses its records early nor keeps them
//! for ever. It does not run while the broker is down: nobody could read meanwhile.

use std::io;

use crate::log::Log;
use crate::outages::Outages;

impl Log {
    /// Closes the active segment when it is old, then drops the segments that need not be kept.
    /// Returns how many bytes went.
    pub(crate) fn retain(&mut self, now_ms: i64, outages: &Outages) -> io::Result<u64> {
        if self.deleted {
            return Ok(0);
        }
        let active = self.active();
        let segment_age = now_ms - active.first_append_ms;
        let last_age = outages.age_ms(active.last_append_ms, now_ms);
        let is_old = segment_age >= self.config.segment_ms || self.is_expired(last_age);
        // On a full disk no segment can be made, and old ones must go all the more.
        let rolled = if is_old { self.roll(now_ms) } else { Ok(()) };
        let mut freed = 0;
        while self.segments.len() > 1 && self.is_first_droppable(now_ms, outages) {
            self.segments[0].remove()?;
            freed += self.segments.remove(0).len;
            self.start_offset = self.start_offset.max(self.segments[0].base_offset);
        }
        rolled.map(|()| freed)
    }

    fn is_expired(&self, age_ms: i64) -> bool {
        self.config.delete && self.config.retention_ms >= 0 && age_ms >= self.config.retention_ms
    }

    fn is_first_droppable(&self, now_ms: i64, outages: &Outages) -> bool {
        let first = &self.segments[0];
        // A hole that recovery left between two segments is no reason to keep the first.
        let wholly_deleted = self.start_offset >= first.next_offset;
        let bytes_after = (self.len() - first.len) as i64;
        let too_much = self.config.delete
            && self.config.retention_bytes >= 0
            && bytes_after >= self.config.retention_bytes;
        let age_ms = outages.age_ms(first.last_append_ms, now_ms);
        wholly_deleted || too_much || self.is_expired(age_ms)
    }
}

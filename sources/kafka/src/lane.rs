//! One partition being read: where it stands and what was taken since the last chunk.

use std::sync::Arc;
use std::time::Instant;

use tidegauge_decode::{Decoded, Decoder, Record};
use tidegauge_model::{
    Chunk, HOUR_MS, Limits, NextOffset, Partition, PartitionCut, REJECT_BYTES, RecordMark, Reject,
    RejectReason,
};

use crate::headers::Headers;
use crate::native::Message;
use crate::settings::Settings;
use crate::shared::Blocked;
use crate::topics::TopicRule;
use crate::verdict::{Comparison, Doubt, compare};

/// For how many samples a lane that had some makes room ahead.
const ROOM: usize = 8192;

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reading from the last record read on, to see whether it is still the same.
    Verifying,
    /// Taking records.
    Reading,
    /// Stopped at a doubt; the watcher has been or is to be asked what the partition holds.
    Doubting(Doubt),
    /// Withdrawn: its topic is gone. It comes back if the topic does.
    Gone,
}

/// One partition.
pub(crate) struct Lane {
    pub(crate) partition: Partition,
    pub(crate) rule: Arc<TopicRule>,
    pub(crate) phase: Phase,
    /// Whether the client reads it.
    pub(crate) started: bool,
    /// Whether a question about a doubt is unanswered.
    pub(crate) asking: bool,
    /// Held back by the handle.
    pub(crate) paused: bool,
    /// What to read next; unknown until a first record or the end is seen.
    pub(crate) next: Option<i64>,
    /// Where it begins while that is unknown, once it has been started.
    pub(crate) first: Option<i64>,
    /// The last record taken.
    pub(crate) mark: Option<RecordMark>,
    /// The end, as last answered.
    pub(crate) end: Option<i64>,
    /// When it last brought a sample that tells how far event time has come, or was started.
    pub(crate) heard_at: Instant,
    /// When it last brought one that is not stale, or was started.
    pub(crate) fresh_at: Instant,
    /// When its end was last asked for.
    pub(crate) asked_at: Option<Instant>,
    /// Since when its end is known to lie ahead with nothing coming.
    pub(crate) behind_since: Option<Instant>,
    /// Why it can't be read, as reported; none once it has brought something again.
    pub(crate) blocked: Option<Blocked>,
    /// Since when a broker says that it isn't there.
    pub(crate) missing_since: Option<Instant>,
    /// Whether there is something for a chunk.
    pub(crate) touched: bool,
    decoder: Decoder,
    decoded: Decoded,
    /// The last record of the batch in hand, whose mark is not yet made.
    last: Option<usize>,
    /// Whether `mark` is newer than the last chunk.
    marked: bool,
    limits: Limits,
    remembered_ms: i64,
}

/// What taking one record cost and brought.
pub(crate) struct Taken {
    pub(crate) samples: usize,
    pub(crate) bytes: usize,
    /// What rejects of it hold.
    pub(crate) refused_bytes: usize,
    pub(crate) tombstone: bool,
}

impl Lane {
    pub(crate) fn new(
        partition: Partition,
        rule: Arc<TopicRule>,
        settings: &Settings,
        cut: Option<PartitionCut>,
        now: Instant,
    ) -> Self {
        let Settings {
            limits,
            remembered_ms,
            ..
        } = settings;
        let decoder = decoder(&partition, &rule, limits, *remembered_ms);
        let mark = cut.as_ref().and_then(|cut| cut.mark);
        Self {
            partition,
            rule,
            phase: if mark.is_some() {
                Phase::Verifying
            } else {
                Phase::Reading
            },
            started: false,
            asking: false,
            paused: false,
            next: cut.map(|cut| cut.next.0),
            first: None,
            mark,
            end: None,
            heard_at: now,
            fresh_at: now,
            asked_at: None,
            behind_since: None,
            blocked: None,
            missing_since: None,
            touched: false,
            decoder,
            decoded: Decoded::default(),
            last: None,
            marked: false,
            limits: limits.clone(),
            remembered_ms: *remembered_ms,
        }
    }

    /// Looks at a record while verifying: whether it may be taken, is to be passed over, or shows
    /// that the partition is another.
    pub(crate) fn verify(&mut self, message: &Message<'_>) -> Verified {
        let (Some(mark), Some(next)) = (self.mark, self.next) else {
            self.phase = Phase::Reading;
            return Verified::Take;
        };
        match compare(&mark, NextOffset(next), || message.mark(), message.offset()) {
            Comparison::Before => Verified::Pass,
            Comparison::Same => {
                self.phase = Phase::Reading;
                Verified::Pass
            }
            Comparison::Missing => {
                self.phase = Phase::Reading;
                Verified::TakeUnverified
            }
            Comparison::Other(found) => Verified::Doubt(Doubt::OtherRecord {
                expected: mark,
                found,
            }),
        }
    }

    /// Takes a record: the `index`th of the batch in hand.
    pub(crate) fn take(&mut self, message: &Message<'_>, index: usize, received_at: i64) -> Taken {
        let before = (self.decoded.samples.len(), self.decoded.rejects.len());
        let value = message.value().unwrap_or_default();
        if !value.is_empty() {
            self.decode(message, value, received_at);
        }
        self.next = Some(message.offset() + 1);
        self.last = Some(index);
        self.touched = true;
        self.blocked = None;
        self.behind_since = None;
        let refused = &self.decoded.rejects[before.1..];
        Taken {
            samples: self.decoded.samples.len() - before.0,
            bytes: value.len(),
            refused_bytes: refused.iter().map(Reject::held_bytes).sum(),
            tombstone: value.is_empty(),
        }
    }

    fn decode(&mut self, message: &Message<'_>, value: &[u8], received_at: i64) {
        let headers = Headers::of(message.headers());
        let tenant = match headers.tenant.map(str::from_utf8) {
            None => &*self.rule.tenant,
            Some(Ok(tenant)) if !tenant.is_empty() => tenant,
            Some(named) => {
                let what = named.map_or("not UTF-8", |_| "empty");
                return self.refuse_tenant(message, value, received_at, what);
            }
        };
        // An absent or non-text header leaves it to the topic.
        let text = |bytes: Option<_>| {
            bytes
                .and_then(|bytes| str::from_utf8(bytes).ok())
                .filter(|text| !text.is_empty())
        };
        let record = Record {
            tenant,
            content_type: text(headers.content_type),
            content_encoding: text(headers.content_encoding),
            delta: headers.temporality == Some(b"delta"),
            timestamp: message.timestamp(),
            received_at,
            offset: message.offset(),
            value,
        };
        self.decoder.decode(&record, &mut self.decoded);
    }

    /// Rejects a record whose header names no tenant. The reject is the topic's tenant's: someone
    /// must see it.
    fn refuse_tenant(&mut self, message: &Message<'_>, value: &[u8], received_at: i64, what: &str) {
        // A stamp that no clock shows yet is not to be believed.
        let own_time = Some(message.timestamp()).filter(|time| (0..=received_at).contains(time));
        self.reject(Reject {
            tenant: self.rule.tenant.as_str().into(),
            partition: self.partition.clone(),
            offset: message.offset(),
            time: own_time.unwrap_or(received_at),
            reason: RejectReason::BadTenant,
            detail: format!("the header `tenant` is {what}"),
            bytes: value[..value.len().min(REJECT_BYTES)].to_vec(),
        });
    }

    /// Notes what kind of samples the chunk in the making holds, polled at `polled_at` on the wall clock:
    /// rejects and samples that lie ahead of it tell nothing of how far event time has come, and those
    /// more than `stale_ms` behind it may be of a clock that is wrong.
    pub(crate) fn hear(&mut self, now: Instant, polled_at: i64, stale_ms: i64) {
        let times = &self.decoded.samples.time;
        if times.iter().any(|&time| time <= polled_at) {
            self.heard_at = now;
        }
        let fresh = polled_at.saturating_sub(stale_ms)..=polled_at;
        if times.iter().any(|time| fresh.contains(time)) {
            self.fresh_at = now;
        }
    }

    /// The end was reached at `offset`; transaction markers and compacted records may lie between
    /// the last record and it.
    pub(crate) fn reached(&mut self, offset: i64) {
        if self.next.is_none_or(|next| next < offset) {
            self.next = Some(offset);
        }
    }

    /// Makes the mark of the last record of the batch in hand; must come before the batch goes.
    pub(crate) fn settle<'b>(&mut self, message: impl FnOnce(usize) -> Message<'b>) {
        if let Some(index) = self.last.take() {
            self.mark = Some(message(index).mark());
            self.marked = true;
        }
    }

    /// Adds a reject that no decoder has made.
    pub(crate) fn reject(&mut self, reject: Reject) {
        self.decoded.rejects.push(reject);
        self.decoded.reject_items.push(None);
        self.touched = true;
    }

    /// What was taken, as a chunk, and what decoding passed over; nothing is left behind. None
    /// while it is not known what to read next.
    pub(crate) fn chunk(&mut self, polled_at: i64, proven_end_at: Option<i64>) -> Option<Handed> {
        let next = NextOffset(self.next?);
        let clock = self.decoder.advance(polled_at);
        debug_assert!(
            self.last.is_none(),
            "{}: marks are settled before chunks",
            self.partition
        );
        self.touched = false;
        let room = self.decoded.samples.len().min(ROOM);
        let taken = std::mem::take(&mut self.decoded);
        self.decoded.samples.series.reserve(room);
        self.decoded.samples.time.reserve(room);
        self.decoded.samples.value.reserve(room);
        let chunk = Chunk {
            partition: self.partition.clone(),
            next,
            mark: self.mark.filter(|_| std::mem::take(&mut self.marked)),
            polled_at,
            clock,
            samples: taken.samples,
            definitions: taken.definitions,
            rejects: taken.rejects,
            proven_end_at,
        };
        Some(Handed {
            chunk,
            skipped: taken.skipped,
        })
    }

    /// Says anew which series its numbers stand for: whoever heard it before may have forgotten.
    pub(crate) fn redefine(&mut self) {
        self.decoder = decoder(
            &self.partition,
            &self.rule,
            &self.limits,
            self.remembered_ms,
        );
        self.decoded = Decoded::default();
    }

    /// Forgets what was read: the partition is another one now and begins at `first`.
    pub(crate) fn renew(&mut self, first: i64) {
        self.redefine();
        (self.mark, self.marked, self.last) = (None, false, None);
        self.next = Some(first);
        self.end = None;
        self.phase = Phase::Reading;
    }
}

/// A chunk on its way out.
pub(crate) struct Handed {
    pub(crate) chunk: Chunk,
    pub(crate) skipped: tidegauge_decode::Skipped,
}

/// What [`Lane::verify`] says.
pub(crate) enum Verified {
    /// The record was read before.
    Pass,
    /// The record is new.
    Take,
    /// The record is new; the one before it could not be compared.
    TakeUnverified,
    /// The partition looks like another.
    Doubt(Doubt),
}

fn decoder(
    partition: &Partition,
    rule: &TopicRule,
    limits: &Limits,
    remembered_ms: i64,
) -> Decoder {
    let decoder = Decoder::new(
        partition.clone(),
        rule.format,
        limits.clone(),
        rule.relabel.clone(),
    );
    decoder.forget_after_ms(remembered_ms.min(HOUR_MS))
}

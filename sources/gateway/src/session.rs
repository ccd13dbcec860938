//! A decoder together with what it has told us of its series, kept between requests.

use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel, Skipped};
use tidegauge_model::{Limits, Partition};

use crate::cut::{Known, Outgoing, cut};

/// Readers that start anew have to learn what metrics mean, so it is said again this often.
const DESCRIBE_EVERY_MS: i64 = 600_000;

/// Of its series numbers, most may be of series that the decoder has forgotten; then a new session
/// is cheaper.
const NUMBERS_PER_SERIES: usize = 4;
const NUMBERS_FREE: usize = 10_000;

/// A body decoded and cut.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Outgoing>,
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) errors: Vec<ItemError>,
    pub(crate) skipped: Skipped,
    /// Nothing in the body was of the format at all.
    pub(crate) unreadable: bool,
}

/// What was wrong with one item of a body, or with all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// Which item, from 0; none if the fault is the whole body's.
    pub index: Option<usize>,
    /// What was wrong.
    pub error: String,
    /// Whether the body was longer than allowed after decompression.
    pub(crate) too_large: bool,
}

/// How samples are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) partitions: u32,
    pub(crate) record_bytes: usize,
}

pub(crate) struct Session {
    decoder: Decoder,
    known: Vec<Known>,
    /// When all metadata was last sent, and in which round of the producer.
    described_at: i64,
    described_in: u64,
}

impl Session {
    pub(crate) fn new(format: Format, limits: Limits) -> Self {
        // Only rejects carry the partition, and theirs go back to the sender.
        let nowhere = Partition {
            topic: "http".into(),
            index: 0,
        };
        Self {
            decoder: Decoder::new(nowhere, format, limits, Relabel::default()),
            known: Vec::new(),
            described_at: i64::MIN,
            described_in: 0,
        }
    }

    /// Decodes and cuts a body. `round` counts failed deliveries: what was said before one may not
    /// have arrived.
    pub(crate) fn take(&mut self, record: &Record<'_>, shape: Shape, round: u64) -> Batch {
        let mut decoded = Decoded::default();
        self.decoder.decode(record, &mut decoded);
        let now = record.received_at;
        if round != self.described_in || now.saturating_sub(self.described_at) >= DESCRIBE_EVERY_MS
        {
            self.described_at = now;
            self.described_in = round;
            self.known
                .iter_mut()
                .for_each(|known| known.describe = true);
        }
        self.learn(&mut decoded);
        let records = cut(
            &decoded.samples,
            &self.known,
            shape.partitions,
            shape.record_bytes,
        );
        for &local in &decoded.samples.series {
            self.known[local as usize].describe = false;
        }
        batch(records, decoded)
    }

    pub(crate) fn series(&self) -> usize {
        self.decoder.series()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.decoder.heap_bytes() + self.known.capacity() * size_of::<Known>()
    }

    /// Whether it holds more garbage than knowledge.
    pub(crate) fn is_spent(&self) -> bool {
        self.known.len() > NUMBERS_FREE + NUMBERS_PER_SERIES * self.decoder.series()
    }

    fn learn(&mut self, decoded: &mut Decoded) {
        for definition in decoded.definitions.drain(..) {
            let known = Known {
                series: definition.series,
                metadata: definition.metadata,
                delta: definition.delta,
                describe: true,
            };
            let at = definition.local as usize;
            match self.known.get_mut(at) {
                Some(old) => *old = known,
                None => {
                    assert_eq!(at, self.known.len(), "a decoder's series numbers are dense");
                    self.known.push(known);
                }
            }
        }
    }
}

fn batch(records: Vec<Outgoing>, decoded: Decoded) -> Batch {
    use tidegauge_model::RejectReason::{Malformed, TooLarge, UnknownFormat};
    let accepted = decoded.samples.len();
    let folded = decoded.skipped.folded_rejects as usize;
    // The last reject stands for those that are folded.
    let rejected = decoded.rejects.len() + folded.saturating_sub(1);
    let nothing_else = decoded.skipped.string_fields + decoded.skipped.relabel_drops == 0;
    let unreadable = accepted == 0
        && rejected > 0
        && nothing_else
        && decoded
            .rejects
            .iter()
            .all(|r| matches!(r.reason, Malformed | TooLarge | UnknownFormat));
    let errors = decoded
        .rejects
        .into_iter()
        .zip(decoded.reject_items)
        .map(|(reject, index)| ItemError {
            index,
            error: reject.detail,
            too_large: reject.reason == TooLarge,
        });
    Batch {
        records,
        accepted,
        rejected,
        errors: errors.collect(),
        skipped: decoded.skipped,
        unreadable,
    }
}

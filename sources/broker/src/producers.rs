//! Idempotent producers of one partition: which sequence each has reached.
//!
//! A batch sent twice is answered with the offset it got the first time; a batch that skips ahead
//! is refused. The rules and the memory of five batches are Apache Kafka's.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::error::ResponseError;

use crate::batch::Header;
use crate::error::Refusal;

/// How many batches back a repetition is still recognised: clients keep at most five in flight.
const REMEMBERED: usize = 5;

/// One batch a producer has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    last_seen_ms: i64,
    written: VecDeque<Written>,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New: append it.
    Append,
    /// Appended before, at this offset.
    Duplicate(i64),
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

/// Sequences go from 0 to `i32::MAX` and then start over.
fn after(sequence: i32, steps: i32) -> i32 {
    ((i64::from(sequence) + i64::from(steps)) % (i64::from(i32::MAX) + 1)) as i32
}

impl Producers {
    /// Decides about a batch without changing anything.
    pub(crate) fn judge(&self, batch: &Header) -> Result<Verdict, Refusal> {
        if batch.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            return Ok(Verdict::Append);
        };
        if batch.producer_epoch < producer.epoch {
            return Err(Refusal::new(
                ResponseError::InvalidProducerEpoch,
                format!(
                    "epoch {} is older than {}",
                    batch.producer_epoch, producer.epoch
                ),
            ));
        }
        let last_sequence = after(batch.base_sequence, batch.last_offset_delta);
        if batch.producer_epoch > producer.epoch {
            return match batch.base_sequence {
                0 => Ok(Verdict::Append),
                first => Err(out_of_order(first, 0)),
            };
        }
        let repeated = producer.written.iter().find(|written| {
            written.first_sequence == batch.base_sequence && written.last_sequence == last_sequence
        });
        if let Some(written) = repeated {
            return Ok(Verdict::Duplicate(written.base_offset));
        }
        let expected = producer
            .written
            .back()
            .map_or(0, |written| after(written.last_sequence, 1));
        if batch.base_sequence != expected {
            return Err(out_of_order(batch.base_sequence, expected));
        }
        Ok(Verdict::Append)
    }

    /// Remembers a batch that has been written at `base_offset`.
    pub(crate) fn note(&mut self, batch: &Header, base_offset: i64, now_ms: i64) {
        if batch.producer_id < 0 {
            return;
        }
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                epoch: batch.producer_epoch,
                last_seen_ms: now_ms,
                written: VecDeque::with_capacity(REMEMBERED),
            });
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.written.clear();
        }
        producer.last_seen_ms = now_ms;
        if producer.written.len() == REMEMBERED {
            producer.written.pop_front();
        }
        producer.written.push_back(Written {
            first_sequence: batch.base_sequence,
            last_sequence: after(batch.base_sequence, batch.last_offset_delta),
            base_offset,
        });
    }

    /// Forgets producers not heard of since `since_ms`.
    pub(crate) fn expire(&mut self, since_ms: i64) {
        self.by_id
            .retain(|_, producer| producer.last_seen_ms >= since_ms);
    }

    /// The state as bytes, for a checkpoint.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.by_id.len() * 100);
        out.extend_from_slice(&(self.by_id.len() as u32).to_be_bytes());
        for (id, producer) in &self.by_id {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&producer.epoch.to_be_bytes());
            out.extend_from_slice(&producer.last_seen_ms.to_be_bytes());
            out.push(producer.written.len() as u8);
            for written in &producer.written {
                out.extend_from_slice(&written.first_sequence.to_be_bytes());
                out.extend_from_slice(&written.last_sequence.to_be_bytes());
                out.extend_from_slice(&written.base_offset.to_be_bytes());
            }
        }
        out
    }

    /// The state that `encode` wrote; none if the bytes are not that.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Producers> {
        fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
            let (found, rest) = bytes.split_first_chunk::<N>()?;
            *bytes = rest;
            Some(*found)
        }
        let from = &mut bytes;
        let count = u32::from_be_bytes(take(from)?);
        let mut by_id = HashMap::new();
        for _ in 0..count {
            let id = i64::from_be_bytes(take(from)?);
            let epoch = i16::from_be_bytes(take(from)?);
            let last_seen_ms = i64::from_be_bytes(take(from)?);
            let [batches] = take::<1>(from)?;
            let mut written = VecDeque::with_capacity(REMEMBERED);
            for _ in 0..batches {
                written.push_back(Written {
                    first_sequence: i32::from_be_bytes(take(from)?),
                    last_sequence: i32::from_be_bytes(take(from)?),
                    base_offset: i64::from_be_bytes(take(from)?),
                });
            }
            by_id.insert(
                id,
                Producer {
                    epoch,
                    last_seen_ms,
                    written,
                },
            );
        }
        bytes.is_empty().then_some(Producers { by_id })
    }
}

fn out_of_order(got: i32, expected: i32) -> Refusal {
    Refusal::new(
        ResponseError::OutOfOrderSequenceNumber,
        format!("sequence {got} where {expected} was expected"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first: i32, count: i32) -> Header {
        let bytes = crate::records::build(&vec![(&b"k"[..], None); count as usize], 0);
        let mut header = Header::parse(&bytes).unwrap();
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        ) = (9, epoch, first);
        header
    }

    #[test]
    fn repetitions_are_answered_and_gaps_refused() {
        let mut producers = Producers::default();
        for n in 0..7 {
            let next = batch(0, n * 2, 2);
            assert_eq!(producers.judge(&next).unwrap(), Verdict::Append);
            producers.note(&next, i64::from(n) * 2, 0);
        }
        assert_eq!(
            producers.judge(&batch(0, 12, 2)).unwrap(),
            Verdict::Duplicate(12)
        );
        assert_eq!(
            producers.judge(&batch(0, 4, 2)).unwrap(),
            Verdict::Duplicate(4)
        );
        let gap = producers.judge(&batch(0, 16, 1)).unwrap_err();
        assert_eq!(gap.code, ResponseError::OutOfOrderSequenceNumber);
        let forgotten = producers.judge(&batch(0, 0, 2)).unwrap_err();
        assert_eq!(forgotten.code, ResponseError::OutOfOrderSequenceNumber);
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old() {
        let mut producers = Producers::default();
        producers.note(&batch(3, 0, 4), 0, 0);
        assert!(producers.judge(&batch(4, 4, 1)).is_err());
        assert_eq!(producers.judge(&batch(4, 0, 1)).unwrap(), Verdict::Append);
        producers.note(&batch(4, 0, 1), 4, 0);
        let old = producers.judge(&batch(3, 4, 1)).unwrap_err();
        assert_eq!(old.code, ResponseError::InvalidProducerEpoch);
    }

    #[test]
    fn sequences_wrap_at_their_end() {
        let mut producers = Producers::default();
        producers.note(&batch(0, i32::MAX - 1, 3), 10, 0);
        assert_eq!(producers.judge(&batch(0, 1, 1)).unwrap(), Verdict::Append);
    }

    #[test]
    fn the_state_survives_its_encoding() {
        let mut producers = Producers::default();
        producers.note(&batch(1, 0, 3), 5, 42);
        producers.note(&batch(1, 3, 1), 8, 43);
        assert_eq!(Producers::decode(&producers.encode()), Some(producers));
        assert_eq!(Producers::decode(&[0, 0, 0, 1]), None);
    }
}

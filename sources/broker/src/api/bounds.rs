//! Refuses requests whose counts can't be true, before anything is decoded.
//!
//! The decoders of `kafka-protocol` claim memory for as many elements as a request announces. A
//! frame of twenty bytes that announces two thousand million topics would end the process. An
//! element takes at least one byte, so no true count is larger than what is left of the frame.
//!
//! Produce requests, which may be large, are walked by their schema. All others are small and are
//! decoded once for trial from a buffer that lets no such count through.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// The largest request that carries no records.
const MAX_BYTES: usize = 4 << 20;
/// The most partitions that one produce request may name.
const MAX_PRODUCED: usize = 1 << 16;
/// From this version on Produce is in the compact form.
const COMPACT_PRODUCE_FROM: i16 = 9;
/// Numbers of tagged fields lie among the counts and may be larger than what follows.
const MAX_TAG: usize = 1_000;
/// A varint of 32 bits has at most five bytes of seven.
const MAX_VARINT_BITS: u32 = 35;

/// Checks the counts in the body of a request of type `Q`, and its size.
pub(super) fn check<Q: Decodable>(api: ApiKey, version: i16, body: &Bytes) -> Result<(), String> {
    if api == ApiKey::Produce {
        let walked = Walk(body).produce(version >= COMPACT_PRODUCE_FROM);
        return walked.ok_or_else(|| "a count or length passes the request's end".to_owned());
    }
    if body.len() > MAX_BYTES {
        return Err(format!(
            "{} bytes where at most {MAX_BYTES} are taken",
            body.len()
        ));
    }
    let mut trial = Trial {
        bytes: body.clone(),
        varint: 0,
        shift: 0,
    };
    Q::decode(&mut trial, version)
        .map(drop)
        .map_err(|why| why.to_string())
}

/// What is left of a produce request.
struct Walk<'a>(&'a [u8]);

impl Walk<'_> {
    fn produce(&mut self, is_compact: bool) -> Option<()> {
        let mut partitions_left = MAX_PRODUCED;
        let transactional_id = self.string_len(is_compact)?;
        // The acknowledgements wanted and the timeout come in between.
        self.skip(transactional_id + 2 + 4)?;
        for _ in 0..self.len(is_compact)? {
            let name = self.string_len(is_compact)?;
            self.skip(name)?;
            for _ in 0..self.len(is_compact)? {
                partitions_left = partitions_left.checked_sub(1)?;
                self.skip(4)?;
                let records = self.len(is_compact)?;
                self.skip(records)?;
                self.skip_tags(is_compact)?;
            }
            partitions_left = partitions_left.checked_sub(1)?;
            self.skip_tags(is_compact)?;
        }
        self.skip_tags(is_compact)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.0 = self.0.get(len..)?;
        Some(())
    }

    /// A count of elements or bytes; 0 where there is none.
    fn len(&mut self, is_compact: bool) -> Option<usize> {
        if is_compact {
            return Some(self.varint()?.saturating_sub(1));
        }
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0))
    }

    fn string_len(&mut self, is_compact: bool) -> Option<usize> {
        if is_compact {
            return self.len(true);
        }
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(usize::try_from(i16::from_be_bytes(*len)).unwrap_or(0))
    }

    fn skip_tags(&mut self, is_compact: bool) -> Option<()> {
        let count = if is_compact { self.varint()? } else { 0 };
        for _ in 0..count {
            self.varint()?;
            let len = self.varint()?;
            self.skip(len)?;
        }
        Some(())
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0u32;
        for shift in (0..MAX_VARINT_BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value as usize);
            }
        }
        None
    }
}

/// A buffer for a trial: counts larger than what is left come out as errors.
///
/// Counts are 32-bit numbers, as are others that mean no count and may be large. All that are too
/// large for a count become −2, which the decoders refuse as a count and take as anything else. In
/// the compact form counts are varints, which nothing else is but lengths and numbers of tags.
struct Trial {
    bytes: Bytes,
    /// The varint of which bytes have been read so far.
    varint: u64,
    shift: u32,
}

impl Buf for Trial {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        (self.varint, self.shift) = (0, 0);
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        (self.varint, self.shift) = (0, 0);
        let number = self.bytes.try_get_i32()?;
        let is_too_large = usize::try_from(number).is_ok_and(|count| count > self.remaining());
        Ok(if is_too_large { -2 } else { number })
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        let (requested, available) = (self.varint as usize, self.remaining());
        // The decoders stop after five bytes, whether those end the number or not.
        let goes_on = byte & 0x80 != 0;
        if goes_on && self.shift < MAX_VARINT_BITS {
            return Ok(byte);
        }
        (self.varint, self.shift) = (0, 0);
        if goes_on || requested > MAX_TAG.max(available + 1) {
            return Err(TryGetError {
                requested,
                available,
            });
        }
        Ok(byte)
    }
}

impl ByteBuf for Trial {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        (self.varint, self.shift) = (0, 0);
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{MetadataRequest, OffsetFetchRequest, ProduceRequest};

    use super::*;

    /// The parts one after the other.
    fn body(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    fn produce(version: i16, body: &Bytes) -> Result<(), String> {
        check::<ProduceRequest>(ApiKey::Produce, version, body)
    }

    /// No transaction, all acknowledgements, a large timeout; then one topic `t` with one partition
    /// of three bytes.
    fn produced(is_compact: bool) -> Bytes {
        let timeout = [0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
        if is_compact {
            let topic = [2, 2, b't', 2, 0, 0, 0, 9, 4, 1, 2, 3, 0, 0, 0];
            return body(&[&[0], &timeout, &topic]);
        }
        let topic = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 9];
        body(&[&[0xff, 0xff], &timeout, &topic, &[0, 0, 0, 3, 1, 2, 3]])
    }

    #[test]
    fn a_true_produce_request_passes_and_a_cut_one_does_not() {
        for version in [3, 8, 9, 12] {
            let whole = produced(version >= COMPACT_PRODUCE_FROM);
            produce(version, &whole).unwrap();
            let cut = whole.slice(..whole.len() - 4);
            produce(version, &cut).unwrap_err();
        }
    }

    #[test]
    fn true_requests_pass_in_both_forms() {
        let plain = body(&[&[0, 0, 0, 2], &[0, 1, b'a'], &[0, 1, b'b'], &[1]]);
        check::<MetadataRequest>(ApiKey::Metadata, 4, &plain).unwrap();
        let compact = body(&[
            &[2, 2, b'g', 2, 2, b't', 2],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0, 0, 1, 0],
        ]);
        check::<OffsetFetchRequest>(ApiKey::OffsetFetch, 8, &compact).unwrap();
    }

    #[test]
    fn a_count_past_the_end_is_refused_in_both_forms() {
        let plain = body(&[&[0x7f, 0xff, 0xff, 0xff], &[0; 12]]);
        check::<MetadataRequest>(ApiKey::Metadata, 1, &plain).unwrap_err();
        for last in [0x0f, 0xff] {
            let compact = body(&[&[0xff, 0xff, 0xff, 0xff, last], &[0; 12]]);
            check::<MetadataRequest>(ApiKey::Metadata, 12, &compact).unwrap_err();
        }
        let start = [0xff, 0xff, 0, 1, 0, 0, 0, 9];
        produce(3, &body(&[&start, &[0x7f, 0xff, 0xff, 0xff]])).unwrap_err();
    }

    #[test]
    fn more_partitions_than_any_producer_sends_are_refused() {
        // No transaction, acknowledgements and timeout; then a count in three bytes, and nameless
        // topics without partitions.
        let topics = |count: usize| {
            let varint = [
                count as u8 | 0x80,
                (count >> 7) as u8 | 0x80,
                (count >> 14) as u8,
            ];
            let empty = [1, 1, 0].repeat(count - 1);
            body(&[&[0, 0, 1, 0, 0, 0, 9], &varint, &empty, &[0]])
        };
        produce(9, &topics(MAX_PRODUCED)).unwrap();
        produce(9, &topics(MAX_PRODUCED + 2)).unwrap_err();
    }
}

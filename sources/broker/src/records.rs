//! The records inside a batch: checked when they come, read for timestamps and compaction, written
//! for the broker's own log of committed offsets.

use bytes::Bytes;

use crate::batch::{HEADER_LEN, Header, seal};
use crate::codec::{self, CodecError};

/// One record, borrowed from its decompressed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The record as it lies in the batch, its length included.
    pub(crate) raw: &'a [u8],
}

/// The decompressed records of `batch`, which must be whole. `limit` bounds their bytes.
pub(crate) fn payload(batch: &Bytes, header: &Header, limit: usize) -> Result<Bytes, CodecError> {
    codec::decompress(header.codec(), batch.slice(HEADER_LEN..header.len), limit)
}

/// Walks the records of a decompressed payload. Ends with `Err` where the bytes make no sense.
pub(crate) fn walk<'a>(
    payload: &'a [u8],
    header: &Header,
) -> impl Iterator<Item = Result<Record<'a>, CodecError>> + use<'a> {
    let header = *header;
    let mut rest = payload;
    let mut left = header.record_count;
    std::iter::from_fn(move || {
        if left <= 0 {
            return None;
        }
        left -= 1;
        let record = take(&mut rest, &header).ok_or(CodecError::Records);
        if record.is_err() {
            left = 0;
        }
        Some(record)
    })
}

fn take<'a>(rest: &mut &'a [u8], header: &Header) -> Option<Record<'a>> {
    let whole = *rest;
    let len = usize::try_from(varint(rest)?).ok()?;
    let prefix = whole.len() - rest.len();
    if rest.len() < len {
        return None;
    }
    let (mut body, after) = rest.split_at(len);
    *rest = after;
    body = body.get(1..)?;
    let timestamp = header.base_timestamp.wrapping_add(varint(&mut body)?);
    let offset = header.base_offset.wrapping_add(varint(&mut body)?);
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    let timestamp = if header.has_log_append_time() {
        header.max_timestamp
    } else {
        timestamp
    };
    Some(Record {
        offset,
        timestamp,
        key,
        value,
        raw: &whole[..prefix + len],
    })
}

fn take_bytes<'a>(body: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = short_varint(body)?;
    if len < 0 {
        return Some(None);
    }
    let len = usize::try_from(len).ok()?;
    let (bytes, after) = body.split_at_checked(len)?;
    *body = after;
    Some(Some(bytes))
}

/// Reads a decompressed payload as the strictest consumer does, for what it can't read it can't get
/// past either: as many records as the header says, numbered from 0, whole and with nothing behind.
/// Returns how many have no key.
pub(crate) fn check(payload: &[u8], header: &Header) -> Result<usize, CodecError> {
    let mut rest = payload;
    let mut keyless = 0;
    for index in 0..header.record_count {
        let has_key = check_one(&mut rest, index).ok_or(CodecError::Records)?;
        keyless += usize::from(!has_key);
    }
    if rest.is_empty() {
        Ok(keyless)
    } else {
        Err(CodecError::Records)
    }
}

fn check_one(rest: &mut &[u8], index: i32) -> Option<bool> {
    let len = usize::try_from(short_varint(rest)?).ok()?;
    let (mut body, after) = rest.split_at_checked(len)?;
    *rest = after;
    body = body.get(1..)?;
    varint(&mut body)?;
    if short_varint(&mut body)? != i64::from(index) {
        return None;
    }
    let key = take_bytes(&mut body)?;
    take_bytes(&mut body)?;
    let headers = u32::try_from(short_varint(&mut body)?).ok()?;
    for _ in 0..headers {
        let _name = take_bytes(&mut body)??;
        take_bytes(&mut body)?;
    }
    body.is_empty().then_some(key.is_some())
}

/// A zigzag varint, as the format has it for every number inside a record.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    varint_of(64, bytes)
}

/// One of 32 bits, as all are but times. Clients refuse longer ones, whatever they come to.
fn short_varint(bytes: &mut &[u8]) -> Option<i64> {
    varint_of(32, bytes)
}

#[inline]
fn varint_of(bits: usize, bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..bits).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// Builds an uncompressed batch of the broker's own records, all with one timestamp.
pub(crate) fn build(records: &[(&[u8], Option<&[u8]>)], timestamp: i64) -> Bytes {
    let count = i32::try_from(records.len()).expect("few records");
    let mut out = vec![0u8; HEADER_LEN];
    out[16] = 2;
    out[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    out[27..35].copy_from_slice(&timestamp.to_be_bytes());
    out[35..43].copy_from_slice(&timestamp.to_be_bytes());
    out[43..51].copy_from_slice(&(-1i64).to_be_bytes());
    out[51..53].copy_from_slice(&(-1i16).to_be_bytes());
    out[53..57].copy_from_slice(&(-1i32).to_be_bytes());
    out[57..61].copy_from_slice(&count.to_be_bytes());
    for (delta, (key, value)) in records.iter().enumerate() {
        let mut body = vec![0];
        put_varint(&mut body, 0);
        put_varint(&mut body, delta as i64);
        put_varint(&mut body, key.len() as i64);
        body.extend_from_slice(key);
        put_varint(&mut body, value.map_or(-1, |v| v.len() as i64));
        body.extend_from_slice(value.unwrap_or_default());
        put_varint(&mut body, 0);
        put_varint(&mut out, body.len() as i64);
        out.extend_from_slice(&body);
    }
    seal(&mut out);
    Bytes::from(out)
}

/// Builds the batch that keeps only `kept` of `batch`'s records, raw as they were, with the same
/// offsets, times, producer fields and codec.
pub(crate) fn rebuild(
    batch: &[u8],
    header: &Header,
    kept: &[Record<'_>],
) -> Result<Vec<u8>, CodecError> {
    let payload: Vec<u8> = kept.iter().flat_map(|record| record.raw).copied().collect();
    let mut out = batch[..HEADER_LEN].to_vec();
    let count = i32::try_from(kept.len()).expect("not more than before");
    out[57..61].copy_from_slice(&count.to_be_bytes());
    if !header.has_log_append_time() {
        let newest = kept
            .iter()
            .map(|record| record.timestamp)
            .max()
            .unwrap_or(-1);
        out[35..43].copy_from_slice(&newest.to_be_bytes());
    }
    codec::compress(header.codec(), &payload, &mut out)?;
    seal(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        let batch = build(&[(b"a", Some(b"1")), (b"b", None), (b"", Some(b""))], 77);
        let header = Header::parse(&batch).unwrap();
        assert!(crate::batch::crc_fits(&batch, &header));
        let payload = payload(&batch, &header, 1 << 20).unwrap();
        let records: Vec<_> = walk(&payload, &header).map(Result::unwrap).collect();
        let pairs: Vec<_> = records.iter().map(|r| (r.offset, r.key, r.value)).collect();
        assert_eq!(
            pairs,
            [
                (0, Some(&b"a"[..]), Some(&b"1"[..])),
                (1, Some(b"b"), None),
                (2, Some(b""), Some(b""))
            ]
        );
        assert!(records.iter().all(|r| r.timestamp == 77));
    }

    #[test]
    fn a_rebuilt_batch_keeps_offsets_under_every_codec() {
        let plain = build(
            &[(b"a", Some(b"1")), (b"b", Some(b"2")), (b"c", Some(b"3"))],
            5,
        );
        let header = Header::parse(&plain).unwrap();
        let payload_bytes = payload(&plain, &header, 1 << 20).unwrap();
        let records: Vec<_> = walk(&payload_bytes, &header).map(Result::unwrap).collect();
        for codec in 0..=4i16 {
            let mut bytes = plain.to_vec();
            bytes[21..23].copy_from_slice(&codec.to_be_bytes());
            let header = Header::parse(&bytes).unwrap();
            let rebuilt = Bytes::from(rebuild(&bytes, &header, &records[1..]).unwrap());
            let header = Header::parse(&rebuilt).unwrap();
            assert!(crate::batch::crc_fits(&rebuilt, &header), "codec {codec}");
            let payload = payload(&rebuilt, &header, 1 << 20).unwrap();
            let offsets: Vec<_> = walk(&payload, &header).map(|r| r.unwrap().offset).collect();
            assert_eq!(
                (offsets, header.next_offset()),
                (vec![1, 2], 3),
                "codec {codec}"
            );
        }
    }

    #[test]
    fn only_what_every_client_reads_is_sound() {
        let batch = build(&[(b"a", Some(b"1")), (b"b", None)], 5);
        let header = Header::parse(&batch).unwrap();
        let good = payload(&batch, &header, 1 << 20).unwrap();
        let check_changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.to_vec();
            change(&mut bytes);
            check(&bytes, &header)
        };
        assert_eq!(check_changed(&|_| {}).unwrap(), 0);
        // Length, attributes, time, offset, key, value, headers; each but the key of one byte.
        let first = [16, 0, 0, 0, 2, b'a', 2, b'1', 0];
        assert_eq!(good[..9], first);
        let keyless = check_changed(&|bytes| {
            bytes.splice(..9, [14, 0, 0, 0, 1, 2, b'1', 0]);
        });
        assert_eq!(keyless.unwrap(), 1);
        let headers = check_changed(&|bytes| {
            bytes.splice(..9, [22, 0, 0, 0, 2, b'a', 2, b'1', 2, 2, b'h', 1]);
        });
        assert_eq!(headers.unwrap(), 0);
        let faults: [fn(&mut Vec<u8>); 10] = [
            |bytes| bytes.push(0),
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes.truncate(9),
            |bytes| bytes[0] = 15,
            |bytes| bytes[0] = 14,
            |bytes| bytes[3] = 2,
            |bytes| bytes[4] = 40,
            |bytes| bytes[8] = 2,
            |bytes| bytes[8] = 1,
            // The same offset, written too long.
            |bytes| {
                bytes[0] = 26;
                bytes.splice(3..4, [0x80, 0x80, 0x80, 0x80, 0x80, 0]);
            },
        ];
        for (number, fault) in faults.into_iter().enumerate() {
            assert!(check_changed(&fault).is_err(), "fault {number}");
        }
    }

    #[test]
    fn nonsense_ends_the_walk_with_an_error() {
        let header = Header::parse(&build(&[(b"a", None)], 0)).unwrap();
        assert!(walk(&[0x08, 0, 0], &header).last().unwrap().is_err());
    }
}

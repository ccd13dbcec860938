//! A record batch (magic 2) as it lies on the wire and in the log.
//!
//! The broker stores batches as they come: it checks them, and writes only the base offset and
//! leader epoch, which the CRC does not cover.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::error::Refusal;

/// Bytes of the fixed part of a batch.
pub(crate) const HEADER_LEN: usize = 61;
/// Bytes that the length field does not count: base offset and the length itself.
pub(crate) const LENGTH_PREFIX: usize = 12;
/// Where the part that the CRC covers begins.
pub(crate) const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// The fixed part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// The whole batch in bytes, its length prefix included.
    pub(crate) len: usize,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

impl Header {
    /// Reads the header at the start of `bytes`; none if it is cut short or its length can't be.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        if bytes.len() < HEADER_LEN {
            return None;
        }
        let len = i32::from_be_bytes(array(bytes, 8));
        let len = usize::try_from(len).ok()? + LENGTH_PREFIX;
        if len < HEADER_LEN {
            return None;
        }
        Some(Header {
            base_offset: i64::from_be_bytes(array(bytes, 0)),
            len,
            magic: bytes[16] as i8,
            crc: u32::from_be_bytes(array(bytes, 17)),
            attributes: i16::from_be_bytes(array(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            record_count: i32::from_be_bytes(array(bytes, 57)),
        })
    }

    /// The offset after the batch's last record.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    pub(crate) fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    pub(crate) fn has_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }
}

/// Does the CRC in the header fit the bytes of this whole batch?
pub(crate) fn crc_fits(batch: &[u8], header: &Header) -> bool {
    crc32c::crc32c(&batch[CRC_FROM..header.len]) == header.crc
}

/// One whole, checked batch from a producer.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) header: Header,
    pub(crate) bytes: Bytes,
}

impl Batch {
    /// Checks what a producer sent for one partition: exactly one sound batch of magic 2.
    pub(crate) fn from_producer(records: Bytes, max_bytes: u32) -> Result<Batch, Refusal> {
        let invalid = |why: &str| Refusal::new(ResponseError::InvalidRecord, why);
        let corrupt = |why: &str| Refusal::new(ResponseError::CorruptMessage, why);
        if records.len() > 16 && records[16] < 2 {
            return Err(invalid(
                "message sets of magic 0 and 1 are not taken; send record batches (magic 2)",
            ));
        }
        let header =
            Header::parse(&records).ok_or_else(|| corrupt("the record batch is cut short"))?;
        if header.magic != 2 {
            return Err(invalid("the record batch has an unknown magic"));
        }
        if header.len > records.len() {
            return Err(corrupt("the record batch is cut short"));
        }
        if header.len < records.len() {
            return Err(invalid("send one record batch per partition and request"));
        }
        if header.len > max_bytes as usize {
            return Err(Refusal::new(
                ResponseError::MessageTooLarge,
                format!(
                    "the batch has {} bytes, the topic takes {max_bytes}",
                    header.len
                ),
            ));
        }
        if !crc_fits(&records, &header) {
            return Err(corrupt("the record batch's crc does not fit its bytes"));
        }
        if header.attributes & (TRANSACTIONAL | CONTROL) != 0 {
            return Err(Refusal::new(
                ResponseError::TransactionalIdAuthorizationFailed,
                "this broker has no transactions",
            ));
        }
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return Err(invalid(
                "the record batch's count and last offset do not fit",
            ));
        }
        if header.codec() > 4 {
            return Err(Refusal::new(
                ResponseError::UnsupportedCompressionType,
                "unknown codec",
            ));
        }
        if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
            return Err(invalid("an idempotent batch needs a sequence and an epoch"));
        }
        Ok(Batch {
            header,
            bytes: records,
        })
    }

    /// The same batch, stamped with the time at which the broker took it.
    pub(crate) fn stamped(&self, now_ms: i64) -> Batch {
        let mut bytes = self.bytes.to_vec();
        let attributes = self.header.attributes | LOG_APPEND_TIME;
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[35..43].copy_from_slice(&now_ms.to_be_bytes());
        seal(&mut bytes);
        let header = Header::parse(&bytes).expect("a parsed batch stays one");
        Batch {
            header,
            bytes: Bytes::from(bytes),
        }
    }
}

/// Writes length and CRC of a batch whose other bytes are in place.
pub(crate) fn seal(batch: &mut [u8]) {
    let len = i32::try_from(batch.len() - LENGTH_PREFIX).expect("batches stay below 2 GiB");
    batch[8..12].copy_from_slice(&len.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Walks the whole batches at the start of `bytes`; a cut one at the end is left out.
pub(crate) fn walk(bytes: &[u8]) -> impl Iterator<Item = (usize, Header)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = Header::parse(&bytes[at..])?;
        if at + header.len > bytes.len() {
            return None;
        }
        let found = (at, header);
        at += header.len;
        Some(found)
    })
}

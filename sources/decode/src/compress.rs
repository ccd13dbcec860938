//! Taking compression off, within a limit.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a record is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    /// The block format, as remote write has it.
    Snappy,
    Zstd,
    Gzip,
    /// What HTTP calls so.
    Deflate,
}

impl Encoding {
    /// By the `content-encoding` header; none for a word that is not known.
    pub(crate) fn of_header(header: &str) -> Option<Self> {
        let word = header.trim();
        let known = [
            ("", Self::Identity),
            ("identity", Self::Identity),
            ("snappy", Self::Snappy),
            ("zstd", Self::Zstd),
            ("gzip", Self::Gzip),
            ("deflate", Self::Deflate),
        ];
        known
            .iter()
            .find(|known| known.0.eq_ignore_ascii_case(word))
            .map(|known| known.1)
    }

    /// By the first bytes; snappy blocks have no magic.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        if bytes.starts_with(&ZSTD_MAGIC) {
            Self::Zstd
        } else if bytes.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

/// By the method in the first byte and the check in the second.
fn is_zlib(bytes: &[u8]) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|&head| head[0] & 0x0f == 8 && u16::from_be_bytes(head).is_multiple_of(31))
}

/// Whether bytes of which no encoding is told may be a snappy block, which has no magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snappy {
    No,
    /// If it is a valid one.
    Maybe,
    /// It is what the format comes in: if it says that it is too large, it is.
    Usual,
}

/// Why a record was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    TooLarge,
    Broken(String),
}

/// Holds the buffers of one partition, so that decompressing allocates nothing once warm.
#[derive(Default)]
pub(crate) struct Decompressor {
    snappy: snap::raw::Decoder,
    buffer: Vec<u8>,
}

impl Decompressor {
    /// The bytes behind `encoding`, at most `limit`.
    pub(crate) fn open<'b>(
        &'b mut self,
        encoding: Encoding,
        snappy: Snappy,
        bytes: &'b [u8],
        limit: usize,
    ) -> Result<&'b [u8], Failure> {
        match encoding {
            Encoding::Identity if snappy != Snappy::No => match self.snappy(bytes, limit) {
                Ok(len) => Ok(&self.buffer[..len]),
                Err(Failure::TooLarge) if snappy == Snappy::Usual => Err(Failure::TooLarge),
                Err(_) => plain(bytes, limit),
            },
            Encoding::Identity => plain(bytes, limit),
            Encoding::Snappy => {
                let len = self.snappy(bytes, limit)?;
                Ok(&self.buffer[..len])
            }
            Encoding::Zstd => {
                let reader = zstd::Decoder::with_buffer(bytes).map_err(broken)?;
                self.read(reader, limit)
            }
            Encoding::Gzip => self.read(MultiGzDecoder::new(bytes), limit),
            // It is zlib, but some send it bare.
            Encoding::Deflate if is_zlib(bytes) => self.read(ZlibDecoder::new(bytes), limit),
            Encoding::Deflate => self.read(DeflateDecoder::new(bytes), limit),
        }
    }

    /// Fills the buffer; returns how far.
    fn snappy(&mut self, bytes: &[u8], limit: usize) -> Result<usize, Failure> {
        let len = snap::raw::decompress_len(bytes).map_err(broken)?;
        if len > limit {
            return Err(Failure::TooLarge);
        }
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.snappy
            .decompress(bytes, &mut self.buffer[..len])
            .map_err(broken)
    }

    fn read(&mut self, reader: impl Read, limit: usize) -> Result<&[u8], Failure> {
        self.buffer.clear();
        reader
            .take(limit as u64 + 1)
            .read_to_end(&mut self.buffer)
            .map_err(broken)?;
        if self.buffer.len() > limit {
            Err(Failure::TooLarge)
        } else {
            Ok(&self.buffer)
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

const fn plain(bytes: &[u8], limit: usize) -> Result<&[u8], Failure> {
    if bytes.len() > limit {
        Err(Failure::TooLarge)
    } else {
        Ok(bytes)
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Broken(error.to_string())
}

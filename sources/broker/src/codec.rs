//! Kafka's compression codecs, read under a bound so that a small batch can't become a large one.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// Why the inside of a batch can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("unknown codec {0}")]
    Unknown(i16),
    #[error("decompressed records pass the limit of {0} bytes")]
    TooLarge(usize),
    #[error("compressed records make no sense: {0}")]
    Compression(#[from] io::Error),
    #[error("snappy block makes no sense: {0}")]
    Snappy(#[from] snap::Error),
    #[error("the batch's records make no sense")]
    Records,
}

/// The header that Java's snappy stream writes before its blocks.
const XERIAL: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const XERIAL_BLOCK: usize = 32 << 10;

/// The plain bytes of `bytes`, which are compressed with `codec`, if they are at most `limit`.
pub(crate) fn decompress(codec: i16, bytes: Bytes, limit: usize) -> Result<Bytes, CodecError> {
    match codec {
        0 => Ok(bytes),
        1 => read_all(flate2::read::MultiGzDecoder::new(&bytes[..]), limit),
        2 => unsnap(&bytes, limit),
        3 => read_all(lz4_flex::frame::FrameDecoder::new(&bytes[..]), limit),
        4 => read_all(zstd::stream::read::Decoder::with_buffer(&bytes[..])?, limit),
        other => Err(CodecError::Unknown(other)),
    }
}

fn read_all(from: impl Read, limit: usize) -> Result<Bytes, CodecError> {
    let mut out = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(CodecError::TooLarge(limit));
    }
    Ok(Bytes::from(out))
}

fn unsnap(bytes: &[u8], limit: usize) -> Result<Bytes, CodecError> {
    let mut out = Vec::new();
    if !bytes.starts_with(&XERIAL[..8]) {
        unsnap_block(bytes, &mut out, limit)?;
        return Ok(Bytes::from(out));
    }
    let mut rest = bytes.get(16..).ok_or(CodecError::Records)?;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or(CodecError::Records)?;
        unsnap_block(block, &mut out, limit)?;
        rest = after;
    }
    Ok(Bytes::from(out))
}

fn unsnap_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CodecError> {
    let len = snap::raw::decompress_len(block)?;
    let at = out.len();
    if at + len > limit {
        return Err(CodecError::TooLarge(limit));
    }
    out.resize(at + len, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[at..])?;
    Ok(())
}

/// Appends `plain`, compressed with `codec`, to `out`, in the form that every client reads.
pub(crate) fn compress(codec: i16, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    match codec {
        0 => out.extend_from_slice(plain),
        1 => {
            let mut to = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            to.write_all(plain)?;
            to.finish()?;
        }
        2 => {
            out.extend_from_slice(&XERIAL);
            for block in plain.chunks(XERIAL_BLOCK) {
                let packed = snap::raw::Encoder::new().compress_vec(block)?;
                out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                out.extend_from_slice(&packed);
            }
        }
        3 => {
            let mut to = lz4_flex::frame::FrameEncoder::new(out);
            to.write_all(plain)?;
            to.finish().map_err(io::Error::from)?;
        }
        4 => zstd::stream::copy_encode(plain, out, zstd::DEFAULT_COMPRESSION_LEVEL)?,
        other => return Err(CodecError::Unknown(other)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_gives_back_what_it_took_and_keeps_its_bound() {
        let plain = vec![7u8; 100_000];
        for codec in 0..=4 {
            let mut packed = Vec::new();
            compress(codec, &plain, &mut packed).unwrap();
            let packed = Bytes::from(packed);
            assert_eq!(
                decompress(codec, packed.clone(), 100_000).unwrap(),
                plain,
                "codec {codec}"
            );
            if codec > 0 {
                let refused = decompress(codec, packed, 99_999);
                assert!(
                    matches!(refused, Err(CodecError::TooLarge(_))),
                    "codec {codec}"
                );
            }
        }
    }

    #[test]
    fn snappy_without_the_java_framing_is_read_too() {
        let raw = snap::raw::Encoder::new()
            .compress_vec(b"one block")
            .unwrap();
        assert_eq!(
            decompress(2, Bytes::from(raw), 100).unwrap(),
            &b"one block"[..]
        );
    }
}

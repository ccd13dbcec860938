//! Parquet's RLE / bit-packing hybrid and its binary-packed deltas, as far as we write them.
//! Source: the Parquet format, "Encodings".
//!
//! Bit widths of dictionary indices are whole bytes here. The format leaves the width to the
//! writer, packing becomes a copy, and zstd finds what repeats, which it can't where indices start
//! inside bytes.

/// Whole bytes that hold `count` different indices.
pub(crate) const fn index_bytes(count: usize) -> usize {
    match count {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        0x1_0001..=0x100_0000 => 3,
        _ => 4,
    }
}

/// Appends the bit width that stands before the indices of a page.
pub(crate) fn start_indices(out: &mut Vec<u8>, width: usize) {
    out.push(u8::try_from(width * 8).expect("indices have at most 32 bits"));
}

/// Appends one run of `len` equal `index`es of `width` bytes.
pub(crate) fn put_repeated(out: &mut Vec<u8>, index: u32, len: usize, width: usize) {
    if len > 0 {
        put_varint(out, (len as u64) << 1);
        out.extend_from_slice(&index.to_le_bytes()[..width]);
    }
}

/// Appends `indices` of `width` bytes as they are, padded to a multiple of eight.
pub(crate) fn put_packed(out: &mut Vec<u8>, indices: &[u32], width: usize) {
    let groups = indices.len().div_ceil(8);
    put_varint(out, (groups as u64) << 1 | 1);
    let start = out.len();
    out.resize(start + groups * 8 * width, 0);
    let body = &mut out[start..];
    match width {
        1 => fill::<1>(body, indices),
        2 => fill::<2>(body, indices),
        3 => fill::<3>(body, indices),
        _ => fill::<4>(body, indices),
    }
}

fn fill<const WIDTH: usize>(body: &mut [u8], indices: &[u32]) {
    for (to, index) in body.chunks_exact_mut(WIDTH).zip(indices) {
        to.copy_from_slice(&index.to_le_bytes()[..WIDTH]);
    }
}

/// Appends definition levels of a column that may hold nulls, behind their length: `present` says
/// for each row whether it has a value.
pub(crate) fn put_levels(out: &mut Vec<u8>, present: impl Iterator<Item = bool>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut run = (false, 0);
    for one in present {
        if one == run.0 {
            run.1 += 1;
        } else {
            put_repeated(out, u32::from(run.0), run.1, 1);
            run = (one, 1);
        }
    }
    put_repeated(out, u32::from(run.0), run.1, 1);
    close_levels(out, start);
}

/// Appends definition levels of `rows` rows that all have a value.
pub(crate) fn put_full_levels(out: &mut Vec<u8>, rows: usize) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put_repeated(out, 1, rows, 1);
    close_levels(out, start);
}

fn close_levels(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start - 4).expect("levels of a page fit 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

const BLOCK: usize = 128;
const MINI: usize = 32;

/// Appends `values` as `DELTA_BINARY_PACKED`, in blocks of 128 of four miniblocks.
pub(crate) fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    put_varint(out, BLOCK as u64);
    put_varint(out, (BLOCK / MINI) as u64);
    put_varint(out, values.len() as u64);
    put_varint(out, zigzag(values.first().copied().unwrap_or(0)));
    let mut deltas = [0; BLOCK];
    let mut at = 1;
    while at < values.len() {
        let count = BLOCK.min(values.len() - at);
        for (i, delta) in deltas[..count].iter_mut().enumerate() {
            *delta = values[at + i].wrapping_sub(values[at + i - 1]);
        }
        put_block(out, &mut deltas, count);
        at += count;
    }
}

fn put_block(out: &mut Vec<u8>, deltas: &mut [i64; BLOCK], count: usize) {
    let least = deltas[..count].iter().copied().min().unwrap_or(0);
    for delta in &mut deltas[..count] {
        *delta = delta.wrapping_sub(least);
    }
    deltas[count..].fill(0);
    put_varint(out, zigzag(least));
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / MINI]);
    for (i, mini) in deltas.chunks_exact(MINI).enumerate() {
        let bits = mini
            .iter()
            .fold(0, |all, &delta| all | delta.cast_unsigned());
        let width = 64 - bits.leading_zeros();
        if width > 0 {
            out[widths + i] = u8::try_from(width).expect("at most 64");
            put_bits(out, mini, width);
        }
    }
}

fn put_bits(out: &mut Vec<u8>, values: &[i64], width: u32) {
    let (mut word, mut filled) = (0_u64, 0);
    for value in values {
        let value = value.cast_unsigned();
        word |= value << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = if filled == 0 {
                0
            } else {
                value >> (width - filled)
            };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

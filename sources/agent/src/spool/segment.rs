//! One file of the spool: entries behind each other, each with its length, checksum and number.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Length, checksum, sequence number, samples; the checksum covers all that follows it.
const HEADER_BYTES: usize = 4 + 4 + 8 + 4;

/// No entry is longer; what claims to be is not an entry.
const ENTRY_BYTES_MOST: usize = 64 << 20;

/// One file of entries, numbered upwards without gaps.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first entry, by which the file is named.
    pub(super) first: u64,
    /// The number of the entry that would be next.
    pub(super) next: u64,
    /// Bytes of whole entries; whatever lies behind is overwritten.
    pub(super) bytes: u64,
    path: PathBuf,
    file: File,
}

/// Where an entry lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) seq: u64,
    pub(super) offset: u64,
    pub(super) samples: u32,
    /// Header included.
    pub(super) bytes: usize,
}

impl Segment {
    pub(super) fn create(dir: &Path, first: u64) -> io::Result<Self> {
        let path = dir.join(format!("{first:020}.spool"));
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self {
            first,
            next: first,
            bytes: 0,
            path,
            file,
        })
    }

    /// Opens a file of an earlier life and finds its entries; what lies behind the first that is
    /// not whole is cut off.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Vec<Found>)>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let first = name.and_then(|name| name.strip_suffix(".spool")?.parse().ok());
        let Some(first) = first else { return Ok(None) };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let content = std::fs::read(path)?;
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((seq, samples, payload)) = parse(&content[at..]) {
            if seq != first + found.len() as u64 {
                break;
            }
            let bytes = HEADER_BYTES + payload.len();
            found.push(Found {
                seq,
                offset: at as u64,
                samples,
                bytes,
            });
            at += bytes;
        }
        file.set_len(at as u64)?;
        let next = first + found.len() as u64;
        Ok(Some((
            Self {
                first,
                next,
                bytes: at as u64,
                path: path.to_owned(),
                file,
            },
            found,
        )))
    }

    /// Writes an entry at the end. If that fails, nothing has changed.
    pub(super) fn append(&mut self, samples: u32, payload: &[u8]) -> io::Result<Found> {
        let seq = self.next;
        let mut checked = Vec::with_capacity(HEADER_BYTES + payload.len());
        checked.extend_from_slice(&[0; 8]);
        checked.extend_from_slice(&seq.to_le_bytes());
        checked.extend_from_slice(&samples.to_le_bytes());
        checked.extend_from_slice(payload);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let crc = crc32fast::hash(&checked[8..]);
        checked[..4].copy_from_slice(&length.to_le_bytes());
        checked[4..8].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&checked, self.bytes)?;
        let found = Found {
            seq,
            offset: self.bytes,
            samples,
            bytes: checked.len(),
        };
        self.bytes += checked.len() as u64;
        self.next += 1;
        Ok(found)
    }

    /// The payload of an entry; none if its bytes are no longer what was written.
    pub(super) fn read(&self, found: Found) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; found.bytes];
        self.file.read_exact_at(&mut bytes, found.offset)?;
        Ok(match parse(&bytes) {
            Some((seq, _, payload)) if seq == found.seq => Some(payload.to_vec()),
            _ => None,
        })
    }

    pub(super) fn delete(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// The entry at the head of `bytes`, if it is whole: number, samples, payload.
fn parse(bytes: &[u8]) -> Option<(u64, u32, &[u8])> {
    let (&length, rest) = bytes.split_first_chunk::<4>()?;
    let (&crc, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(length) as usize;
    if length > ENTRY_BYTES_MOST {
        return None;
    }
    let checked = rest.get(..12 + length)?;
    if crc32fast::hash(checked) != u32::from_le_bytes(crc) {
        return None;
    }
    let (&seq, rest) = checked.split_first_chunk::<8>()?;
    let (&samples, payload) = rest.split_first_chunk::<4>()?;
    Some((
        u64::from_le_bytes(seq),
        u32::from_le_bytes(samples),
        payload,
    ))
}

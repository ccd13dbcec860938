//! Cuts samples by series into records: one or more remote-write requests a partition.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use tidegauge_decode::{SeriesSamples, encode_remote_write};
use tidegauge_model::{Columns, Metadata, Series, SeriesId};

/// A record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) partition: i32,
    /// All its samples are deltas; otherwise none is.
    pub(crate) delta: bool,
    /// A snappy-compressed remote-write request.
    pub(crate) body: Vec<u8>,
}

/// A series as its samples are sent.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) series: Series,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) delta: bool,
    /// Send its metadata with its samples.
    pub(crate) describe: bool,
}

/// The partition in which a series lies, as long as the topic has `partitions` of them.
pub(crate) const fn partition_of(id: SeriesId, partitions: u32) -> i32 {
    (id.0 % partitions as u64) as i32
}

/// The most bytes that a sample takes: its frame, a double, and a time.
const SAMPLE_BYTES: usize = 2 + 9 + 11;

/// Cuts `samples`, of which each series number is a place in `known`. Samples of a series come in
/// time order and stay together; the series come in the order of their numbers, so that a reader
/// that predicts each by the one before is right. No record is longer than `record_bytes` before
/// compression, but for a single sample.
pub(crate) fn cut(
    samples: &Columns,
    known: &[Known],
    partitions: u32,
    record_bytes: usize,
) -> Vec<Outgoing> {
    let mut order: Vec<u32> = (0..samples.len() as u32).collect();
    order.sort_by_key(|&at| (samples.series[at as usize], samples.time[at as usize]));
    let pair = |&at: &u32| (samples.time[at as usize], samples.value[at as usize]);
    let pairs: Vec<(i64, f64)> = order.iter().map(pair).collect();
    let mut cutter = Cutter {
        known,
        pairs: &pairs,
        record_bytes,
        open: BTreeMap::new(),
        out: Vec::new(),
    };
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| samples.series[a as usize] == samples.series[b as usize]) {
        let local = samples.series[run[0] as usize];
        let id = known[local as usize].series.id();
        cutter.add(
            partition_of(id, partitions),
            local,
            start..start + run.len(),
        );
        start += run.len();
    }
    cutter.finish()
}

struct Cutter<'a> {
    known: &'a [Known],
    pairs: &'a [(i64, f64)],
    record_bytes: usize,
    /// By partition and whether they hold deltas.
    open: BTreeMap<(i32, bool), Open<'a>>,
    out: Vec<Outgoing>,
}

/// A record being filled.
#[derive(Default)]
struct Open<'a> {
    bytes: usize,
    runs: Vec<(u32, Range<usize>)>,
    /// Names whose metadata it already holds.
    described: HashSet<&'a str>,
}

impl<'a> Cutter<'a> {
    fn add(&mut self, partition: i32, local: u32, mut run: Range<usize>) {
        let known = &self.known[local as usize];
        let key = (partition, known.delta);
        let fixed = known.series.canonical().len() + 32;
        while !run.is_empty() {
            let open = self.open.entry(key).or_default();
            let mut bytes = fixed;
            if known.describe && !open.described.contains(known.series.name()) {
                bytes += known.series.name().len()
                    + known.metadata.help.len()
                    + known.metadata.unit.len();
            }
            let room = self.record_bytes.saturating_sub(open.bytes + bytes) / SAMPLE_BYTES;
            if room == 0 && !open.runs.is_empty() {
                self.close(key);
                continue;
            }
            let taken = run.len().min(room.max(1));
            open.bytes += bytes + taken * SAMPLE_BYTES;
            open.runs.push((local, run.start..run.start + taken));
            if known.describe {
                open.described.insert(known.series.name());
            }
            run.start += taken;
        }
    }

    fn close(&mut self, key: (i32, bool)) {
        let Some(open) = self.open.remove(&key) else {
            return;
        };
        let mut described = HashSet::new();
        let groups: Vec<_> = open
            .runs
            .into_iter()
            .map(|(local, run)| {
                let known = &self.known[local as usize];
                let describe = known.describe && described.insert(known.series.name());
                SeriesSamples {
                    series: &known.series,
                    samples: &self.pairs[run],
                    metadata: describe.then_some(&*known.metadata),
                }
            })
            .collect();
        let body = encode_remote_write(&groups);
        self.out.push(Outgoing {
            partition: key.0,
            delta: key.1,
            body,
        });
    }

    fn finish(mut self) -> Vec<Outgoing> {
        while let Some(&key) = self.open.keys().next() {
            self.close(key);
        }
        self.out
    }
}

#[cfg(test)]
mod tests;

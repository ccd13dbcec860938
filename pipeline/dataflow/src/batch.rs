//! What travels between workers: samples as columns with the definitions they need.

use serde::{Deserialize, Serialize};
use tidegauge_model::{Definition, Partition, Reject};

/// Samples of one source, for one worker and one epoch. Definitions go ahead of the samples that
/// use them, on the same channel, so the receiver can always map (source, local) to its own number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The worker whose series these are.
    pub(crate) target: u64,
    /// Which source gave the local numbers; unique over all workers.
    pub(crate) source: u32,
    /// The partition the source reads.
    pub(crate) partition: Partition,
    /// The clock by which the source's decoder forgets, milliseconds.
    pub(crate) clock: i64,
    /// Whether the times lie past the epoch's future cutoff.
    pub(crate) quarantined: bool,
    /// Series seen for the first time.
    pub(crate) definitions: Vec<Definition>,
    /// Source-local series numbers.
    #[serde(with = "as_bytes")]
    pub(crate) series: Vec<u32>,
    /// Event times.
    #[serde(with = "as_bytes")]
    pub(crate) time: Vec<i64>,
    /// Values.
    #[serde(with = "as_bytes")]
    pub(crate) value: Vec<f64>,
    /// What could not be taken.
    pub(crate) rejects: Vec<Reject>,
    /// Whether the source ends: its numbers stand for nothing any more.
    pub(crate) last: bool,
}

impl Batch {
    pub(crate) fn new(target: u64, source: u32, partition: &Partition, clock: i64) -> Self {
        Self {
            target,
            source,
            partition: partition.clone(),
            clock,
            quarantined: false,
            definitions: Vec::new(),
            series: Vec::new(),
            time: Vec::new(),
            value: Vec::new(),
            rejects: Vec::new(),
            last: false,
        }
    }

    /// Says that a source has ended.
    pub(crate) fn last(target: u64, source: u32, partition: &Partition) -> Self {
        Self {
            last: true,
            ..Self::new(target, source, partition, 0)
        }
    }

    pub(crate) fn push(&mut self, series: u32, time: i64, value: f64) {
        self.series.push(series);
        self.time.push(time);
        self.value.push(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.time.is_empty() && self.definitions.is_empty() && self.rejects.is_empty()
    }
}

/// Columns as one run of native-endian bytes: element by element costs double. Processes of one
/// cluster run one program on like machines.
mod as_bytes {
    use std::fmt;
    use std::marker::PhantomData;

    use bytemuck::Pod;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<T: Pod, S: Serializer>(
        column: &[T],
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(bytemuck::cast_slice(column))
    }

    pub(super) fn deserialize<'de, T: Pod, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        from.deserialize_bytes(Column(PhantomData))
    }

    struct Column<T>(PhantomData<T>);

    impl<T: Pod> Visitor<'_> for Column<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a column of {}-byte elements", size_of::<T>())
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
            if !bytes.len().is_multiple_of(size_of::<T>()) {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
        }
    }
}

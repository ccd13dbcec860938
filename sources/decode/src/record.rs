//! What goes into a decoder and what comes out of it.

use serde::{Deserialize, Serialize};
use tidegauge_model::{Columns, Definition, Reject};

use crate::time::valid_time;

/// Which wire format a topic's records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Told by each record's `content-type` header, then by its first bytes.
    #[default]
    Auto,
    /// JSON objects, arrays of them, `{"metrics":[…]}`, or one object a line.
    Json,
    /// Influx line protocol.
    Influx,
    /// Prometheus remote write 1.0.
    RemoteWrite,
    /// OpenTelemetry `ExportMetricsServiceRequest`, protobuf or JSON.
    Otlp,
}

/// One record as it came from Kafka, or one HTTP body.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Whose samples these are: the record's `tenant` header or its topic's tenant.
    pub tenant: &'a str,
    /// The `content-type` header. Its parameter `precision` (`ns`, `us`, `ms`, `s`, `m`, `h`, `auto`) says
    /// what unit the timestamps of Influx lines have.
    pub content_type: Option<&'a str>,
    /// The `content-encoding` header: `snappy`, `zstd`, `gzip`, `deflate` or `identity`.
    pub content_encoding: Option<&'a str>,
    /// Set by our gateway's header: all samples of this remote-write record are deltas.
    pub delta: bool,
    /// The record's own timestamp in milliseconds, −1 if it has none.
    pub timestamp: i64,
    /// Wall clock at which the record was read, milliseconds since the Unix epoch.
    pub received_at: i64,
    /// The record's offset.
    pub offset: i64,
    /// The record's bytes.
    pub value: &'a [u8],
}

impl Record<'_> {
    /// The record's own time, or when it was read if it has none, or one that no clock shows: a producer
    /// that stamps its records in nanoseconds is not to be believed.
    pub(crate) fn own_time(&self) -> i64 {
        if self.timestamp >= 0 && valid_time(self.timestamp) {
            self.timestamp
        } else {
            self.received_at
        }
    }
}

/// What decoding brought. Decoders append; whoever reads it takes it and leaves it empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The samples.
    pub samples: Columns,
    /// Series seen for the first time, or whose metadata has changed.
    pub definitions: Vec<Definition>,
    /// What could not be taken.
    pub rejects: Vec<Reject>,
    /// For each of `rejects`, which item of its record it is, counted from 0: a JSON object, a
    /// line, a time series, a data point. None if the fault is the whole record's.
    pub reject_items: Vec<Option<usize>>,
    /// What was passed over on purpose.
    pub skipped: Skipped,
}

/// Counts of what was passed over on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Influx fields whose value is a string.
    pub string_fields: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Samples of series that a relabel rule drops.
    pub relabel_drops: u64,
    /// Faulty items beyond the thousand of one record that get a row of their own; the record's
    /// last reject says how many these were.
    pub folded_rejects: u64,
}

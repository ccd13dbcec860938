//! Decoders of wire formats into samples: JSON, Influx lines, Prometheus remote write, OTLP.
//!
//! One [`Decoder`] a partition turns each [`Record`] into [`Decoded`]: columns of samples, the
//! definitions of series seen for the first time, and what had to be rejected. It never panics on
//! any bytes, and the same records in the same order always give the same result.
//!
//! What stands or falls together: a remote-write or OTLP request, one JSON object, one Influx line.
//! If its bytes are not of the format to their end, it is one reject and none of its samples is
//! taken; the reject tells too of what is left out behind it. Inside well-formed bytes, a bad name,
//! label, value or timestamp is a reject of its own and its neighbours go on.

mod again;
mod compress;
mod context;
mod decoder;
mod encode;
mod family;
mod influx;
mod intern;
mod json;
mod number;
mod otlp;
mod protobuf;
mod record;
mod relabel;
mod remote_write;
mod scan;
mod sniff;
mod table;
mod time;

pub use decoder::Decoder;
pub use encode::{SeriesSamples, encode_remote_write};
pub use record::{Decoded, Format, Record, Skipped};
pub use relabel::{Labels, Relabel, RelabelAction, RelabelError, RelabelRule};
pub use time::Precision;

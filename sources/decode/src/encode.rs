//! Remote write the other way: samples of known series into one request.

use tidegauge_model::{Metadata, MetricType, Series};

use crate::protobuf::{put_bytes, put_varint};
use crate::remote_write::type_number;

/// Samples of one series, to be sent.
#[derive(Clone, Copy, Debug)]
pub struct SeriesSamples<'a> {
    /// The series; its tenant is not part of the request and goes in a header.
    pub series: &'a Series,
    /// Times in milliseconds and values, in any order.
    pub samples: &'a [(i64, f64)],
    /// What is known of the series; sent as metadata of its own full name.
    pub metadata: Option<&'a Metadata>,
}

/// Makes a snappy-compressed Prometheus `WriteRequest` 1.0.
///
/// Series with equal labels always have equal bytes in it, so decoders recognise them. Whether the
/// samples are deltas is not said in the bytes; that goes in a record header, so groups of both
/// kinds need two calls.
///
/// ```
/// use tidegauge_decode::{SeriesSamples, encode_remote_write};
/// use tidegauge_model::{Limits, Series};
/// let series = Series::new("default", "up", &mut vec![("job", "node")], &Limits::default())?;
/// let samples = [(1_700_000_000_000, 1.0)];
/// let body = encode_remote_write(&[SeriesSamples { series: &series, samples: &samples, metadata: None }]);
/// assert!(!body.is_empty());
/// # Ok::<(), tidegauge_model::SeriesError>(())
/// ```
#[must_use]
pub fn encode_remote_write(groups: &[SeriesSamples<'_>]) -> Vec<u8> {
    let (mut request, mut message, mut part) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        message.clear();
        let name = ("__name__", group.series.name());
        let mut labels: Vec<_> = std::iter::once(name).chain(group.series.labels()).collect();
        // The protocol wants labels sorted, the name among them.
        labels.sort_unstable();
        for (name, value) in labels {
            part.clear();
            put_bytes(&mut part, 1, name.as_bytes());
            put_bytes(&mut part, 2, value.as_bytes());
            put_bytes(&mut message, 1, &part);
        }
        for &(time, value) in group.samples {
            part.clear();
            part.push(0x09);
            part.extend_from_slice(&value.to_le_bytes());
            part.push(0x10);
            put_varint(&mut part, time.cast_unsigned());
            put_bytes(&mut message, 2, &part);
        }
        put_bytes(&mut request, 1, &message);
    }
    for group in groups {
        if let Some(metadata) = group
            .metadata
            .filter(|metadata| **metadata != Metadata::default())
        {
            message.clear();
            put_metadata(&mut message, group.series.name(), metadata);
            put_bytes(&mut request, 3, &message);
        }
    }
    let mut snappy = snap::raw::Encoder::new();
    snappy
        .compress_vec(&request)
        .expect("a request is below snappy's limit of 4 GiB")
}

fn put_metadata(message: &mut Vec<u8>, name: &str, metadata: &Metadata) {
    if metadata.metric_type != MetricType::Unknown {
        message.push(0x08);
        put_varint(message, type_number(metadata.metric_type));
    }
    put_bytes(message, 2, name.as_bytes());
    put_bytes(message, 4, metadata.help.as_bytes());
    put_bytes(message, 5, metadata.unit.as_bytes());
}

//! Which wire format a record has: its `content-type` header, then its first bytes.

use tidegauge_model::RejectReason;

use crate::context::Refused;
use crate::protobuf::{Reader, Value};
use crate::record::Record;
use crate::time::Precision;

/// A format with a decoder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    Influx,
    RemoteWrite,
    OtlpProtobuf,
    OtlpJson,
}

/// How many bytes are looked at to tell text from binary.
const LOOK_AT: usize = 128;

/// What the header says; none if it leaves it open.
pub(crate) fn header(record: &Record<'_>) -> Result<Option<Wire>, Refused> {
    let Some(header) = record.content_type else {
        return Ok(None);
    };
    if parameter(header, "proto").is_some_and(|proto| proto == "io.prometheus.write.v2.Request") {
        let detail = "remote write 2.0 is not taken; send prometheus.WriteRequest (1.0)";
        return Err((RejectReason::UnknownFormat, detail.into()));
    }
    let essence = header.split(';').next().unwrap_or("").trim();
    let is = |names: &[&str]| names.iter().any(|name| essence.eq_ignore_ascii_case(name));
    if is(&[
        "application/json",
        "application/x-ndjson",
        "application/jsonl",
    ]) {
        return Ok(Some(Wire::Json));
    }
    let proto = is(&["application/x-protobuf", "application/protobuf"])
        .then(|| parameter(header, "proto"))
        .flatten();
    Ok(proto
        .filter(|proto| *proto == "prometheus.WriteRequest")
        .map(|_| Wire::RemoteWrite))
}

/// The unit of Influx timestamps, from the header's parameter.
pub(crate) fn precision(record: &Record<'_>) -> Option<Precision> {
    Precision::parse(parameter(record.content_type?, "precision")?)
}

fn parameter<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let pairs = header
        .split(';')
        .skip(1)
        .filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|pair| pair.0.trim().eq_ignore_ascii_case(name));
    named.next().map(|pair| pair.1.trim().trim_matches('"'))
}

/// Whether there are bytes that no text format has.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    bytes.iter().take(LOOK_AT).any(control)
}

/// What the bytes, without compression, look like.
pub(crate) fn of_bytes(body: &[u8]) -> Option<Wire> {
    if is_binary(body) {
        let wire = protobuf(body);
        // A text that begins like one may hold a control character, in an Influx string for example.
        if wire.is_some() || !body.first()?.is_ascii_graphic() {
            return wire;
        }
    }
    match body.trim_ascii_start().first()? {
        b'{' | b'[' => Some(json(body)),
        _ => Some(Wire::Influx),
    }
}

/// OTLP's JSON by its outermost member.
pub(crate) fn json(body: &[u8]) -> Wire {
    let inside = body
        .trim_ascii_start()
        .strip_prefix(b"{")
        .unwrap_or(b"")
        .trim_ascii_start();
    let otlp = [&b"\"resourceMetrics\""[..], b"\"resource_metrics\""];
    if otlp.iter().any(|name| inside.starts_with(name)) {
        Wire::OtlpJson
    } else {
        Wire::Json
    }
}

/// Remote write and OTLP differ in what their first item holds: labels and samples there, a resource and
/// scopes here. Fields stand in any order; the Collector's come last to first.
fn protobuf(body: &[u8]) -> Option<Wire> {
    let mut fields = Reader::new(body);
    let (field, item) = bytes(&mut fields)?;
    match field {
        1 => {}
        3..=5 => return Some(Wire::RemoteWrite),
        _ => return None,
    }
    let mut fields = Reader::new(item);
    while let Some((field, part)) = bytes(&mut fields) {
        let told = match field {
            1 => Some(of_labels_or_resource(part)),
            2 => of_sample_or_scope(part),
            // An exemplar or the address of a schema, a histogram: the others tell more surely.
            _ => None,
        };
        if told.is_some() {
            return told;
        }
    }
    None
}

/// A label has a text value as its second field, a resource at most a number.
fn of_labels_or_resource(part: &[u8]) -> Wire {
    let mut fields = Reader::new(part);
    while let Ok(Some((field, value))) = fields.next() {
        if let (2, Value::Bytes(_)) = (field, value) {
            return Wire::RemoteWrite;
        }
    }
    Wire::OtlpProtobuf
}

/// A sample is made of numbers, a scope of messages.
fn of_sample_or_scope(part: &[u8]) -> Option<Wire> {
    match Reader::new(part).next() {
        Ok(Some((_, Value::Bytes(_)))) => Some(Wire::OtlpProtobuf),
        Ok(Some(_)) => Some(Wire::RemoteWrite),
        _ => None,
    }
}

/// The next field that holds bytes.
fn bytes<'m>(fields: &mut Reader<'m>) -> Option<(u64, &'m [u8])> {
    while let Ok(Some((field, value))) = fields.next() {
        if let Value::Bytes(bytes) = value {
            return Some((field, bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        [&[number << 3 | 2, length], content].concat()
    }

    #[test]
    fn a_control_character_does_not_make_a_text_binary() {
        for (body, wire) in [
            (&b"m s=\"\x1b[0m\",v=1 5"[..], Some(Wire::Influx)),
            (b"{\"name\":\"a\x01\"}", Some(Wire::Json)),
            (b"\x01m v=1", None),
        ] {
            assert_eq!(of_bytes(body), wire, "{body:?}");
        }
    }

    #[test]
    fn protobuf_is_told_in_any_order_of_fields() {
        let resource = field(1, &field(1, &field(1, b"service.name")));
        let scope = field(2, &field(2, &field(1, b"load")));
        let schema = field(3, b"https://opentelemetry.io/schemas/1.9.0");
        let label = field(1, &[field(1, b"__name__"), field(2, b"load")].concat());
        let sample = field(2, &[&[0x09][..], &[0; 8], &[0x10, 1]].concat());
        let no_sample = field(2, b"");
        for (item, wire) in [
            (
                [&resource[..], &scope, &schema].concat(),
                Some(Wire::OtlpProtobuf),
            ),
            (
                [&schema[..], &scope, &resource].concat(),
                Some(Wire::OtlpProtobuf),
            ),
            ([&schema[..], &resource].concat(), Some(Wire::OtlpProtobuf)),
            ([&label[..], &sample].concat(), Some(Wire::RemoteWrite)),
            ([&sample[..], &label].concat(), Some(Wire::RemoteWrite)),
            ([&no_sample[..], &label].concat(), Some(Wire::RemoteWrite)),
            (schema.clone(), None),
        ] {
            assert_eq!(of_bytes(&field(1, &item)), wire, "{item:?}");
        }
    }
}

//! Which wire format a record has: its `content-type` header, then its first bytes.

use tidegauge_model::RejectReason;

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
pub(crate) fn header(record: &Record<'_>) -> Result<Option<Wire>, (RejectReason, String)> {
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
        return protobuf(body);
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

/// Remote write and OTLP differ in what their first item holds: labels with a text value there, a
/// resource with attributes here.
fn protobuf(body: &[u8]) -> Option<Wire> {
    let (field, item) = first(body)?;
    if let 3..=5 = field {
        return Some(Wire::RemoteWrite);
    }
    if field != 1 {
        return None;
    }
    let (field, part) = first(item)?;
    let mut fields = Reader::new(part);
    let remote_write = match field {
        1 => loop {
            match fields.next().ok()? {
                None => break false,
                Some((2, Value::Bytes(_))) => break true,
                Some(_) => {}
            }
        },
        2 => matches!(fields.next(), Ok(Some((1, Value::Fixed64(_))))),
        _ => return None,
    };
    Some(if remote_write {
        Wire::RemoteWrite
    } else {
        Wire::OtlpProtobuf
    })
}

fn first(message: &[u8]) -> Option<(u64, &[u8])> {
    match Reader::new(message).next() {
        Ok(Some((field, Value::Bytes(bytes)))) => Some((field, bytes)),
        _ => None,
    }
}

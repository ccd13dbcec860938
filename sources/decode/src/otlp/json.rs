//! OTLP's JSON into its protobuf.
//!
//! JSON has lower camel case names (snake case is taken too), 64-bit integers as text or numbers,
//! enumerations as numbers or names, and `NaN` and infinities as text. Null is as good as absent. A
//! point of which anything can't be read is refused alone; whatever else is of the wrong kind refuses
//! the request.

use std::str::FromStr;

use serde_json::{Map, Value};
use tidegauge_model::RejectReason;

use crate::context::Refused;
use crate::number::whole_number;
use crate::protobuf::{put_bytes, put_varint};

type Object = Map<String, Value>;
type Put = Result<(), String>;

/// A point that can't be read; an empty one stands in its place.
#[derive(Debug)]
pub(super) struct Unread {
    /// Which point of the request.
    pub(super) item: usize,
    pub(super) why: Refused,
}

/// What came of the points so far.
#[derive(Default)]
struct Points {
    count: usize,
    unread: Vec<Unread>,
}

/// The protobuf of a JSON request, and which of its points are not in it.
pub(super) fn to_protobuf(body: &[u8]) -> Result<(Vec<u8>, Vec<Unread>), String> {
    let request: Object = serde_json::from_slice(&fractions_as_texts(body)).map_err(|error| {
        // There, places are others than in what was sent.
        let error = serde_json::from_slice::<Object>(body)
            .err()
            .unwrap_or(error);
        format!("not OTLP JSON: {error}")
    })?;
    let (mut out, mut points) = (Vec::new(), Points::default());
    each(
        &request,
        "resourceMetrics",
        "resource_metrics",
        &mut out,
        1,
        |resource, out| resource_metrics(resource, out, &mut points),
    )?;
    Ok((out, points.unread))
}

/// The same JSON with fractions, and integers beyond 18 digits, as texts, which are taken for any
/// number: serde_json reads some of them wrong in the last bit.
fn fractions_as_texts(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 16);
    let mut rest = body;
    while let Some(first) = rest.first() {
        let len = match first {
            b'"' => text_len(rest),
            b'-' | b'0'..=b'9' => {
                let other =
                    |byte: &u8| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                rest.iter().position(other).unwrap_or(rest.len())
            }
            _ => 1,
        };
        let (token, behind) = rest.split_at(len);
        let is_number = *first == b'-' || first.is_ascii_digit();
        if is_number && (len > 18 || token.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))) {
            out.push(b'"');
            out.extend_from_slice(token);
            out.push(b'"');
        } else {
            out.extend_from_slice(token);
        }
        rest = behind;
    }
    out
}

/// The length of the quoted text that `rest` begins with.
fn text_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

fn resource_metrics(object: &Object, out: &mut Vec<u8>, points: &mut Points) -> Put {
    if let Some(resource) = get(object, "resource", "resource") {
        let resource = map(resource, "resource")?;
        nested(out, 1, |out| attributes(resource, out, 1))
            .map_err(|detail| format!("a resource's attributes: {detail}"))?;
    }
    each(
        object,
        "scopeMetrics",
        "scope_metrics",
        out,
        2,
        |scope, out| {
            each(scope, "metrics", "metrics", out, 2, |object, out| {
                metric(object, out, points).map_err(|detail| {
                    let name = object.get("name").and_then(Value::as_str).unwrap_or("");
                    let name = &name[..name.floor_char_boundary(64)];
                    format!("metric `{name}`: {detail}")
                })
            })
        },
    )
}

/// How one kind of data is written.
struct Kind {
    field: u64,
    camel: &'static str,
    snake: &'static str,
    /// The field of its points' attributes.
    attributes: u64,
    /// Writes what else only such points have.
    put: fn(&Object, &mut Vec<u8>) -> Put,
}

const KINDS: [Kind; 5] = [
    Kind {
        field: 5,
        camel: "gauge",
        snake: "gauge",
        attributes: 7,
        put: number_point,
    },
    Kind {
        field: 7,
        camel: "sum",
        snake: "sum",
        attributes: 7,
        put: number_point,
    },
    Kind {
        field: 9,
        camel: "histogram",
        snake: "histogram",
        attributes: 9,
        put: histogram_point,
    },
    Kind {
        field: 10,
        camel: "exponentialHistogram",
        snake: "exponential_histogram",
        attributes: 1,
        put: |_, _| Ok(()),
    },
    Kind {
        field: 11,
        camel: "summary",
        snake: "summary",
        attributes: 7,
        put: summary_point,
    },
];

fn metric(object: &Object, out: &mut Vec<u8>, points: &mut Points) -> Put {
    for (field, name) in [(1, "name"), (2, "description"), (3, "unit")] {
        if let Some(text) = get(object, name, name) {
            put_bytes(out, field, as_text(text, name)?.as_bytes());
        }
    }
    for kind in &KINDS {
        if let Some(data) = get(object, kind.camel, kind.snake) {
            let data = map(data, kind.camel)?;
            nested(out, kind.field, |out| metric_data(data, out, kind, points))?;
        }
    }
    Ok(())
}

fn metric_data(data: &Object, out: &mut Vec<u8>, kind: &Kind, points: &mut Points) -> Put {
    let objects = list(data, "dataPoints", "data_points")?.iter();
    for object in objects.filter(|object| !object.is_null()) {
        let mut message = Vec::new();
        if let Err(why) = point(object, &mut message, kind) {
            message.clear();
            let item = points.count;
            points.unread.push(Unread { item, why });
        }
        put_bytes(out, 1, &message);
        points.count += 1;
    }
    if let Some(temporality) = get(data, "aggregationTemporality", "aggregation_temporality") {
        let number = match temporality.as_str() {
            Some("AGGREGATION_TEMPORALITY_DELTA") => 1,
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => 2,
            Some(_) => 0,
            None => temporality
                .as_u64()
                .ok_or_else(|| wrong("temporality", temporality))?,
        };
        varint(out, 2, number);
    }
    if let Some(flag) = get(data, "isMonotonic", "is_monotonic") {
        let flag = flag.as_bool().ok_or_else(|| wrong("isMonotonic", flag))?;
        varint(out, 3, u64::from(flag));
    }
    Ok(())
}

fn point(point: &Value, out: &mut Vec<u8>, kind: &Kind) -> Result<(), Refused> {
    let because = |reason| move |detail| (reason, detail);
    let point = map(point, "dataPoints").map_err(because(RejectReason::Malformed))?;
    time(point, out).map_err(because(RejectReason::BadTimestamp))?;
    (kind.put)(point, out).map_err(because(RejectReason::BadValue))?;
    attributes(point, out, kind.attributes).map_err(because(RejectReason::BadLabel))
}

fn number_point(point: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(value) = get(point, "asDouble", "as_double") {
        let value = double(value).ok_or_else(|| wrong("asDouble", value))?;
        fixed64(out, 4, value.to_bits());
    } else if let Some(value) = get(point, "asInt", "as_int") {
        let value = integer(value).ok_or_else(|| wrong("asInt", value))?;
        fixed64(out, 6, value.cast_unsigned());
    }
    exemplars(point, out, 5);
    flags(point, out, 8)
}

fn histogram_point(point: &Object, out: &mut Vec<u8>) -> Put {
    count_and_sum(point, out)?;
    for count in list(point, "bucketCounts", "bucket_counts")? {
        let read = unsigned(count).ok_or_else(|| wrong("bucketCounts", count))?;
        fixed64(out, 6, read);
    }
    for bound in list(point, "explicitBounds", "explicit_bounds")? {
        let read = double(bound).ok_or_else(|| wrong("explicitBounds", bound))?;
        fixed64(out, 7, read.to_bits());
    }
    exemplars(point, out, 8);
    flags(point, out, 10)
}

fn summary_point(point: &Object, out: &mut Vec<u8>) -> Put {
    count_and_sum(point, out)?;
    each(
        point,
        "quantileValues",
        "quantile_values",
        out,
        6,
        |quantile, out| {
            for (field, name) in [(1, "quantile"), (2, "value")] {
                if let Some(value) = get(quantile, name, name) {
                    let value = double(value).ok_or_else(|| wrong(name, value))?;
                    fixed64(out, field, value.to_bits());
                }
            }
            Ok(())
        },
    )?;
    flags(point, out, 8)
}

fn count_and_sum(point: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(count) = get(point, "count", "count") {
        let read = unsigned(count).ok_or_else(|| wrong("count", count))?;
        fixed64(out, 4, read);
    }
    if let Some(sum) = get(point, "sum", "sum") {
        let read = double(sum).ok_or_else(|| wrong("sum", sum))?;
        fixed64(out, 5, read.to_bits());
    }
    Ok(())
}

fn time(point: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(time) = get(point, "timeUnixNano", "time_unix_nano") {
        let read = unsigned(time).ok_or_else(|| wrong("timeUnixNano", time))?;
        fixed64(out, 3, read);
    }
    Ok(())
}

fn flags(point: &Object, out: &mut Vec<u8>, field: u64) -> Put {
    if let Some(flags) = get(point, "flags", "flags") {
        let read = unsigned(flags).ok_or_else(|| wrong("flags", flags))?;
        varint(out, field, read);
    }
    Ok(())
}

fn exemplars(point: &Object, out: &mut Vec<u8>, field: u64) {
    for _ in 0..point
        .get("exemplars")
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
    {
        put_bytes(out, field, &[]);
    }
}

fn attributes(object: &Object, out: &mut Vec<u8>, field: u64) -> Put {
    each(object, "attributes", "attributes", out, field, key_value)
}

fn key_value(pair: &Object, out: &mut Vec<u8>) -> Put {
    let mut shown = "";
    if let Some(key) = get(pair, "key", "key") {
        let key = as_text(key, "key")?;
        shown = &key[..key.floor_char_boundary(64)];
        put_bytes(out, 1, key.as_bytes());
    }
    let Some(value) = get(pair, "value", "value") else {
        return Ok(());
    };
    map(value, "value")
        .and_then(|value| nested(out, 2, |out| any_value(value, out)))
        .map_err(|detail| format!("attribute `{shown}`: {detail}"))
}

fn any_value(value: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(text) = get(value, "stringValue", "string_value") {
        put_bytes(out, 1, as_text(text, "stringValue")?.as_bytes());
    } else if let Some(flag) = get(value, "boolValue", "bool_value") {
        let read = flag.as_bool().ok_or_else(|| wrong("boolValue", flag))?;
        varint(out, 2, u64::from(read));
    } else if let Some(number) = get(value, "intValue", "int_value") {
        let read = integer(number).ok_or_else(|| wrong("intValue", number))?;
        varint(out, 3, read.cast_unsigned());
    } else if let Some(number) = get(value, "doubleValue", "double_value") {
        let read = double(number).ok_or_else(|| wrong("doubleValue", number))?;
        fixed64(out, 4, read.to_bits());
    } else if let Some(array) = get(value, "arrayValue", "array_value") {
        let array = map(array, "arrayValue")?;
        nested(out, 5, |out| {
            each(array, "values", "values", out, 1, any_value)
        })?;
    } else if let Some(pairs) = get(value, "kvlistValue", "kvlist_value") {
        let pairs = map(pairs, "kvlistValue")?;
        nested(out, 6, |out| {
            each(pairs, "values", "values", out, 1, key_value)
        })?;
    } else if let Some(base64) = get(value, "bytesValue", "bytes_value") {
        // A label shows bytes as base64, which this is already.
        put_bytes(out, 1, as_text(base64, "bytesValue")?.as_bytes());
    }
    Ok(())
}

/// A member by either of its names, unless it is null.
fn get<'v>(object: &'v Object, camel: &str, snake: &str) -> Option<&'v Value> {
    let given = |name| object.get(name).filter(|value| !value.is_null());
    given(camel).or_else(|| given(snake))
}

fn map<'v>(value: &'v Value, name: &str) -> Result<&'v Object, String> {
    value.as_object().ok_or_else(|| wrong(name, value))
}

fn as_text<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| wrong(name, value))
}

fn list<'v>(object: &'v Object, camel: &str, snake: &str) -> Result<&'v [Value], String> {
    match get(object, camel, snake) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(value) => Err(wrong(camel, value)),
    }
}

/// Puts each object of a list as a message.
fn each(
    object: &Object,
    camel: &str,
    snake: &str,
    out: &mut Vec<u8>,
    field: u64,
    mut put: impl FnMut(&Object, &mut Vec<u8>) -> Put,
) -> Put {
    let items = list(object, camel, snake)?.iter();
    for item in items.filter(|item| !item.is_null()) {
        let item = map(item, camel)?;
        nested(out, field, |out| put(item, out))?;
    }
    Ok(())
}

fn nested(out: &mut Vec<u8>, field: u64, put: impl FnOnce(&mut Vec<u8>) -> Put) -> Put {
    let mut message = Vec::new();
    put(&mut message)?;
    put_bytes(out, field, &message);
    Ok(())
}

fn varint(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

fn fixed64(out: &mut Vec<u8>, field: u64, bits: u64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

fn double(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| whole_number(value.as_str()?.as_bytes()))
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| whole(value.as_str()?))
}

fn unsigned(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| whole(value.as_str()?))
}

fn whole<N: FromStr + TryFrom<i128>>(text: &str) -> Option<N> {
    let plain = text.parse().ok();
    plain.or_else(|| integral(text)?.try_into().ok())
}

/// A number as protobuf's JSON mapping has integers: with a fraction of zeros or an exponent if it likes.
fn integral(text: &str) -> Option<i128> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    if shift < 0 {
        (digits % power == 0).then_some(digits / power)
    } else {
        digits.checked_mul(power)
    }
}

fn wrong(name: &str, value: &Value) -> String {
    let mut shown = value.to_string();
    shown.truncate(shown.floor_char_boundary(64));
    format!("`{name}` can't be {shown}")
}

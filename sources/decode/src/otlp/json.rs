//! OTLP's JSON into its protobuf.
//!
//! JSON has lower camel case names (snake case is taken too), 64-bit integers as text or numbers,
//! enumerations as numbers or names, and `NaN` and infinities as text. A point whose value can't
//! be read loses it, which rejects that point alone; anything else of the wrong kind rejects the
//! request.

use serde_json::{Map, Value};

use crate::number::whole_number;
use crate::protobuf::{put_bytes, put_varint};

type Object = Map<String, Value>;
type Put = Result<(), String>;

/// The protobuf of a JSON request.
pub(super) fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, String> {
    let request: Object = serde_json::from_slice(&fractions_as_texts(body))
        .map_err(|error| format!("not OTLP JSON: {error}"))?;
    let mut out = Vec::new();
    each(
        &request,
        "resourceMetrics",
        "resource_metrics",
        &mut out,
        1,
        resource_metrics,
    )?;
    Ok(out)
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

fn resource_metrics(object: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(resource) = object.get("resource") {
        let resource = map(resource, "resource")?;
        nested(out, 1, |out| attributes(resource, out, 1))?;
    }
    each(
        object,
        "scopeMetrics",
        "scope_metrics",
        out,
        2,
        |scope, out| each(scope, "metrics", "metrics", out, 2, metric),
    )
}

fn metric(object: &Object, out: &mut Vec<u8>) -> Put {
    for (field, name) in [(1, "name"), (2, "description"), (3, "unit")] {
        if let Some(text) = object.get(name) {
            put_bytes(
                out,
                field,
                text.as_str().ok_or_else(|| wrong(name, text))?.as_bytes(),
            );
        }
    }
    let kinds: [(u64, &str, &str, PutPoint); 5] = [
        (5, "gauge", "gauge", number_point),
        (7, "sum", "sum", number_point),
        (9, "histogram", "histogram", histogram_point),
        (
            10,
            "exponentialHistogram",
            "exponential_histogram",
            |_, _| Ok(()),
        ),
        (11, "summary", "summary", summary_point),
    ];
    for (field, camel, snake, point) in kinds {
        if let Some(data) = get(object, camel, snake) {
            let data = map(data, camel)?;
            nested(out, field, |out| points(data, out, point))?;
        }
    }
    Ok(())
}

type PutPoint = fn(&Object, &mut Vec<u8>) -> Put;

fn points(data: &Object, out: &mut Vec<u8>, point: PutPoint) -> Put {
    each(data, "dataPoints", "data_points", out, 1, point)?;
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

fn number_point(point: &Object, out: &mut Vec<u8>) -> Put {
    time(point, out)?;
    if let Some(value) = get(point, "asDouble", "as_double").and_then(double) {
        fixed64(out, 4, value.to_bits());
    } else if let Some(value) = get(point, "asInt", "as_int").and_then(integer) {
        fixed64(out, 6, value.cast_unsigned());
    }
    exemplars(point, out, 5);
    attributes(point, out, 7)?;
    flags(point, out, 8)
}

fn histogram_point(point: &Object, out: &mut Vec<u8>) -> Put {
    time(point, out)?;
    count_and_sum(point, out)?;
    for count in list(point, "bucketCounts", "bucket_counts")? {
        fixed64(
            out,
            6,
            unsigned(count).ok_or_else(|| wrong("bucketCounts", count))?,
        );
    }
    for bound in list(point, "explicitBounds", "explicit_bounds")? {
        fixed64(
            out,
            7,
            double(bound)
                .ok_or_else(|| wrong("explicitBounds", bound))?
                .to_bits(),
        );
    }
    exemplars(point, out, 8);
    attributes(point, out, 9)?;
    flags(point, out, 10)
}

fn summary_point(point: &Object, out: &mut Vec<u8>) -> Put {
    time(point, out)?;
    count_and_sum(point, out)?;
    each(
        point,
        "quantileValues",
        "quantile_values",
        out,
        6,
        |quantile, out| {
            for (field, name) in [(1, "quantile"), (2, "value")] {
                if let Some(value) = quantile.get(name) {
                    let value = double(value).ok_or_else(|| wrong(name, value))?;
                    fixed64(out, field, value.to_bits());
                }
            }
            Ok(())
        },
    )?;
    attributes(point, out, 7)?;
    flags(point, out, 8)
}

fn count_and_sum(point: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(count) = point.get("count") {
        fixed64(
            out,
            4,
            unsigned(count).ok_or_else(|| wrong("count", count))?,
        );
    }
    if let Some(sum) = point.get("sum").filter(|sum| !sum.is_null()) {
        fixed64(
            out,
            5,
            double(sum).ok_or_else(|| wrong("sum", sum))?.to_bits(),
        );
    }
    Ok(())
}

fn time(point: &Object, out: &mut Vec<u8>) -> Put {
    if let Some(time) = get(point, "timeUnixNano", "time_unix_nano") {
        fixed64(
            out,
            3,
            unsigned(time).ok_or_else(|| wrong("timeUnixNano", time))?,
        );
    }
    Ok(())
}

fn flags(point: &Object, out: &mut Vec<u8>, field: u64) -> Put {
    if let Some(flags) = point.get("flags") {
        varint(
            out,
            field,
            unsigned(flags).ok_or_else(|| wrong("flags", flags))?,
        );
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
    if let Some(key) = pair.get("key") {
        put_bytes(
            out,
            1,
            key.as_str().ok_or_else(|| wrong("key", key))?.as_bytes(),
        );
    }
    match pair.get("value") {
        None => Ok(()),
        Some(value) => {
            let value = map(value, "value")?;
            nested(out, 2, |out| any_value(value, out))
        }
    }
}

fn any_value(value: &Object, out: &mut Vec<u8>) -> Put {
    let given = |camel, snake| get(value, camel, snake).filter(|value| !value.is_null());
    if let Some(text) = given("stringValue", "string_value") {
        put_bytes(
            out,
            1,
            text.as_str()
                .ok_or_else(|| wrong("stringValue", text))?
                .as_bytes(),
        );
    } else if let Some(flag) = given("boolValue", "bool_value") {
        varint(
            out,
            2,
            u64::from(flag.as_bool().ok_or_else(|| wrong("boolValue", flag))?),
        );
    } else if let Some(number) = given("intValue", "int_value") {
        let read = integer(number).ok_or_else(|| wrong("intValue", number))?;
        varint(out, 3, read.cast_unsigned());
    } else if let Some(number) = given("doubleValue", "double_value") {
        let read = double(number).ok_or_else(|| wrong("doubleValue", number))?;
        fixed64(out, 4, read.to_bits());
    } else if let Some(array) = given("arrayValue", "array_value") {
        let array = map(array, "arrayValue")?;
        nested(out, 5, |out| {
            each(array, "values", "values", out, 1, any_value)
        })?;
    } else if let Some(pairs) = given("kvlistValue", "kvlist_value") {
        let pairs = map(pairs, "kvlistValue")?;
        nested(out, 6, |out| {
            each(pairs, "values", "values", out, 1, key_value)
        })?;
    } else if let Some(base64) = given("bytesValue", "bytes_value") {
        // A label shows bytes as base64, which this is already.
        put_bytes(
            out,
            1,
            base64
                .as_str()
                .ok_or_else(|| wrong("bytesValue", base64))?
                .as_bytes(),
        );
    }
    Ok(())
}

fn get<'v>(object: &'v Object, camel: &str, snake: &str) -> Option<&'v Value> {
    object.get(camel).or_else(|| object.get(snake))
}

fn map<'v>(value: &'v Value, name: &str) -> Result<&'v Object, String> {
    value.as_object().ok_or_else(|| wrong(name, value))
}

fn list<'v>(object: &'v Object, camel: &str, snake: &str) -> Result<&'v [Value], String> {
    match get(object, camel, snake) {
        None | Some(Value::Null) => Ok(&[]),
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
    put: impl Fn(&Object, &mut Vec<u8>) -> Put,
) -> Put {
    for item in list(object, camel, snake)? {
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
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn unsigned(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn wrong(name: &str, value: &Value) -> String {
    let mut shown = value.to_string();
    shown.truncate(shown.floor_char_boundary(64));
    format!("`{name}` can't be {shown}")
}

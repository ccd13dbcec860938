//! Attributes into labels.

use std::borrow::Cow;
use std::fmt::Write;

use tidegauge_model::{Limits, RejectReason};

use super::names::label_name;
use crate::context::Refused;
use crate::protobuf::{Reader, Value};
use crate::relabel::Labels;

/// How deep a value may nest; an attribute that goes deeper is refused.
const DEPTH: usize = 16;

const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// Attribute fields (`KeyValue` messages, each behind its tag) into labels. Names that become equal
/// share one label, their values joined by `;` in the order of the original names. More of them than a
/// series may have labels are refused before that.
pub(super) fn labels(raw: &[u8], limits: &Limits) -> Result<Labels<'static>, Refused> {
    to_labels(read(raw)?, limits)
}

/// `job` and `instance`, as far as the resource tells them.
pub(super) type Identity = Vec<(&'static str, String)>;

/// A resource's identity.
pub(super) fn identity(resource: &[u8]) -> Result<Identity, Refused> {
    let attributes = of_resource(resource)?;
    let get = |name: &str| {
        let found = attributes.iter().find(|attribute| attribute.0 == name);
        found
            .map(|attribute| attribute.1.as_str())
            .filter(|value| !value.is_empty())
    };
    let mut identity = Vec::new();
    if let Some(name) = get("service.name") {
        let job = match get("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        identity.push(("job", job));
    }
    if let Some(instance) = get("service.instance.id") {
        identity.push(("instance", instance.to_owned()));
    }
    Ok(identity)
}

/// The resource's attributes that are not in [`identity`], as labels.
pub(super) fn others(resource: &[u8], limits: &Limits) -> Result<Labels<'static>, Refused> {
    let mut attributes = of_resource(resource)?;
    attributes.retain(|attribute| !IDENTIFYING.contains(&attribute.0.as_str()));
    to_labels(attributes, limits)
}

type Attributes = Vec<(String, String)>;

/// A resource's other fields are numbers, so that its message can be read as attribute fields.
fn of_resource(resource: &[u8]) -> Result<Attributes, Refused> {
    let mut attributes = Vec::new();
    let mut reader = Reader::new(resource);
    while let Some((field, value)) = reader.next().map_err(broken)? {
        if field == 1 {
            attributes.push(key_value(value.bytes().map_err(broken)?, 0).map_err(broken)?);
        }
    }
    Ok(attributes)
}

fn read(raw: &[u8]) -> Result<Attributes, Refused> {
    let mut attributes = Vec::new();
    let mut reader = Reader::new(raw);
    while let Some((_, value)) = reader.next().map_err(broken)? {
        attributes.push(key_value(value.bytes().map_err(broken)?, 0).map_err(broken)?);
    }
    Ok(attributes)
}

fn broken(what: &'static str) -> Refused {
    (
        RejectReason::BadLabel,
        format!("an attribute can't be read: {what}"),
    )
}

fn to_labels(mut attributes: Attributes, limits: &Limits) -> Result<Labels<'static>, Refused> {
    let (n, most) = (attributes.len(), limits.labels_per_series);
    if n > most {
        let detail = format!("{n} attributes; the limit is {most}");
        return Err((RejectReason::TooManyLabels, detail));
    }
    attributes.sort_unstable();
    if let Some(pair) = attributes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let detail = format!("attribute `{}` is given twice", pair[0].0);
        return Err((RejectReason::DuplicateLabel, detail));
    }
    let mut labels: Labels<'static> = Vec::with_capacity(attributes.len() + 4);
    for (name, value) in attributes {
        let name = label_name(&name);
        if name.is_empty() {
            return Err((RejectReason::BadLabel, "an attribute without name".into()));
        }
        match labels.iter_mut().find(|label| label.0 == name) {
            Some(label) => {
                label.1.to_mut().push(';');
                label.1.to_mut().push_str(&value);
            }
            None => labels.push((Cow::Owned(name), Cow::Owned(value))),
        }
    }
    Ok(labels)
}

fn key_value(message: &[u8], depth: usize) -> Result<(String, String), &'static str> {
    let (mut name, mut text) = (String::new(), String::new());
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = utf8(value)?,
            2 => {
                text.clear();
                any_value(value.bytes()?, &mut text, depth)?;
            }
            _ => {}
        }
    }
    Ok((name, text))
}

fn utf8(value: Value<'_>) -> Result<String, &'static str> {
    Ok(std::str::from_utf8(value.bytes()?)
        .map_err(|_| "not UTF-8")?
        .to_owned())
}

/// A value as text: text as it is at the top, what is nested as JSON.
fn any_value(message: &[u8], out: &mut String, depth: usize) -> Result<(), &'static str> {
    if depth > DEPTH {
        return Err("nested too deeply");
    }
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.next()? {
        match (field, value) {
            (1, value) if depth == 0 => out.push_str(&utf8(value)?),
            (1, value) => out.push_str(&quoted(&utf8(value)?)),
            (2, Value::Varint(flag)) => out.push_str(if flag == 0 { "false" } else { "true" }),
            (3, Value::Varint(number)) => _ = write!(out, "{}", number.cast_signed()),
            (4, Value::Fixed64(bits)) => out.push_str(&double(f64::from_bits(bits))),
            (5, Value::Bytes(array)) => list(array, out, depth)?,
            (6, Value::Bytes(map)) => object(map, out, depth)?,
            (7, Value::Bytes(bytes)) => base64(bytes, out),
            _ => {}
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// A double as Go's JSON has it: an exponent only for the very small and the very large.
fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        };
    }
    match number {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        _ => number.to_string(),
    }
}

fn list(array: &[u8], out: &mut String, depth: usize) -> Result<(), &'static str> {
    let mut comma = "[";
    let mut reader = Reader::new(array);
    while let Some((field, value)) = reader.next()? {
        if field == 1 {
            out.push_str(comma);
            any_value(value.bytes()?, out, depth + 1)?;
            comma = ",";
        }
    }
    out.push_str(if comma == "[" { "[]" } else { "]" });
    Ok(())
}

fn object(map: &[u8], out: &mut String, depth: usize) -> Result<(), &'static str> {
    let mut members = Vec::new();
    let mut reader = Reader::new(map);
    while let Some((field, value)) = reader.next()? {
        if field == 1 {
            members.push(key_value(value.bytes()?, depth + 1)?);
        }
    }
    // Text order, as maps are printed in Go.
    members.sort_unstable();
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    _ = write!(out, "{{{}}}", members.join(","));
    Ok(())
}

fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let three = [
            chunk[0],
            *chunk.get(1).unwrap_or(&0),
            *chunk.get(2).unwrap_or(&0),
        ];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
}

//! Prometheus remote write 1.0: a `WriteRequest`, decompressed.
//!
//! The raw bytes of a time series' label fields are its key, so a known series costs one
//! comparison; what follows the labels are samples. A request whose protobuf is broken anywhere is
//! rejected whole. A native histogram is a reject, and its series' other samples go on.

use std::borrow::Cow;

use tidegauge_model::{Metadata, MetricType, RejectReason};

use crate::context::{Context, Fault, Refused};
use crate::intern::Keys;
use crate::protobuf::{Reader, fault};
use crate::relabel::Labels;
use crate::table::Target;
use crate::time::valid_time;

/// Decodes one request into `context`.
pub(crate) fn decode(context: &mut Context<'_>, body: &[u8], key: &mut Vec<u8>) {
    let mark = context.mark();
    if let Err(fault) = request(context, body, key) {
        context.malformed(mark, None, fault);
    }
}

fn request(context: &mut Context<'_>, body: &[u8], key: &mut Vec<u8>) -> Result<(), Fault> {
    let keys = if context.record.delta {
        Keys::RemoteWriteDelta
    } else {
        Keys::RemoteWrite
    };
    let mut reader = Reader::new(body);
    let mut item = 0;
    loop {
        let rest = reader.rest;
        let at = |what| fault(body, rest, what);
        match reader.next().map_err(at)? {
            None => return Ok(()),
            Some((1, value)) => {
                let series = value.bytes().map_err(at)?;
                time_series(context, keys, series, item, key).map_err(at)?;
                item += 1;
            }
            Some((3, value)) => {
                metadata(context, value.bytes().map_err(at)?).map_err(at)?;
            }
            Some((4 | 5, _)) if item == 0 => {
                return Err(at(
                    "a remote write 2.0 request, which is not taken; send 1.0:",
                ));
            }
            Some(_) => {}
        }
    }
}

#[inline]
fn time_series(
    context: &mut Context<'_>,
    keys: Keys,
    message: &[u8],
    item: usize,
    key: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let table = context.interner.table(keys);
    let (place, expected) = table.predicted();
    if !expected.is_empty()
        && let Some(tail) = message.strip_prefix(expected)
        // A label after the expected ones makes it another series.
        && tail.first() != Some(&LABEL_TAG)
    {
        let mark = context.mark();
        let target = context.interner.table(keys).take(place, context.tick);
        if points(context, target, tail, item) == Ok(true) {
            return Ok(());
        }
        // Faults are told as if nothing had been expected, so that a restart can't show.
        context.rollback(mark);
    }
    unexpected(context, keys, message, item, key)
}

const LABEL_TAG: u8 = 0x0a;
const SAMPLE_TAG: u8 = 0x12;

/// Takes the samples of one series; false if labels come among them.
#[inline]
fn points(
    context: &mut Context<'_>,
    target: Target,
    tail: &[u8],
    item: usize,
) -> Result<bool, &'static str> {
    let mut reader = Reader::new(tail);
    loop {
        if let [SAMPLE_TAG, len, rest @ ..] = reader.rest
            && let Some((sample, rest)) = rest.split_at_checked(usize::from(*len))
            && let Some((time, value)) = usual_sample(sample)
            && valid_time(time)
        {
            context.push(target, time, value);
            reader.rest = rest;
            if rest.is_empty() {
                return Ok(true);
            }
            continue;
        }
        match reader.next()? {
            None => return Ok(true),
            Some((1, _)) => return Ok(false),
            Some((2, value)) => {
                let (time, value) = any_sample(value.bytes()?)?;
                if valid_time(time) {
                    context.push(target, time, value);
                } else {
                    let detail = format!(
                        "time series {item}: timestamp {time} ms is outside years 1678–2261"
                    );
                    context.reject(Some(item), RejectReason::BadTimestamp, detail);
                }
            }
            Some((3, _)) => context.out.skipped.exemplars += 1,
            Some((4, _)) => {
                let detail =
                    format!("time series {item} has a native histogram; send classic buckets");
                context.reject(Some(item), RejectReason::NativeHistogram, detail);
            }
            Some(_) => {}
        }
    }
}

/// A sample as all senders write it: value, then time.
#[inline]
fn usual_sample(sample: &[u8]) -> Option<(i64, f64)> {
    let [0x09, rest @ ..] = sample else {
        return None;
    };
    let (bits, rest) = rest.split_first_chunk::<8>()?;
    let [0x10, varint @ ..] = rest else {
        return None;
    };
    let mut time = 0u64;
    // Times of our century have six bytes; nine are at most 63 bits.
    if varint.len() > 9 {
        return None;
    }
    for (index, &byte) in varint.iter().enumerate() {
        time |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (index + 1 == varint.len())
                .then_some((time.cast_signed(), f64::from_le_bytes(*bits)));
        }
    }
    None
}

/// A sample in any order, with what is zero left out.
fn any_sample(sample: &[u8]) -> Result<(i64, f64), &'static str> {
    let (mut time, mut value) = (0, 0.0);
    let mut reader = Reader::new(sample);
    while let Some((field, payload)) = reader.next()? {
        match field {
            1 => value = f64::from_bits(payload.fixed64()?),
            2 => time = payload.varint()?.cast_signed(),
            _ => {}
        }
    }
    Ok((time, value))
}

/// A series that was not expected here: looks it up by its labels' bytes, and learns it if it is
/// new.
#[cold]
fn unexpected(
    context: &mut Context<'_>,
    keys: Keys,
    message: &[u8],
    item: usize,
    key: &mut Vec<u8>,
) -> Result<(), &'static str> {
    key.clear();
    let mut tail = Vec::new();
    let mut reader = Reader::new(message);
    let mut samples = 0;
    loop {
        let before = reader.rest;
        let Some((field, _)) = reader.next()? else {
            break;
        };
        let raw = &before[..before.len() - reader.rest.len()];
        if field == 1 {
            key.extend_from_slice(raw)
        } else {
            tail.extend_from_slice(raw)
        }
        samples += usize::from(field == 2);
    }
    let target = match context.interner.table(keys).find(key, context.tick) {
        Some(target) => target,
        None => match new_series(context, keys, key, item)? {
            Ok(target) => target,
            Err((reason, detail)) => {
                let detail = format!("time series {item} ({samples} samples): {detail}");
                context.reject(Some(item), reason, detail);
                return Ok(());
            }
        },
    };
    let _no_labels_left = points(context, target, &tail, item)?;
    Ok(())
}

fn new_series(
    context: &mut Context<'_>,
    keys: Keys,
    key: &[u8],
    item: usize,
) -> Result<Result<Target, Refused>, &'static str> {
    let mut labels: Labels<'_> = Vec::new();
    let mut reader = Reader::new(key);
    while let Some((_, label)) = reader.next()? {
        let mut parts = [&[][..]; 2];
        let mut fields = Reader::new(label.bytes()?);
        while let Some((field, part)) = fields.next()? {
            if let 1 | 2 = field {
                parts[field as usize - 1] = part.bytes()?;
            }
        }
        let [Ok(name), Ok(value)] = parts.map(std::str::from_utf8) else {
            let detail = format!("a label of time series {item} is not UTF-8");
            return Ok(Err((RejectReason::BadLabel, detail)));
        };
        labels.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }
    let learnt = context.learn(keys, key, labels, None, context.record.delta);
    Ok(learnt.map_err(|refused| (refused.reason, refused.detail)))
}

fn metadata(context: &mut Context<'_>, message: &[u8]) -> Result<(), &'static str> {
    let (mut kind, mut parts) = (0, [&[][..]; 3]);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => kind = value.varint()?,
            2 => parts[0] = value.bytes()?,
            4 => parts[1] = value.bytes()?,
            5 => parts[2] = value.bytes()?,
            _ => {}
        }
    }
    let [family, help, unit] = parts;
    if family.is_empty() || family.len() > context.rules.limits.name_bytes {
        return Ok(());
    }
    let family = String::from_utf8_lossy(family);
    let [help, unit] = [help, unit].map(|text| context.rules.told(text));
    let metadata = Metadata {
        metric_type: metric_type(kind),
        unit: unit.into_owned(),
        help: help.into_owned(),
    };
    let now = context.record.received_at;
    context
        .interner
        .tell(&family, metadata, now, &mut context.out.definitions);
    Ok(())
}

/// The numbers of `MetricMetadata.MetricType`, in their order.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn metric_type(number: u64) -> MetricType {
    let known = usize::try_from(number)
        .ok()
        .and_then(|number| TYPES.get(number));
    known.copied().unwrap_or_default()
}

/// The number of a type in `MetricMetadata`.
pub(crate) fn type_number(metric_type: MetricType) -> u64 {
    TYPES
        .iter()
        .position(|&known| known == metric_type)
        .unwrap_or(0) as u64
}

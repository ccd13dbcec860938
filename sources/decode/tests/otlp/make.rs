//! Requests in protobuf, and what they must become.

use tidegauge_decode::{Decoded, Format};

use crate::common::encode::otlp::{Data, KeyValue, Metric, Number, Numbers, request};
use crate::common::{decode, one, record, rows};

pub(crate) const NS: u64 = 1_000_000;

pub(crate) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        description: "help".into(),
        data: Some(data),
    }
}

pub(crate) fn number(double: f64, attributes: Vec<KeyValue>) -> Number {
    Number {
        time: 5 * NS,
        double: Some(double),
        attributes,
        ..Number::default()
    }
}

pub(crate) fn gauge(points: Vec<Number>) -> Data {
    Data::Gauge(Numbers {
        points,
        ..Numbers::default()
    })
}

pub(crate) fn sum(temporality: i32, monotonic: bool, points: Vec<Number>) -> Data {
    Data::Sum(Numbers {
        points,
        temporality,
        monotonic,
    })
}

/// Decodes twice with one decoder; both must bring the same.
pub(crate) fn twice(body: &[u8]) -> Decoded {
    for format in [Format::Otlp, Format::Auto] {
        let out = decode(format, &[record(body), record(body)]);
        let rows = rows(&out);
        assert_eq!(rows[..rows.len() / 2], rows[rows.len() / 2..]);
    }
    decode(Format::Otlp, &[record(body)])
}

pub(crate) fn check(resource: Vec<KeyValue>, metrics: Vec<Metric>, expected: &[&str]) -> Decoded {
    let body = request(resource, metrics);
    let out = twice(&body);
    assert_eq!(one(Format::Otlp, &body).0, expected);
    out
}

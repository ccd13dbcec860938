//! A scrape as JSON records, in the form of the topic `metrics`.
//!
//! What does not change between scrapes comes first in each object and always in the same words,
//! so that a decoder knows a series again by comparing bytes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::scrape::{Sample, Scrape};

/// A record is closed once it is this long; well below the megabyte that brokers take by default.
const RECORD_BYTES: usize = 256 << 10;

/// A JSON array of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) json: String,
    /// How many it holds.
    pub(crate) samples: u32,
}

/// Writes `scrape` at `time_ms` as one array or a few; `common` are labels for every sample, which
/// give way to a sample's own.
pub(crate) fn encode(
    scrape: &Scrape,
    time_ms: i64,
    common: &BTreeMap<String, String>,
) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut body = Body {
        json: String::new(),
        samples: 0,
    };
    for sample in &scrape.samples {
        body.json.push(if body.samples == 0 { '[' } else { ',' });
        object(&mut body.json, sample, time_ms, common);
        body.samples += 1;
        if body.json.len() >= RECORD_BYTES {
            body.json.push(']');
            bodies.push(std::mem::replace(
                &mut body,
                Body {
                    json: String::new(),
                    samples: 0,
                },
            ));
        }
    }
    if body.samples > 0 {
        body.json.push(']');
        bodies.push(body);
    }
    bodies
}

fn object(json: &mut String, sample: &Sample, time_ms: i64, common: &BTreeMap<String, String>) {
    json.push_str("{\"name\":");
    text(json, &sample.family.name);
    json.push_str(",\"labels\":{");
    let own = sample
        .labels
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let common = common
        .iter()
        .filter(|(name, _)| sample.labels.iter().all(|(own, _)| own != name))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (at, (name, value)) in own.chain(common).enumerate() {
        if at > 0 {
            json.push(',');
        }
        text(json, name);
        json.push(':');
        text(json, value);
    }
    json.push_str("},\"type\":\"");
    json.push_str(sample.family.metric_type.as_str());
    json.push_str("\",\"help\":");
    text(json, &sample.family.help);
    // Writing to a string can't fail.
    let _ = write!(json, ",\"timestamp\":{time_ms},\"value\":");
    number(json, sample.value);
    json.push('}');
}

/// The shortest digits that read back as the same number; JSON has no word for the rest.
fn number(json: &mut String, value: f64) {
    let size = value.abs();
    let _ = if !value.is_finite() {
        write!(
            json,
            "\"{}\"",
            if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            }
        )
    } else if size == 0.0 || (1e-5..1e16).contains(&size) {
        write!(json, "{value}")
    } else {
        write!(json, "{value:e}")
    };
}

fn text(json: &mut String, text: &str) {
    let quoted = serde_json::to_string(text).expect("text has a JSON form");
    json.push_str(&quoted);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::scrape::Family;

    fn scrape(values: &[f64]) -> Scrape {
        let family = Family::gauge("node_x", "Help with \"quotes\".");
        let mut scrape = Scrape::default();
        for &value in values {
            scrape.push(&family, &[("device", "a\\b"), ("job", "own")], value);
        }
        scrape
    }

    fn common() -> BTreeMap<String, String> {
        let labels = [("instance", "host-1"), ("job", "tidegauge-agent")];
        labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_sample_reads_as_the_issue_has_it() {
        let bodies = encode(&scrape(&[0.75]), 1_613_707_265_000, &common());
        let [body] = &bodies[..] else {
            panic!("one body, not {}", bodies.len())
        };
        let expected = serde_json::json!([{
            "name": "node_x",
            "labels": {"device": "a\\b", "instance": "host-1", "job": "own"},
            "type": "gauge", "help": "Help with \"quotes\".",
            "timestamp": 1_613_707_265_000_i64, "value": 0.75,
        }]);
        assert_eq!(
            serde_json::from_str::<Value>(&body.json).expect("JSON"),
            expected
        );
    }

    #[test]
    fn numbers_read_back_bit_for_bit() {
        for value in [
            0.0,
            -0.0,
            1.0,
            0.1 + 0.2,
            1e300,
            -5e-324,
            1.91e-7,
            2.5e16,
            123_456_789.5,
        ] {
            let mut json = String::new();
            number(&mut json, value);
            let read: f64 = serde_json::from_str(&json).expect("a number");
            assert_eq!(read.to_bits(), value.to_bits(), "{json}");
            assert!(json.len() < 30, "{json}");
        }
        for (value, word) in [
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut json = String::new();
            number(&mut json, value);
            assert_eq!(json, format!("\"{word}\""));
        }
    }

    #[test]
    fn long_scrapes_become_several_records() {
        let bodies = encode(&scrape(&vec![1.0; 5000]), 1, &common());
        assert!(bodies.len() > 1);
        assert_eq!(bodies.iter().map(|body| body.samples).sum::<u32>(), 5000);
        for body in &bodies {
            assert!(body.json.len() < RECORD_BYTES + 1024);
            let read: Vec<Value> = serde_json::from_str(&body.json).expect("JSON");
            assert_eq!(read.len(), body.samples as usize);
        }
    }
}

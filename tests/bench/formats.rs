//! Samples as messages of each wire format.

#![allow(dead_code, reason = "the encoders are shared with the decoders' tests")]

#[path = "../../sources/decode/tests/common/encode.rs"]
mod encode;

pub(crate) use encode::Row;
use encode::{influx, json, otlp_gauges, snappy, write_request};

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A scrape of a host as Prometheus sends it.
    RemoteWrite,
    /// A scrape as an OTLP request, uncompressed.
    Otlp,
    /// A scrape as Influx lines.
    Influx,
    /// A scrape as one JSON array.
    Json,
    /// One sample as a JSON object.
    JsonOne,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RemoteWrite => "remote-write",
            Self::Otlp => "otlp",
            Self::Influx => "influx",
            Self::Json => "json",
            Self::JsonOne => "json-one",
        }
    }

    /// The record's header `content-type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::RemoteWrite => "application/x-protobuf;proto=prometheus.WriteRequest",
            Self::Otlp => "application/x-protobuf",
            Self::Influx => "text/plain",
            Self::Json | Self::JsonOne => "application/json",
        }
    }

    /// The messages of one scrape.
    pub(crate) fn encode(self, rows: &[Row]) -> Vec<Vec<u8>> {
        match self {
            Self::RemoteWrite => vec![snappy(&write_request(rows))],
            Self::Otlp => vec![otlp_gauges(rows)],
            Self::Influx => vec![influx(rows)],
            Self::Json => {
                let objects: Vec<String> = rows.iter().map(json).collect();
                vec![format!("[{}]", objects.join(",")).into_bytes()]
            }
            Self::JsonOne => rows.iter().map(|row| json(row).into_bytes()).collect(),
        }
    }
}

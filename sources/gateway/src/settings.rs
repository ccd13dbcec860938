//! What a gateway is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of the HTTP doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// The topic to produce into.
    pub topic: String,
    /// The tenant of requests that name none.
    pub tenant: String,
    /// The longest body taken, in bytes as sent; how long one may be after decompression is the
    /// limit `record_bytes` of all sources.
    pub body_bytes: usize,
    /// How long nothing of a body may come, in milliseconds, before its request is answered 408.
    pub body_idle_ms: u64,
    /// Bytes of bodies under way at once. Requests beyond are answered 503.
    pub inflight_bytes: usize,
    /// The longest record produced, in bytes before compression; must stay below the topic's
    /// `max.message.bytes`.
    pub record_bytes: usize,
    /// How long a request waits for Kafka's acknowledgement, in milliseconds, before it is answered
    /// 503. Telegraf gives up after 5 s, the OpenTelemetry Collector after 10 s.
    pub delivery_timeout_ms: u64,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u64,
    /// Bodies decoded at once.
    pub decoders: usize,
    /// Memory in which decoders remember series between requests, in bytes.
    pub decoder_bytes: usize,
    /// librdkafka's own properties for the producer, as for TLS and SASL.
    pub kafka: BTreeMap<String, String>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            topic: "metrics".into(),
            tenant: "default".into(),
            body_bytes: 16 << 20,
            body_idle_ms: 30_000,
            inflight_bytes: 64 << 20,
            record_bytes: 512 << 10,
            delivery_timeout_ms: 3000,
            retry_after_s: 1,
            decoders: 4,
            decoder_bytes: 256 << 20,
            kafka: BTreeMap::new(),
        }
    }
}

//! Into Kafka, with everything acknowledged before anyone is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::cut::Outgoing;
use crate::settings::GatewaySettings;

/// How long a number of partitions is believed.
const PARTITIONS_FRESH_MS: i64 = 60_000;

/// How long a request that could go on without it waits for the number to be asked again.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);

const CONTENT_TYPE: &str = "application/x-protobuf;proto=prometheus.WriteRequest";

/// A producer that is replaced when it has failed for good.
pub(crate) struct Producer {
    config: ClientConfig,
    topic: String,
    timeout: Duration,
    current: Mutex<FutureProducer>,
    partitions: Mutex<Option<Partitions>>,
    /// Counts failed deliveries.
    failures: AtomicU64,
}

/// Why not all records were produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Some are larger than the producer or the topic takes, and will be again; the others are in
    /// Kafka.
    TooLarge(String),
    /// Kafka can't take them now.
    Away(String),
}

#[derive(Clone, Copy)]
struct Partitions {
    count: u32,
    asked_at: i64,
}

impl Producer {
    pub(crate) fn new(brokers: &str, settings: &GatewaySettings) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "tidegauge-gateway")
            .set("linger.ms", "2")
            .set("compression.type", "none")
            // A batch stands or falls whole: none is longer than a record may be, so that nobody's
            // is refused for what came along with it.
            .set("batch.size", settings.record_bytes.to_string())
            .set(
                "message.timeout.ms",
                settings.delivery_timeout_ms.to_string(),
            )
            .set("reconnect.backoff.max.ms", "2000");
        config.extend(
            settings
                .kafka
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        // What the guarantees rest on is not for setting.
        config
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all");
        Ok(Self {
            current: Mutex::new(config.create()?),
            config,
            topic: settings.topic.clone(),
            timeout: Duration::from_millis(settings.delivery_timeout_ms),
            partitions: Mutex::new(None),
            failures: AtomicU64::new(0),
        })
    }

    /// How many partitions the topic has, asked again each minute. While nobody answers, the last
    /// answer counts.
    pub(crate) async fn partitions(&self, now: i64) -> Result<u32, String> {
        let known = *self.partitions.lock();
        if let Some(known) = known.filter(|known| now - known.asked_at < PARTITIONS_FRESH_MS) {
            return Ok(known.count);
        }
        let patience = known.map_or(self.timeout, |_| REFRESH_TIMEOUT.min(self.timeout));
        match self.ask_partitions(patience).await {
            Ok(count) => {
                *self.partitions.lock() = Some(Partitions {
                    count,
                    asked_at: now,
                });
                Ok(count)
            }
            Err(reason) => known.map(|known| known.count).ok_or(reason),
        }
    }

    async fn ask_partitions(&self, timeout: Duration) -> Result<u32, String> {
        let producer = self.producer();
        let topic = self.topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(Some(&topic), timeout);
            let metadata = metadata.map_err(|error| error.to_string())?;
            let found = metadata.topics().iter().find(|known| known.name() == topic);
            let count = found.map_or(0, |known| known.partitions().len());
            // A broker that makes topics when they are asked for says none the first time.
            u32::try_from(count)
                .ok()
                .filter(|&count| count > 0)
                .ok_or_else(|| format!("the topic `{topic}` has no partitions"))
        });
        asked.await.map_err(|error| error.to_string())?
    }

    /// Produces records and waits until all are acknowledged. One that is too large does not stop
    /// the others.
    pub(crate) async fn send(&self, tenant: &str, records: &[Outgoing]) -> Result<(), SendError> {
        let producer = self.producer();
        let mut pending = Vec::with_capacity(records.len());
        let (mut large, mut failed) = (None, None);
        for record in records {
            let message = FutureRecord::<(), _>::to(&self.topic)
                .partition(record.partition)
                .payload(&record.body)
                .headers(headers(tenant, record.delta));
            match producer.send_result(message) {
                Ok(delivery) => pending.push((record.body.len(), delivery)),
                Err((error, _)) if is_too_large(&error) => large = Some(record.body.len()),
                Err((error, _)) => {
                    failed = Some(error.to_string());
                    break;
                }
            }
        }
        for (bytes, delivery) in pending {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) if is_too_large(&error) => large = Some(bytes),
                Ok(Err((error, _))) => failed = Some(error.to_string()),
                Err(_) => failed = Some("the producer was closed".into()),
            }
        }
        let topic = &self.topic;
        let error = match (failed, large) {
            (None, None) => return Ok(()),
            (None, Some(bytes)) => SendError::TooLarge(format!(
                "a record of {bytes} bytes for `{topic}` is larger than Kafka takes; send smaller \
                 batches, or raise the topic's `max.message.bytes` and the gateway's \
                 `message.max.bytes`"
            )),
            (Some(reason), _) => {
                // If partitions were what was wrong, they are asked for again.
                if let Some(known) = self.partitions.lock().as_mut() {
                    known.asked_at = i64::MIN / 2;
                }
                SendError::Away(format!("producing into `{topic}`: {reason}"))
            }
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }

    /// Changes whenever a delivery fails.
    pub(crate) fn round(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The producer, made anew if an idempotent one can't go on.
    fn producer(&self) -> FutureProducer {
        let mut current = self.current.lock();
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::warn!(%code, reason, "the gateway's producer failed; making a new one");
            match self.config.create() {
                Ok(producer) => *current = producer,
                Err(error) => tracing::error!(%error, "making a new producer"),
            }
        }
        current.clone()
    }
}

/// Told by librdkafka before it sends, or by the broker after.
fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

fn headers(tenant: &str, delta: bool) -> OwnedHeaders {
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    let headers = OwnedHeaders::new()
        .insert(header("content-type", CONTENT_TYPE))
        .insert(header("content-encoding", "snappy"))
        .insert(header("tenant", tenant));
    if delta {
        headers.insert(header("tidegauge-temporality", "delta"))
    } else {
        headers
    }
}

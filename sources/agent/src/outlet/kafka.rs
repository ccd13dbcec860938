//! Into a Kafka topic, each entry one record, all with this instance as their key, so that a series
//! stays in one partition.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use super::{Failure, Outcome};
use crate::error::AgentError;
use crate::settings::AgentSettings;
use crate::spool::Entry;

/// How long librdkafka itself goes on trying; after that we do.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A producer that acknowledges only what every replica holds.
pub(crate) struct Kafka {
    config: ClientConfig,
    producer: FutureProducer,
    topic: String,
    key: String,
    headers: OwnedHeaders,
}

impl Kafka {
    pub(crate) fn open(
        settings: &AgentSettings,
        brokers: &str,
        instance: &str,
    ) -> Result<Self, AgentError> {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "tidegauge-agent")
            .set("compression.type", "zstd")
            .set("linger.ms", "0")
            .set(
                "message.timeout.ms",
                MESSAGE_TIMEOUT.as_millis().to_string(),
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
        let mut headers = OwnedHeaders::new().insert(Header {
            key: "content-type",
            value: Some("application/json"),
        });
        if let Some(tenant) = &settings.tenant {
            headers = headers.insert(Header {
                key: "tenant",
                value: Some(tenant),
            });
        }
        Ok(Self {
            producer: create(&config)?,
            config,
            topic: settings.topic.clone(),
            key: instance.to_owned(),
            headers,
        })
    }

    pub(crate) async fn deliver(&mut self, entries: &[Entry]) -> Outcome {
        self.renew();
        let mut outcome = Outcome::default();
        let mut pending = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.send(entry) {
                Ok(delivery) => pending.push(delivery),
                Err(reason) => {
                    outcome.failure = Some(Failure {
                        reason,
                        retry_after: None,
                    });
                    break;
                }
            }
        }
        for delivery in pending {
            let reason = match delivery.await {
                Ok(Ok(_)) => {
                    outcome.settled += 1;
                    continue;
                }
                Ok(Err((error, _))) => error.to_string(),
                Err(_) => "the producer was closed".to_owned(),
            };
            // What comes after is sent again with it, in order.
            outcome.failure = Some(Failure {
                reason,
                retry_after: None,
            });
            break;
        }
        outcome
    }

    fn send(
        &self,
        entry: &Entry,
    ) -> Result<rdkafka::producer::future_producer::DeliveryFuture, String> {
        let json = zstd::decode_all(&*entry.payload).map_err(|error| error.to_string())?;
        let record = FutureRecord::to(&self.topic)
            .key(&self.key)
            .payload(&json)
            .headers(self.headers.clone());
        self.producer
            .send_result(record)
            .map_err(|(error, _)| error.to_string())
    }

    /// After an error that an idempotent producer can't recover from, a new one is needed.
    fn renew(&mut self) {
        let Some((code, reason)) = self.producer.client().fatal_error() else {
            return;
        };
        tracing::warn!(%code, reason, "the producer failed; making a new one");
        match create(&self.config) {
            Ok(producer) => self.producer = producer,
            Err(error) => tracing::warn!(%error, "making a new producer"),
        }
    }
}

fn create(config: &ClientConfig) -> Result<FutureProducer, KafkaError> {
    config.create()
}

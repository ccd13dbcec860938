//! Into a Kafka topic, each entry one record, all with this instance as their key, so that a series
//! stays in one partition.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use super::Outcome;
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
        let mut trouble = None;
        for entry in entries {
            match self.send(entry) {
                Ok(delivery) => pending.push(delivery),
                Err(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        let mut pending = pending.into_iter();
        for delivery in pending.by_ref() {
            match judge(delivery.await) {
                Ok(()) => outcome.settled += 1,
                Err(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        // What comes after the first trouble is sent again with it, in order.
        match trouble {
            None => {}
            Some(Trouble::Later(reason)) => outcome.fail(reason),
            Some(Trouble::Refused(_)) => {
                for delivery in pending {
                    let _ = delivery.await;
                }
                let left = &entries[outcome.settled..];
                self.deliver_singly(left, &mut outcome).await;
            }
        }
        outcome
    }

    /// Records of one batch are refused together. By itself only the one at fault is.
    async fn deliver_singly(&self, entries: &[Entry], outcome: &mut Outcome) {
        for entry in entries {
            let sent = match self.send(entry) {
                Ok(delivery) => judge(delivery.await),
                Err(trouble) => Err(trouble),
            };
            match sent {
                Ok(()) => {}
                Err(Trouble::Refused(reason)) => {
                    tracing::warn!(reason, "the broker refused a scrape");
                    outcome.refused_samples += u64::from(entry.samples);
                }
                Err(Trouble::Later(reason)) => return outcome.fail(reason),
            }
            outcome.settled += 1;
        }
    }

    fn send(&self, entry: &Entry) -> Result<DeliveryFuture, Trouble> {
        let json = zstd::decode_all(&*entry.payload)
            .map_err(|error| Trouble::Refused(error.to_string()))?;
        let record = FutureRecord::to(&self.topic)
            .key(&self.key)
            .payload(&json)
            .headers(self.headers.clone());
        let sent = self.producer.send_result(record);
        sent.map_err(|(error, _)| Trouble::of(&error))
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

/// Why a record did not arrive.
enum Trouble {
    /// It will be refused again.
    Refused(String),
    Later(String),
}

impl Trouble {
    fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::Refused(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}

fn judge(delivery: Result<OwnedDeliveryResult, impl Sized>) -> Result<(), Trouble> {
    match delivery {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(Trouble::of(&error)),
        Err(_) => Err(Trouble::Later("the producer was closed".to_owned())),
    }
}

fn create(config: &ClientConfig) -> Result<FutureProducer, KafkaError> {
    config.create()
}

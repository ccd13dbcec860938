//! A producer that gives nothing up: every record is acknowledged in the end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::util::Timeout;

/// An idempotent producer over crashes of its broker.
pub(crate) struct Producer {
    inner: BaseProducer,
    queued: AtomicU64,
}

impl Producer {
    pub(crate) fn new(broker: SocketAddr) -> Self {
        let inner = ClientConfig::new()
            .set("bootstrap.servers", broker.to_string())
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .expect("a producer");
        Self {
            inner,
            queued: AtomicU64::new(0),
        }
    }

    /// Queues one record; the partition is chosen by the key.
    pub(crate) fn send(
        &self,
        topic: &str,
        key: &str,
        tenant: &str,
        content_type: &str,
        body: &[u8],
    ) {
        self.queue(BaseRecord::to(topic).key(key), tenant, content_type, body);
    }

    /// Queues one record for a partition.
    pub(crate) fn send_to(
        &self,
        topic: &str,
        partition: i32,
        tenant: &str,
        content_type: &str,
        body: &[u8],
    ) {
        let record = BaseRecord::to(topic).partition(partition);
        self.queue(record, tenant, content_type, body);
    }

    /// Queues one record of `metrics`' first partition that says it is of `stamp`, whatever that is.
    pub(crate) fn send_stamped(&self, stamp: i64, body: &[u8]) {
        let record = BaseRecord::to("metrics").partition(0).timestamp(stamp);
        self.queue(record, "default", "application/json", body);
    }

    fn queue<'a>(
        &self,
        record: BaseRecord<'a, str, [u8]>,
        tenant: &str,
        content_type: &str,
        body: &'a [u8],
    ) {
        let text = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(text("tenant", tenant))
            .insert(text("content-type", content_type));
        let mut record = record.payload(body).headers(headers);
        while let Err((error, back)) = self.inner.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "only a full queue refuses");
            self.inner.poll(std::time::Duration::from_millis(10));
            record = back;
        }
        self.inner.poll(std::time::Duration::ZERO);
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records were queued.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits until everything is acknowledged.
    pub(crate) fn flush(&self) {
        self.inner.flush(Timeout::Never).expect("acknowledged");
    }
}

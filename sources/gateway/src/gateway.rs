//! What stands behind every door: decode, cut, produce.

use std::sync::Arc;

use bytes::Bytes;
use tidegauge_decode::{Format, Record, Skipped};
use tidegauge_model::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::counters::{Counters, GatewayStats};
use crate::error::{GatewayError, PushError};
use crate::pool::Pool;
use crate::producer::{Producer, SendError};
use crate::session::{Batch, ItemError, Shape};
use crate::settings::GatewaySettings;

/// The wall clock in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Bodies under way are counted in these.
const PERMIT_BYTES: usize = 1024;

/// The way from a body to Kafka. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    settings: GatewaySettings,
    clock: Clock,
    producer: Producer,
    pool: Pool,
    decoding: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    counters: Counters,
}

/// A body to be pushed.
#[derive(Debug)]
pub(crate) struct Push {
    /// Whose samples these are.
    pub(crate) tenant: String,
    /// What the body is.
    pub(crate) format: Format,
    /// Its content type, with an Influx body's `precision` as a parameter.
    pub(crate) content_type: Option<String>,
    /// `identity`, `gzip`, `zstd`, `snappy` or `deflate`.
    pub(crate) content_encoding: &'static str,
    /// The bytes.
    pub(crate) body: Bytes,
    /// Its room among the bytes under way.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Samples that Kafka has acknowledged.
    pub accepted: usize,
    /// Items that were refused.
    pub rejected: usize,
    /// What was wrong with those; of very many only the first thousand, then one for the rest.
    pub errors: Vec<ItemError>,
    /// What was passed over on purpose.
    pub skipped: Skipped,
}

impl Gateway {
    /// A gateway that produces to `brokers`; it need not find them yet. `clock` stamps samples
    /// that come without a time.
    ///
    /// # Errors
    /// If a setting can't work.
    pub fn new(
        brokers: &str,
        settings: GatewaySettings,
        limits: Limits,
        clock: Clock,
    ) -> Result<Self, GatewayError> {
        at_least("record_bytes", settings.record_bytes, 16 << 10)?;
        at_least("body_bytes", settings.body_bytes, 1)?;
        at_least(
            "inflight_bytes",
            settings.inflight_bytes,
            settings.body_bytes,
        )?;
        at_least("decoders", settings.decoders, 1)?;
        let permits = settings.inflight_bytes.div_ceil(PERMIT_BYTES);
        let inner = Inner {
            producer: Producer::new(brokers, &settings)?,
            pool: Pool::new(limits, settings.decoder_bytes),
            decoding: Arc::new(Semaphore::new(settings.decoders)),
            bodies: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            counters: Counters::default(),
            clock,
            settings,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Decodes a body and produces what is right in it; returns once Kafka has acknowledged all of
    /// that.
    ///
    /// # Errors
    /// If nothing of the body can be read, if it is too large, or if Kafka can't take it now (in
    /// the last two cases some of it may have been taken nevertheless).
    pub(crate) async fn push(&self, push: Push) -> Result<Pushed, PushError> {
        let now = (self.inner.clock)();
        let partitions = self.inner.producer.partitions(now).await;
        let partitions = partitions.map_err(|reason| self.unavailable(reason))?;
        let (batch, push) = self.decode(push, now, partitions).await?;
        if batch.unreadable {
            return Err(unreadable(batch));
        }
        let sent = self.inner.producer.send(&push.tenant, &batch.records).await;
        sent.map_err(|error| match error {
            SendError::TooLarge(text) => PushError::TooLarge(text),
            SendError::Away(reason) => self.unavailable(reason),
        })?;
        let Batch {
            accepted,
            rejected,
            errors,
            skipped,
            ..
        } = batch;
        Ok(Pushed {
            accepted,
            rejected,
            errors,
            skipped,
        })
    }

    /// What the doors have done since the start.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        let (remembered_series, remembered_bytes) = self.inner.pool.remembered();
        GatewayStats {
            doors: self.inner.counters.stats(),
            remembered_series,
            remembered_bytes,
        }
    }

    pub(crate) fn settings(&self) -> &GatewaySettings {
        &self.inner.settings
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The room of a body of which nothing has come yet.
    pub(crate) fn no_room(&self) -> Result<OwnedSemaphorePermit, PushError> {
        self.permits(0)
    }

    /// Makes the room of a body enough for `bytes`; it is held until that is answered.
    pub(crate) fn grow(
        &self,
        room: &mut OwnedSemaphorePermit,
        bytes: usize,
    ) -> Result<(), PushError> {
        let more = bytes.div_ceil(PERMIT_BYTES) - room.num_permits();
        room.merge(self.permits(more)?);
        Ok(())
    }

    fn permits(&self, count: usize) -> Result<OwnedSemaphorePermit, PushError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Arc::clone(&self.inner.bodies)
            .try_acquire_many_owned(count)
            .map_err(|_| self.unavailable("too many bytes under way".into()))
    }

    pub(crate) fn unavailable(&self, reason: String) -> PushError {
        PushError::Unavailable {
            reason,
            retry_after_s: self.inner.settings.retry_after_s,
        }
    }

    /// Decodes a body once it is its turn. Should its client leave meanwhile, turn and room stay taken until
    /// the thread at work on it is done.
    async fn decode(
        &self,
        push: Push,
        now: i64,
        partitions: u32,
    ) -> Result<(Batch, Push), PushError> {
        let turn = Arc::clone(&self.inner.decoding)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let inner = Arc::clone(&self.inner);
        let decoded = tokio::task::spawn_blocking(move || {
            let batch = inner.take(&push, now, partitions);
            drop(turn);
            (batch, push)
        });
        decoded
            .await
            .map_err(|error| self.unavailable(format!("decoding: {error}")))
    }
}

impl Inner {
    fn take(&self, push: &Push, now: i64, partitions: u32) -> Batch {
        let record = Record {
            tenant: &push.tenant,
            content_type: push.content_type.as_deref(),
            content_encoding: Some(push.content_encoding),
            delta: false,
            timestamp: -1,
            received_at: now,
            offset: 0,
            value: &push.body,
        };
        let shape = Shape {
            partitions,
            record_bytes: self.settings.record_bytes,
        };
        let mut session = self.pool.take(&push.tenant, push.format);
        let batch = session.take(&record, shape, self.producer.round());
        self.pool.give(&push.tenant, push.format, session);
        batch
    }
}

fn unreadable(batch: Batch) -> PushError {
    match batch.errors.first() {
        Some(first) if first.too_large => PushError::TooLarge(first.error.clone()),
        _ => PushError::Unreadable {
            rejected: batch.rejected,
            errors: batch.errors,
        },
    }
}

const fn at_least(key: &'static str, value: usize, least: usize) -> Result<(), GatewayError> {
    if value < least {
        return Err(GatewayError::TooSmall { key, value, least });
    }
    Ok(())
}

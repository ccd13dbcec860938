//! A slow or absent store stalls, it never drops: every request but a conditional put is made
//! again, with backoff and full jitter, until it is answered or nobody waits for it any more.
//!
//! A conditional put is made once: whether one without an answer took place is for the commit to
//! find out. What is permanent (not found, exists already, not supported) is an answer.

use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::health::StoreHealth;
use crate::clock::Clock;

/// How requests are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// After how long an attempt without an answer is given up, milliseconds; those that carry
    /// much have a second more for each 256 KiB, so that a slow line can carry large files too.
    pub attempt_timeout_ms: u64,
    /// The most to wait before the second attempt, milliseconds; it doubles with each.
    pub first_backoff_ms: u64,
    /// The most to wait before any attempt, milliseconds.
    pub most_backoff_ms: u64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempt_timeout_ms: 30_000,
            first_backoff_ms: 50,
            most_backoff_ms: 10_000,
        }
    }
}

/// The slowest line that large files get over, bytes a second.
const SLOWEST_LINE: u64 = 256 << 10;

impl RetrySettings {
    /// How long an attempt that carries `bytes` may take.
    fn attempt_span(&self, bytes: u64) -> Duration {
        let carrying = bytes.saturating_mul(1_000) / SLOWEST_LINE;
        Duration::from_millis(self.attempt_timeout_ms.saturating_add(carrying))
    }

    /// How long to wait after the `failures`th failure in a row: anything up to the doubled bound
    /// ("full jitter"), so that many writers don't come back at once.
    pub(crate) fn backoff(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let doubled = 1_u64
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u64::MAX);
        let bound = self
            .first_backoff_ms
            .saturating_mul(doubled)
            .min(self.most_backoff_ms);
        Duration::from_millis(rng.random_range(0..=bound))
    }
}

/// A store whose requests are made again until they are answered.
#[derive(Clone, Debug)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    settings: RetrySettings,
    clock: Arc<dyn Clock>,
    rng: Arc<Mutex<SmallRng>>,
    health: Arc<StoreHealth>,
}

impl Retrying {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        settings: RetrySettings,
        clock: Arc<dyn Clock>,
        rng: SmallRng,
        health: Arc<StoreHealth>,
    ) -> Self {
        Self {
            inner,
            settings,
            clock,
            rng: Arc::new(Mutex::new(rng)),
            health,
        }
    }

    async fn retried<T, F>(&self, what: &str, path: &Path, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.retried_carrying(0, what, path, attempt).await
    }

    /// As [`Retrying::retried`] for a request of about so many bytes.
    async fn retried_carrying<T, F>(
        &self,
        bytes: u64,
        what: &str,
        path: &Path,
        attempt: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut failures = 0;
        loop {
            match self.once(bytes, attempt()).await {
                Err(error) if is_passing(&error) => {
                    failures += 1;
                    self.report_failure(what, path, failures, &error);
                    let wait = self.settings.backoff(failures, &mut *self.rng.lock());
                    self.clock.sleep(wait).await;
                }
                answer => {
                    self.report_answer(what);
                    return answer;
                }
            }
        }
    }

    /// One attempt, given up after what `bytes` may take.
    async fn once<T>(&self, bytes: u64, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let span = self.settings.attempt_span(bytes);
        match select(pin!(attempt), self.clock.sleep(span)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Error::Generic {
                store: "lake",
                source: format!("no answer within {span:?}").into(),
            }),
        }
    }

    /// A read up to `end`. Of an object that ends before there is no more to come: it is not asked again.
    async fn up_to<T>(
        &self,
        end: u64,
        at: &Path,
        read: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match read.await {
            Err(error) if end > 0 && is_passing(&error) => match self.inner.head(at).await {
                Ok(found) if found.size < end => Err(Error::Precondition {
                    path: at.to_string(),
                    source: format!(
                        "it has {} bytes and had at least {end}: something outside has cut it short; bring it back \
                         from a copy",
                        found.size
                    )
                    .into(),
                }),
                _ => Err(error),
            },
            answer => answer,
        }
    }

    fn report_failure(&self, what: &str, path: &Path, failures: u32, error: &Error) {
        self.health.failed(self.clock.now_ms(), error.to_string());
        // The first and then ever more rarely: an outage of an hour is a dozen lines.
        if failures.is_power_of_two() {
            tracing::warn!(what, %path, failures, %error, "the store does not answer; trying again");
        }
    }

    fn report_answer(&self, what: &str) {
        if let Some(outage_ms) = self.health.answered(self.clock.now_ms()) {
            tracing::info!(what, outage_ms, "the store answers again");
        }
    }
}

/// Whether the same request may have another answer later. A wrong key or right is counted in, as
/// both are mended while we run.
fn is_passing(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// Takes a body into memory, so that it too is made again if it breaks off. Local files stay files.
async fn buffered(found: GetResult) -> Result<GetResult> {
    if matches!(found.payload, GetResultPayload::File(..)) {
        return Ok(found);
    }
    let (meta, range, attributes) = (
        found.meta.clone(),
        found.range.clone(),
        found.attributes.clone(),
    );
    let body = found.bytes().await?;
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::once(async { Ok(body) }).boxed()),
        meta,
        range,
        attributes,
    })
}

/// No answer to a plain put is final: a bucket that is not found comes back, and a 409, which the
/// client reports as "exists already", means that two writes met.
fn not_final(error: Error) -> Error {
    match error {
        Error::NotFound { path, source } | Error::AlreadyExists { path, source } => {
            Error::Generic {
                store: "lake",
                source: format!("putting {path}: {source}").into(),
            }
        }
        other => other,
    }
}

#[async_trait]
impl ObjectStore for Retrying {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = body.content_length() as u64;
        let attempt = || self.inner.put_opts(at, body.clone(), options.clone());
        if options.mode == PutMode::Overwrite {
            self.retried_carrying(bytes, "put", at, || attempt().map_err(not_final))
                .await
        } else {
            self.once(bytes, attempt()).await
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = || self.inner.put_multipart_opts(at, options.clone());
        self.retried("begin upload", at, begin).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let get = || {
            let found = self.inner.get_opts(at, options.clone());
            async {
                let found = found.await?;
                if options.head {
                    Ok(found)
                } else {
                    buffered(found).await
                }
            }
        };
        let (bytes, end) = match &options.range {
            Some(GetRange::Bounded(range)) => (range.end.saturating_sub(range.start), range.end),
            Some(GetRange::Suffix(bytes)) => (*bytes, 0),
            _ => (0, 0),
        };
        let get = || self.up_to(end, at, get());
        self.retried_carrying(bytes, "get", at, get).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let get = || self.up_to(end, at, self.inner.get_ranges(at, ranges));
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.retried_carrying(bytes, "get ranges", at, get).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        // One after the other: whoever deletes the log relies on the order.
        let deleted = paths.and_then(move |path| {
            let this = this.clone();
            async move {
                let delete = || this.inner.delete(&path);
                match this.retried("delete", &path, delete).await {
                    // Gone is gone; the answer to an earlier attempt may have been lost.
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(path),
                    Err(error) => Err(error),
                }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        // Collected, since a listing that breaks off can't be taken up again.
        let listing = async move {
            let path = prefix.clone().unwrap_or_default();
            let list = || this.inner.list(prefix.as_ref()).try_collect::<Vec<_>>();
            let objects = this.retried("list", &path, list).await?;
            Ok::<_, Error>(stream::iter(objects.into_iter().map(Ok)))
        };
        stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let list = || self.inner.list_with_delimiter(prefix);
        self.retried("list", &path, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = || self.inner.copy_opts(from, to, options.clone());
        if options.mode == CopyMode::Overwrite {
            self.retried("copy", to, copy).await
        } else {
            self.once(0, copy()).await
        }
    }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retrying({})", self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn waits_double_up_to_the_most() {
        let settings = RetrySettings::default();
        let mut rng = SmallRng::seed_from_u64(1);
        for (failures, most_ms) in [(1, 50), (2, 100), (8, 6_400), (9, 10_000), (500, 10_000)] {
            let waits = (0..1_000).map(|_| settings.backoff(failures, &mut rng).as_millis());
            let longest = waits.max().expect("a thousand waits");
            assert!(
                longest <= most_ms && longest > most_ms * 9 / 10,
                "{failures}: {longest}"
            );
        }
    }
}

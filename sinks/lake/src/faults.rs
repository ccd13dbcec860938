//! A store that fails as stores do: for tests, seeded, in injected time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clock::Clock;

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done, and the store says so.
    Refused,
    /// 503: nothing was done.
    Unavailable,
    /// 409, which clients report as "exists already": nothing was done.
    Conflict,
    /// It was done, but the answer is an error.
    AnswerLost,
    /// Nothing was done, and there is never an answer.
    Hang,
    /// It was done, and there is never an answer.
    DoneHang,
    /// There is never an answer, and the put lands after this many milliseconds.
    Lands(u64),
}

impl Fault {
    /// One of every class.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Unavailable,
        Self::Conflict,
        Self::AnswerLost,
        Self::Hang,
        Self::DoneHang,
        Self::Lands(180_000),
    ];
}

/// Which requests fail.
#[derive(Debug)]
struct Plan {
    rng: SmallRng,
    /// Of a thousand puts (and half as many reads), how many fail.
    per_mille: u32,
    /// Faults for the next puts whose path holds the text, first come first served.
    scripted: Vec<(&'static str, Fault)>,
    /// Puts that are yet let through; then the store is gone for good.
    puts_left: Option<u64>,
}

/// A store with faults before `inner`.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    plan: Arc<Mutex<Plan>>,
    landing: Landing,
}

/// Runs the puts that land after nobody waits for them any more.
#[derive(Clone)]
struct Landing(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>);

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Landing")
    }
}

impl FaultyStore {
    /// Wraps `inner`; without a plan it does not fail.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let plan = Plan {
            rng: SmallRng::seed_from_u64(seed),
            per_mille: 0,
            scripted: Vec::new(),
            puts_left: None,
        };
        Self {
            inner,
            clock,
            plan: Arc::new(Mutex::new(plan)),
            landing: Landing(Arc::new(|put| drop(tokio::spawn(put)))),
        }
    }

    /// Runs late puts by `spawn` instead of tokio.
    #[must_use]
    pub fn landing_on(
        mut self,
        spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        self.landing = Landing(Arc::new(spawn));
        self
    }

    /// From now on, of a thousand puts this many fail in one of the ways of [`Fault::ALL`], and
    /// half as many reads.
    pub fn fail_per_mille(&self, per_mille: u32) {
        self.plan.lock().per_mille = per_mille;
    }

    /// The next put whose path holds `part` meets `fault`.
    pub fn fail_next(&self, part: &'static str, fault: Fault) {
        self.plan.lock().scripted.push((part, fault));
    }

    /// Lets this many puts through; every request after them hangs, as if the process were killed
    /// at that point. None: all are let through again.
    pub fn die_after_puts(&self, puts: Option<u64>) {
        self.plan.lock().puts_left = puts;
    }

    /// Whether [`FaultyStore::die_after_puts`] has come true.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.plan.lock().puts_left == Some(0)
    }

    fn put_fault(&self, path: &Path) -> Option<Fault> {
        let mut plan = self.plan.lock();
        if let Some(left) = &mut plan.puts_left {
            if *left == 0 {
                return Some(Fault::Hang);
            }
            *left -= 1;
        }
        let scripted = plan
            .scripted
            .iter()
            .position(|(part, _)| path.as_ref().contains(part));
        if let Some(position) = scripted {
            return Some(plan.scripted.remove(position).1);
        }
        let per_mille = plan.per_mille;
        if plan.rng.random_range(0..1000) >= per_mille {
            return None;
        }
        match Fault::ALL[plan.rng.random_range(0..Fault::ALL.len())] {
            Fault::Lands(most) => Some(Fault::Lands(plan.rng.random_range(0..most))),
            fault => Some(fault),
        }
    }

    /// Reads, lists and deletes only fail, hang, or are let through.
    async fn before_read(&self) -> Result<()> {
        let fault = {
            let mut plan = self.plan.lock();
            if plan.puts_left == Some(0) {
                Some(Fault::Hang)
            } else {
                let per_mille = plan.per_mille / 2;
                let hit = plan.rng.random_range(0..1000) < per_mille;
                let hangs = plan.rng.random_range(0..4) == 0;
                hit.then_some(if hangs {
                    Fault::Hang
                } else {
                    Fault::Unavailable
                })
            }
        };
        match fault {
            None => Ok(()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(_) => Err(failed("503 slow down")),
        }
    }
}

fn failed(what: &'static str) -> Error {
    Error::Generic {
        store: "faulty",
        source: what.into(),
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.put_fault(at);
        match fault {
            None => self.inner.put_opts(at, body, options).await,
            Some(Fault::Refused) => Err(failed("connection refused")),
            Some(Fault::Unavailable) => Err(failed("503 slow down")),
            Some(Fault::Conflict) => Err(Error::AlreadyExists {
                path: at.to_string(),
                source: "409 conflict".into(),
            }),
            Some(Fault::AnswerLost) => {
                let _ = self.inner.put_opts(at, body, options).await;
                Err(failed("connection reset"))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DoneHang) => {
                let _ = self.inner.put_opts(at, body, options).await;
                std::future::pending().await
            }
            Some(Fault::Lands(after_ms)) => {
                let (inner, at) = (Arc::clone(&self.inner), at.clone());
                let landing = self.clock.sleep(Duration::from_millis(after_ms));
                (self.landing.0)(Box::pin(async move {
                    landing.await;
                    let _ = inner.put_opts(&at, body, options).await;
                }));
                std::future::pending().await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.before_read().await?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.before_read().await?;
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.before_read().await?;
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let paths = paths.then(move |path| {
            let this = this.clone();
            async move {
                this.before_read().await?;
                path
            }
        });
        self.inner.delete_stream(paths.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.before_read().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.before_read().await?;
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

//! An S3 server for tests, in memory, on a loopback port of its own.
//!
//! It does what the lake asks of S3 (conditional puts, ranges, listings in pages, deletes of many)
//! and checks signatures. Its puts are atomic: the crates that offer such a server (s3s-fs 0.14)
//! let two conditional puts win, and would change the features of most of what we build. Faults are
//! switched on and off while it runs.

mod answers;
mod objects;
mod signature;
mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::bucket::Bucket;
use answers::{Asked, refusal};
use objects::Objects;
use trouble::{Dropped, Trouble};
pub(crate) use trouble::{Mishap, Outage};

/// The only bucket there is.
const BUCKET: &str = "lake";
/// Who may ask.
pub(crate) const KEY_ID: &str = "TIDEKEY";
/// Their secret.
pub(crate) const SECRET: &str = "a/secret+that=nobody/prints";

/// A running server; it ends with its handle.
pub(crate) struct S3Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    objects: Mutex<Objects>,
    trouble: Trouble,
    ignores_conditions: AtomicBool,
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let bind = TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _runtime: runtime,
        }
    }

    /// The place of a lake in its one bucket.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket {
            endpoint: format!("http://{}", self.address),
            name: BUCKET.to_owned(),
            prefix: "deep/lake".to_owned(),
            key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
        }
    }

    /// Begins or ends an outage; it holds for every request.
    pub(crate) fn set_outage(&self, outage: Outage) {
        self.shared.trouble.set_outage(outage);
    }

    /// From now on some requests go wrong, as `mishaps` draws them by `seed`; none with an empty list.
    pub(crate) fn set_mishaps(&self, mishaps: &[Mishap], seed: u64) {
        self.shared.trouble.set_mishaps(mishaps, seed);
    }

    /// How many requests an outage or a mishap has hit.
    pub(crate) fn hit(&self) -> u64 {
        self.shared.trouble.hit()
    }

    /// Lets conditional puts replace objects, as servers do that do not know the header.
    pub(crate) fn ignore_conditions(&self) {
        self.shared
            .ignores_conditions
            .store(true, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let answer = service_fn(move |request| answer(Arc::clone(&shared), request));
    // A client that goes away, or a connection that we drop, is nothing to tell.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if let Some(answer) = shared.trouble.outage().await? {
        return Ok(answer);
    }
    if let Err(code) = signature::check(&head, &body) {
        return Ok(refusal(403, code));
    }
    let ignores = shared.ignores_conditions.load(Ordering::Relaxed);
    let asked = match Asked::parse(&head, body, ignores) {
        Ok(asked) => asked,
        Err((status, code)) => return Ok(refusal(status, code)),
    };
    let carried_out = {
        let shared = Arc::clone(&shared);
        move |asked: Asked| asked.answer(&mut shared.objects.lock())
    };
    shared.trouble.mishap(asked, carried_out).await
}

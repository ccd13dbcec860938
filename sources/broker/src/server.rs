//! Connections: frames in, answers out, one request at a time and in order, as Kafka has it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::api::{self, Context};
use crate::shared::{Shared, stopped};

/// How much is read from a socket at once.
const READ_BYTES: usize = 64 << 10;
/// How much more memory than has arrived a frame may claim at once.
const CLAIM_BYTES: usize = 4 << 20;
/// How long nothing is accepted after that failed: mostly for want of file descriptors, which those
/// who hold them must first give back.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the same trouble is logged at most.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long connections may take to end when the broker stops.
const GRACE: Duration = Duration::from_millis(200);

/// Accepts connections until `stop` turns true.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stops = stop.clone();
    let (mut too_many, mut not_accepted) = (Seldom::default(), Seldom::default());
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(died) = ended {
                    tracing::error!(error = %died, "a kafka connection");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < shared.settings.max_connections => {
                    connections.spawn(serve(stream, peer, Arc::clone(&shared), stops.clone()));
                }
                Ok((_, peer)) => {
                    if let Some(times) = too_many.tell() {
                        tracing::warn!(%peer, times, "too many kafka connections");
                    }
                }
                Err(failed) => {
                    if let Some(times) = not_accepted.tell() {
                        tracing::warn!(error = %failed, times, "accepting a kafka connection");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Those that are still busy are aborted when the set is dropped.
    let _ = tokio::time::timeout(GRACE, all_ended).await;
}

/// Something that may happen often and is told of seldom.
#[derive(Default)]
struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// How often it has happened since it was last told, if it is to be told again.
    fn tell(&mut self) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let ended = tokio::select! {
        () = stopped(&mut stop) => return,
        ended = converse(&mut stream, peer, shared) => ended,
    };
    if let Err(why) = ended {
        tracing::debug!(%peer, %why, "closed a kafka connection");
    }
}

async fn converse(stream: &mut TcpStream, peer: SocketAddr, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let max_bytes = shared.settings.max_request_bytes as usize;
    let mut stream = Patient {
        stream,
        idle: Duration::from_millis(shared.settings.connection_idle_ms),
    };
    let context = Context {
        shared,
        peer,
        local,
    };
    let mut input = BytesMut::with_capacity(READ_BYTES);
    while let Some(frame) = read_frame(&mut stream, &mut input, max_bytes).await? {
        let answered = api::answer(&context, frame).await;
        if let Some(answer) = answered.map_err(|why| io::Error::other(why.to_string()))? {
            stream.write(&answer).await?;
        }
    }
    Ok(())
}

/// A connection that is given up when nothing moves on it for too long. While a request is worked
/// on, which may be long for a fetch, nobody waits for it to move.
struct Patient<'a> {
    stream: &'a mut TcpStream,
    idle: Duration,
}

impl Patient<'_> {
    async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let read = timeout(self.idle, self.stream.read_buf(input)).await;
        read.map_err(|_| idle("sent nothing"))?
    }

    async fn write(&mut self, mut answer: &[u8]) -> io::Result<()> {
        while !answer.is_empty() {
            let written = timeout(self.idle, self.stream.write(answer)).await;
            match written.map_err(|_| idle("did not read its answer"))?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => answer = &answer[n..],
            }
        }
        Ok(())
    }
}

fn idle(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the client {what}"))
}

/// Reads one frame; none where the client has closed the connection between two.
async fn read_frame(
    stream: &mut Patient<'_>,
    input: &mut BytesMut,
    max_bytes: usize,
) -> io::Result<Option<Bytes>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if !fill(stream, input, 4).await? {
        return Ok(None);
    }
    let len = input.get_i32();
    let len = usize::try_from(len).ok().filter(|len| *len <= max_bytes);
    let len = len.ok_or_else(|| invalid(format!("a request larger than {max_bytes} bytes")))?;
    if !fill(stream, input, len).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(input.split_to(len).freeze()))
}

/// Reads until `input` holds `len` bytes; false where the stream ends before the first of them.
/// Memory is claimed as bytes come, not as the client promises them.
async fn fill(stream: &mut Patient<'_>, input: &mut BytesMut, len: usize) -> io::Result<bool> {
    while input.len() < len {
        let missing = len - input.len();
        let claim = missing.min(CLAIM_BYTES.max(input.len()));
        input.reserve(claim.max(READ_BYTES));
        if stream.read(input).await? == 0 {
            return if input.is_empty() {
                Ok(false)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
    Ok(true)
}

//! A body as it comes in: it takes room as it grows, and is given up when nothing more comes.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::PushError;
use crate::gateway::Gateway;

/// Reads a body within its limit, with its room among the bytes under way. What a request announces
/// takes no room: a sender that stalls holds only what it has sent, and not for long.
pub(crate) async fn read(
    gateway: &Gateway,
    mut body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), PushError> {
    let most = gateway.settings().body_bytes;
    let idle_ms = gateway.settings().body_idle_ms;
    // What is announced too long is refused before it is sent.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let mut room = gateway.no_room()?;
    let mut bytes = BytesMut::new();
    loop {
        let next = tokio::time::timeout(Duration::from_millis(idle_ms), chunk(&mut body));
        let Some(chunk) = next.await.map_err(|_| stalled(bytes.len(), idle_ms))? else {
            return Ok((bytes.freeze(), room));
        };
        let chunk =
            chunk.map_err(|error| PushError::Refused(format!("reading the body: {error}")))?;
        let length = bytes.len() + chunk.len();
        if length > most {
            return Err(too_large(most));
        }
        gateway.grow(&mut room, length)?;
        bytes.extend_from_slice(&chunk);
    }
}

/// What comes next; none at the end. Trailers are passed over.
async fn chunk(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

fn too_large(most: usize) -> PushError {
    PushError::TooLarge(format!(
        "the body is longer than {most} bytes; send smaller batches"
    ))
}

fn stalled(bytes: usize, idle_ms: u64) -> PushError {
    PushError::Stalled(format!(
        "nothing more of the body came within {idle_ms} ms of its first {bytes} bytes"
    ))
}

//! The way through every door: what is read is pushed and counted, and what is refused gets its status.

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::counters::add;
use crate::door::Door;
use crate::error::PushError;
use crate::gateway::{Gateway, Push, Pushed};
use crate::request::Request;

/// Reads and pushes a body, and counts what became of it. `content_type` replaces the request's.
pub(super) async fn push(
    gateway: &Gateway,
    door: Door,
    headers: &HeaderMap,
    body: Body,
    content_type: Option<String>,
) -> Result<Pushed, PushError> {
    let counters = gateway.counters().door(door);
    add(&counters.requests, 1);
    let result = read_and_push(gateway, door, headers, body, content_type).await;
    match &result {
        Ok(pushed) => {
            add(&counters.accepted, pushed.accepted);
            add(&counters.rejected, pushed.rejected);
            counters.skipped(pushed.skipped);
        }
        Err(PushError::Unavailable { reason, .. }) => {
            add(&counters.unavailable, 1);
            tracing::debug!(door = door.name(), reason, "not taken now");
        }
        Err(_) => add(&counters.refused, 1),
    }
    result
}

async fn read_and_push(
    gateway: &Gateway,
    door: Door,
    headers: &HeaderMap,
    body: Body,
    content_type: Option<String>,
) -> Result<Pushed, PushError> {
    let request = Request::read(gateway, headers, body, door.usual_encoding()).await?;
    add(&gateway.counters().door(door).bytes, request.body.len());
    // A batch of no lines, as InfluxDB has it.
    if door == Door::Influx && request.body.is_empty() {
        return Ok(Pushed::default());
    }
    let push = Push {
        tenant: request.tenant,
        format: door.format(),
        content_type: content_type.or(request.content_type),
        content_encoding: request.content_encoding,
        body: request.body,
        _room: request.room,
    };
    gateway.push(push).await
}

const fn status_of(error: &PushError) -> StatusCode {
    match error {
        PushError::Refused(_) | PushError::Unreadable { .. } => StatusCode::BAD_REQUEST,
        PushError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
        PushError::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        PushError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error with the status that belongs to it and the body that the door's clients read.
pub(super) fn refuse(error: &PushError, body: impl IntoResponse) -> Response {
    let mut response = (status_of(error), body).into_response();
    if let PushError::Unavailable { retry_after_s, .. } = error {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
    }
    response
}

/// What was wrong with the first few items, in a line, for clients that read no lists.
pub(super) fn summary(pushed: &Pushed) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = pushed
        .errors
        .iter()
        .take(SHOWN)
        .map(|item| item.error.as_str())
        .collect();
    let mut text = shown.join("; ");
    if pushed.rejected > SHOWN {
        text.push_str(&format!("; and {} more", pushed.rejected - SHOWN));
    }
    text
}

//! The doors: one file each, with what is particular to its clients.

mod influx;
mod json;
mod otlp;
mod remote_write;

use axum::Router;
use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tidegauge_decode::Format;

use crate::counters::add;
use crate::error::PushError;
use crate::gateway::{Gateway, Push, Pushed};
use crate::request::Request;

/// Which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Json,
    RemoteWrite,
    Influx,
    Otlp,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::Json, Self::RemoteWrite, Self::Influx, Self::Otlp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::RemoteWrite => "remote_write",
            Self::Influx => "influx",
            Self::Otlp => "otlp",
        }
    }

    const fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::RemoteWrite => Format::RemoteWrite,
            Self::Influx => Format::Influx,
            Self::Otlp => Format::Otlp,
        }
    }

    /// What a body is compressed with if its sender does not say.
    const fn usual_encoding(self) -> &'static str {
        match self {
            Self::RemoteWrite => "snappy",
            Self::Json | Self::Influx | Self::Otlp => "identity",
        }
    }
}

/// All doors, to be merged into a server.
pub fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/api/v1/metrics", post(json::post))
        .route("/api/v1/write", post(remote_write::post))
        .route("/write", post(influx::post_v1))
        .route("/api/v2/write", post(influx::post_v2))
        .route("/ping", get(influx::ping).post(influx::ping))
        .route("/query", get(influx::query).post(influx::query))
        .route("/v1/metrics", post(otlp::post))
        .with_state(gateway)
}

/// Reads and pushes a body, and counts what became of it. `content_type` replaces the request's.
async fn push(
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
    let push = Push {
        tenant: request.tenant,
        format: door.format(),
        content_type: content_type.or(request.content_type),
        content_encoding: request.content_encoding,
        body: request.body,
    };
    gateway.push(push).await
}

const fn status_of(error: &PushError) -> StatusCode {
    match error {
        PushError::Refused(_) => StatusCode::BAD_REQUEST,
        PushError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        PushError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error with the status that belongs to it and the body that the door's clients read.
fn refuse(error: &PushError, body: impl IntoResponse) -> Response {
    let mut response = (status_of(error), body).into_response();
    if let PushError::Unavailable { retry_after_s, .. } = error {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
    }
    response
}

/// What was wrong with the first few items, in a line, for clients that read no lists.
fn summary(pushed: &Pushed) -> String {
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

//! `POST /api/v1/write`: Prometheus remote write 1.0.
//!
//! Senders repeat a request after 5xx and never after 4xx, so a request of which some samples are
//! refused is 400 after the others were taken: what was refused would be refused again.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::way::{push, refuse, summary};
use crate::door::Door;
use crate::error::PushError;
use crate::gateway::Gateway;
use crate::request::Request;

pub(super) async fn post(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(error) = check_type(&headers) {
        return refuse(&error, error.to_string());
    }
    match push(&gateway, Door::RemoteWrite, &headers, body, None).await {
        Ok(pushed) if pushed.rejected == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok(pushed) => {
            let text = format!("{} refused: {}", pushed.rejected, summary(&pushed));
            (StatusCode::BAD_REQUEST, text).into_response()
        }
        Err(error) => refuse(&error, error.to_string()),
    }
}

/// Version 2.0 announces itself by a parameter; a sender that gets 415 falls back to 1.0.
fn check_type(headers: &HeaderMap) -> Result<(), PushError> {
    let refused = |text: &str| Err(PushError::MediaType(text.to_owned()));
    match Request::media_type(headers).as_deref() {
        None | Some("application/x-protobuf") => {}
        Some(_) => return refused("remote write comes as application/x-protobuf"),
    }
    let full = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let proto = full
        .split(';')
        .skip(1)
        .find_map(|parameter| parameter.trim().strip_prefix("proto="));
    match proto.map(|proto| proto.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(()),
        Some(_) => refused("only remote write 1.0 (prometheus.WriteRequest) is taken"),
    }
}

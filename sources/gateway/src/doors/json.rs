//! `POST /api/v1/metrics`: JSON samples.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::way::{push, refuse};
use crate::door::Door;
use crate::error::PushError;
use crate::gateway::{Gateway, Pushed};
use crate::session::ItemError;

/// What the sender is told.
#[derive(Serialize)]
struct Answer {
    /// `ok`, `partial`, or `error` if nothing was accepted.
    status: &'static str,
    accepted: usize,
    /// How many items were refused. A fault of the request itself, such as its tenant, refuses
    /// none: they were not looked at, and may be right.
    rejected: usize,
    errors: Vec<ItemAnswer>,
}

#[derive(Serialize)]
struct ItemAnswer {
    /// Which object, from 0; absent if the fault is the whole body's.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    error: String,
}

pub(super) async fn post(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // Whatever a client calls its JSON, this door takes nothing else.
    let content_type = Some("application/json".to_owned());
    match push(&gateway, Door::Json, &headers, body, content_type).await {
        Ok(pushed) => (StatusCode::ACCEPTED, Json(answer(pushed))).into_response(),
        Err(error) => refuse(&error, Json(refusal(&error))),
    }
}

fn refusal(error: &PushError) -> Answer {
    let (rejected, errors) = match error {
        PushError::Unreadable { rejected, errors } => (*rejected, items(errors.clone())),
        error => {
            let whole = ItemAnswer {
                index: None,
                error: error.to_string(),
            };
            (0, vec![whole])
        }
    };
    Answer {
        status: "error",
        accepted: 0,
        rejected,
        errors,
    }
}

fn answer(pushed: Pushed) -> Answer {
    let status = match (pushed.accepted, pushed.rejected) {
        (_, 0) => "ok",
        (0, _) => "error",
        _ => "partial",
    };
    Answer {
        status,
        accepted: pushed.accepted,
        rejected: pushed.rejected,
        errors: items(pushed.errors),
    }
}

fn items(errors: Vec<ItemError>) -> Vec<ItemAnswer> {
    let item = |item: ItemError| ItemAnswer {
        index: item.index,
        error: item.error,
    };
    errors.into_iter().map(item).collect()
}

//! `POST /api/v1/metrics`: JSON samples.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::way::{push, refuse};
use crate::door::Door;
use crate::gateway::{Gateway, Pushed};

/// What the sender is told.
#[derive(Serialize)]
struct Answer {
    /// `ok`, `partial`, or `error` if nothing was accepted.
    status: &'static str,
    accepted: usize,
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
        Err(error) => {
            let errors = vec![ItemAnswer {
                index: None,
                error: error.to_string(),
            }];
            refuse(
                &error,
                Json(Answer {
                    status: "error",
                    accepted: 0,
                    rejected: 0,
                    errors,
                }),
            )
        }
    }
}

fn answer(pushed: Pushed) -> Answer {
    let status = match (pushed.accepted, pushed.rejected) {
        (_, 0) => "ok",
        (0, _) => "error",
        _ => "partial",
    };
    let item = |item: crate::session::ItemError| ItemAnswer {
        index: item.index,
        error: item.error,
    };
    Answer {
        status,
        accepted: pushed.accepted,
        rejected: pushed.rejected,
        errors: pushed.errors.into_iter().map(item).collect(),
    }
}

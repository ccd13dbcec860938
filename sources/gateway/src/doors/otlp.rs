//! `POST /v1/metrics`: OTLP over HTTP, protobuf or JSON. Answers come in the request's encoding.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::way::{push, refuse, summary};
use crate::door::Door;
use crate::error::PushError;
use crate::gateway::{Gateway, Pushed};
use crate::request::Request;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

pub(super) async fn post(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let encoding = match Request::media_type(&headers).as_deref() {
        Some(PROTOBUF) => Encoding::Protobuf,
        Some(JSON) => Encoding::Json,
        _ => {
            let text = "OTLP comes as application/x-protobuf or application/json";
            return refuse(&PushError::MediaType(text.into()), text);
        }
    };
    match push(&gateway, Door::Otlp, &headers, body, None).await {
        Ok(pushed) => {
            let body = encoding.success(&pushed);
            (StatusCode::OK, [(CONTENT_TYPE, encoding.name())], body).into_response()
        }
        Err(error) => {
            let body = encoding.status(&error);
            refuse(&error, ([(CONTENT_TYPE, encoding.name())], body))
        }
    }
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        }
    }

    /// An `ExportMetricsServiceResponse`, with `partial_success` (field 1: `rejected_data_points`
    /// in 1, `error_message` in 2) if there is anything to say.
    fn success(self, pushed: &Pushed) -> Vec<u8> {
        let text = summary(pushed);
        match self {
            Self::Json if pushed.rejected == 0 => b"{}".to_vec(),
            // 64-bit integers are text in protobuf's JSON.
            Self::Json => json!({ "partialSuccess": {
                "rejectedDataPoints": pushed.rejected.to_string(), "errorMessage": text,
            }})
            .to_string()
            .into_bytes(),
            Self::Protobuf if pushed.rejected == 0 => Vec::new(),
            Self::Protobuf => {
                let mut partial = vec![0x08];
                varint(&mut partial, pushed.rejected as u64);
                field(&mut partial, 0x12, text.as_bytes());
                let mut response = Vec::new();
                field(&mut response, 0x0a, &partial);
                response
            }
        }
    }

    /// A `google.rpc.Status` (`code` in 1, `message` in 2).
    fn status(self, error: &PushError) -> Vec<u8> {
        const INVALID_ARGUMENT: u64 = 3;
        const UNAVAILABLE: u64 = 14;
        let code = match error {
            PushError::Unavailable { .. } => UNAVAILABLE,
            _ => INVALID_ARGUMENT,
        };
        let text = error.to_string();
        match self {
            Self::Json => json!({ "code": code, "message": text })
                .to_string()
                .into_bytes(),
            Self::Protobuf => {
                let mut status = vec![0x08];
                varint(&mut status, code);
                field(&mut status, 0x12, text.as_bytes());
                status
            }
        }
    }
}

fn field(message: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    message.push(tag);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

//! `POST /write` and `POST /api/v2/write`: Influx line protocol, as Telegraf and InfluxDB's client
//! libraries send it.
//!
//! Database, bucket, organization and retention policy mean nothing here and are passed over. Good
//! lines are taken even if others are not; then the answer is 400 in the words of InfluxDB's own
//! partial write, which clients do not repeat.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegauge_decode::Precision;

use super::way::{push, refuse, summary};
use crate::door::Door;
use crate::error::PushError;
use crate::gateway::{Gateway, Pushed};

/// How an error is written.
#[derive(Clone, Copy)]
enum Dialect {
    V1,
    V2,
}

pub(super) async fn post_v1(
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    post(&gateway, Dialect::V1, query.as_deref(), &headers, body).await
}

pub(super) async fn post_v2(
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    post(&gateway, Dialect::V2, query.as_deref(), &headers, body).await
}

/// By this clients see whether we are there.
pub(super) async fn ping() -> Response {
    let version = concat!("tidegauge-", env!("CARGO_PKG_VERSION"));
    (StatusCode::NO_CONTENT, [("x-influxdb-version", version)]).into_response()
}

/// Clients of InfluxDB 1 (Telegraf among them) make their database first, which is nothing to do here.
pub(super) async fn query(RawQuery(query): RawQuery, body: String) -> Response {
    let query = query.unwrap_or_default();
    let pairs = query.split('&').chain(body.split('&'));
    let asked = pairs.filter_map(|pair| pair.strip_prefix("q=")).next_back();
    let words = asked.unwrap_or("").to_ascii_lowercase().replace("%20", "+");
    if words.starts_with("create+database") || words.starts_with("create database") {
        return Json(json!({ "results": [{ "statement_id": 0 }] })).into_response();
    }
    let text = "InfluxQL is not spoken here; POST SQL to /api/v1/sql";
    (StatusCode::BAD_REQUEST, Json(json!({ "error": text }))).into_response()
}

async fn post(
    gateway: &Gateway,
    dialect: Dialect,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let content_type = match precision(query.unwrap_or("")) {
        Ok(precision) => format!("text/plain; precision={precision}"),
        Err(error) => return refuse(&error, Json(dialect.error(&error))),
    };
    match push(gateway, Door::Influx, headers, body, Some(content_type)).await {
        Ok(pushed) if pushed.rejected == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok(pushed) => (StatusCode::BAD_REQUEST, Json(dialect.partial(&pushed))).into_response(),
        Err(error) => refuse(&error, Json(dialect.error(&error))),
    }
}

/// The parameter `precision`; nanoseconds without one.
fn precision(query: &str) -> Result<&str, PushError> {
    let given = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("precision="));
    let given = given.filter(|word| !word.is_empty()).unwrap_or("ns");
    if Precision::parse(given).is_some() {
        return Ok(given);
    }
    Err(PushError::Refused(format!(
        "precision {given:?}; known are ns, us, ms, s, m, h"
    )))
}

impl Dialect {
    fn error(self, error: &PushError) -> Value {
        let code = match error {
            PushError::Refused(_) | PushError::Unreadable { .. } | PushError::Stalled(_) => {
                "invalid"
            }
            PushError::TooLarge(_) => "request too large",
            PushError::MediaType(_) => "unsupported media type",
            PushError::Unavailable { .. } => "unavailable",
        };
        self.write(code, &error.to_string())
    }

    fn partial(self, pushed: &Pushed) -> Value {
        let text = format!(
            "partial write: {} dropped={}",
            summary(pushed),
            pushed.rejected
        );
        self.write("invalid", &text)
    }

    fn write(self, code: &str, text: &str) -> Value {
        match self {
            Self::V1 => json!({ "error": text }),
            Self::V2 => json!({ "code": code, "message": text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_of_both_versions_are_known() {
        for (query, expected) in [
            ("", "ns"),
            ("db=x", "ns"),
            ("precision=", "ns"),
            ("db=x&precision=ms", "ms"),
            ("precision=s&bucket=b", "s"),
            ("precision=n", "n"),
            ("precision=u", "u"),
            ("precision=h", "h"),
        ] {
            assert_eq!(precision(query).expect("known"), expected, "{query}");
        }
        assert!(precision("precision=fortnight").is_err());
    }
}

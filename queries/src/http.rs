//! SQL over HTTP.
//!
//! `POST /api/v1/sql` takes a query as text, or as JSON `{"query", "tenant", "timeout", "max_rows",
//! "memory_bytes", "format"}` of which only `query` must be there (`timeout` is in seconds), or these as
//! a form. `GET /api/v1/sql?q=…` takes the same as parameters, and so does the address of a `POST`
//! for what its body leaves out. The tenant may also stand in a header `x-tenant`. What is said twice
//! must be said alike. The answer's form follows `Accept`: `application/json` (the default),
//! `application/x-ndjson`, `text/csv`, `text/plain` (a table) or
//! `application/vnd.apache.arrow.stream`; `format` overrides it.
//!
//! What fails before the first row is answered by a status and `{"status":"error","code",
//! "error"}`. What fails later breaks the answer off: JSON gets that object as last element of an
//! array that stays open, ndjson as last line, and in every format the connection is aborted, so
//! that no client takes a part for the whole. A client that leaves stops its query.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, stream};
use serde::Deserialize;

use crate::engine::Engine;
use crate::error::QueryError;
use crate::format::{Encoder, Format, error_object};
use crate::run::Answer;
use crate::settings::QueryOptions;
use crate::tenant;

/// The longest body that is read.
const BODY_BYTES_MOST: usize = 2 << 20;
/// How long nothing of a body may come, as at the doors for pushes.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// The routes of the SQL API.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/api/v1/sql", get(by_parameters).post(by_body))
        .with_state(engine)
}

/// A query and its options, as JSON or as parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    #[serde(alias = "q")]
    query: Option<String>,
    tenant: Option<String>,
    timeout: Option<f64>,
    max_rows: Option<u64>,
    memory_bytes: Option<usize>,
    format: Option<String>,
}

impl Request {
    /// The names that a form may begin with.
    const NAMES: [&str; 7] = [
        "query",
        "q",
        "tenant",
        "timeout",
        "max_rows",
        "memory_bytes",
        "format",
    ];

    /// What a body says, and from the address what it leaves out.
    fn filled(self, address: Self) -> Result<Self, QueryError> {
        Ok(Self {
            query: either("query", self.query, address.query)?,
            tenant: either("tenant", self.tenant, address.tenant)?,
            timeout: either("timeout", self.timeout, address.timeout)?,
            max_rows: either("max_rows", self.max_rows, address.max_rows)?,
            memory_bytes: either("memory_bytes", self.memory_bytes, address.memory_bytes)?,
            format: either("format", self.format, address.format)?,
        })
    }
}

fn either<T: PartialEq>(
    name: &str,
    body: Option<T>,
    address: Option<T>,
) -> Result<Option<T>, QueryError> {
    if body.is_some() && address.is_some() && body != address {
        return Err(QueryError::Invalid(format!(
            "`{name}` is one thing in the body and another in the address; give it once"
        )));
    }
    Ok(body.or(address))
}

async fn by_parameters(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    request: Result<Query<Request>, QueryRejection>,
) -> Response {
    match request {
        Ok(Query(request)) => respond(&engine, request, &headers).await,
        Err(rejection) => refuse(&QueryError::Invalid(rejection.body_text())),
    }
}

async fn by_body(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    parameters: Result<Query<Request>, QueryRejection>,
    body: Body,
) -> Response {
    let request = async {
        let Query(parameters) =
            parameters.map_err(|rejection| QueryError::Invalid(rejection.body_text()))?;
        let body = whole(body, BODY_IDLE).await?;
        understood(&headers, &body)?.filled(parameters)
    };
    match request.await {
        Ok(request) => respond(&engine, request, &headers).await,
        Err(error) => refuse(&error),
    }
}

/// Reads a body to its end, unless it is too long or nothing more of it comes for `idle`.
async fn whole(body: Body, idle: Duration) -> Result<Vec<u8>, QueryError> {
    // What is announced too long is refused before it is sent.
    if body.size_hint().lower() > BODY_BYTES_MOST as u64 {
        return Err(QueryError::TooLong(BODY_BYTES_MOST));
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let next = tokio::time::timeout(idle, chunks.next()).await;
        let next = next.map_err(|_| QueryError::Stalled {
            after_bytes: bytes.len(),
            idle,
        })?;
        let Some(chunk) = next else {
            return Ok(bytes);
        };
        let chunk =
            chunk.map_err(|e| QueryError::Invalid(format!("reading the request's body: {e}")))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MOST {
            return Err(QueryError::TooLong(BODY_BYTES_MOST));
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn understood(headers: &HeaderMap, body: &[u8]) -> Result<Request, QueryError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .map(str::to_ascii_lowercase);
    let is = |name: &str| kind.as_ref().is_some_and(|kind| kind.starts_with(name));
    // curl calls a form whatever it is given by `-d`; no query begins by a name and `=`.
    let form = is("application/x-www-form-urlencoded");
    let begins = |name: &str| {
        let rest = body.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    };
    if form && Request::NAMES.into_iter().any(begins) {
        return serde_urlencoded::from_bytes(body)
            .map_err(|e| QueryError::Invalid(format!("reading the form: {e}")));
    }
    if is("application/json") || form && body.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(body)
            .map_err(|e| QueryError::Invalid(format!("reading the request as JSON: {e}")));
    }
    let query = std::str::from_utf8(body)
        .map_err(|e| QueryError::Invalid(format!("reading the query as UTF-8: {e}")))?;
    Ok(Request {
        query: (!query.is_empty()).then(|| query.into()),
        ..Request::default()
    })
}

async fn respond(engine: &Engine, request: Request, headers: &HeaderMap) -> Response {
    let answered = async {
        let format = wanted(&request, headers)?;
        let options = options(&request, headers)?;
        let query = request.query.as_deref().unwrap_or_default();
        let answer = engine.sql(query, &options).await?;
        first_batch(answer, format).await
    };
    match answered.await {
        Ok((format, body)) => ([(header::CONTENT_TYPE, format.media_type())], body).into_response(),
        Err(error) => refuse(&error),
    }
}

fn options(request: &Request, headers: &HeaderMap) -> Result<QueryOptions, QueryError> {
    let timeout = request.timeout.map(|seconds| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|e| QueryError::Invalid(format!("`timeout` is a number of seconds: {e}")))
    });
    Ok(QueryOptions {
        tenant: tenant::named(request.tenant.as_deref(), headers)?,
        timeout: timeout.transpose()?,
        max_rows: request.max_rows,
        memory_bytes: request.memory_bytes,
    })
}

fn wanted(request: &Request, headers: &HeaderMap) -> Result<Format, QueryError> {
    if let Some(format) = &request.format {
        return format.parse().map_err(QueryError::Invalid);
    }
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    negotiate(&accept.join(",")).ok_or_else(|| {
        let served =
            Format::ALL.map(|format| format.media_type().split(';').next().unwrap_or_default());
        QueryError::Invalid(format!(
            "none of `{}` is served; ask for {}",
            accept.join(","),
            served.join(", ")
        ))
    })
}

/// The format that an `Accept` header likes best: by quality, then by how narrowly it is named,
/// then by place.
fn negotiate(accept: &str) -> Option<Format> {
    if accept.trim().is_empty() {
        return Some(Format::Json);
    }
    let mut best: Option<((u32, u32), Format)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((format, narrow)) = parts.next().and_then(format_of) else {
            continue;
        };
        let quality = parts
            .find_map(|p| p.strip_prefix("q="))
            .map_or(Some(1.0), |q| q.parse().ok());
        let quality = (quality.unwrap_or(0.0_f32).clamp(0.0, 1.0) * 1000.0) as u32;
        if quality > 0 && best.is_none_or(|(rank, _)| (quality, narrow) > rank) {
            best = Some(((quality, narrow), format));
        }
    }
    best.map(|(_, format)| format)
}

fn format_of(media_range: &str) -> Option<(Format, u32)> {
    Some(match media_range.to_ascii_lowercase().as_str() {
        "application/json" => (Format::Json, 2),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            (Format::JsonLines, 2)
        }
        "text/csv" => (Format::Csv, 2),
        "text/plain" => (Format::Table, 2),
        "application/vnd.apache.arrow.stream" => (Format::Arrow, 2),
        "application/*" => (Format::Json, 1),
        "text/*" => (Format::Csv, 1),
        "*/*" => (Format::Json, 0),
        _ => return None,
    })
}

/// Waits for the first rows, so that what fails before them has a status of its own; the rest flows
/// as the client takes it.
async fn first_batch(mut answer: Answer, format: Format) -> Result<(Format, Body), QueryError> {
    let mut encoder = Encoder::new(format, &answer.schema())?;
    let (bytes, goes_on) = match answer.next().await {
        Some(batch) => (encoder.batch(&batch?)?, true),
        None => (encoder.finish()?, false),
    };
    let rest = goes_on.then_some(Rest::Rows(answer, encoder));
    let rest = stream::unfold(rest, |rest| async move { rest?.next().await });
    let first = stream::once(async move { Ok(Bytes::from(bytes)) });
    Ok((format, Body::from_stream(first.chain(rest))))
}

/// What is still to come of a body.
enum Rest {
    Rows(Answer, Encoder),
    Abort(QueryError),
}

impl Rest {
    async fn next(self) -> Option<(Result<Bytes, QueryError>, Option<Self>)> {
        match self {
            Self::Rows(mut answer, mut encoder) => {
                let bytes = match answer.next().await {
                    Some(Ok(batch)) => encoder.batch(&batch),
                    Some(Err(error)) => Err(error),
                    None => {
                        let end = encoder.finish();
                        return Some((end.map(Bytes::from), None));
                    }
                };
                match bytes {
                    Ok(bytes) => Some((Ok(bytes.into()), Some(Self::Rows(answer, encoder)))),
                    Err(error) => {
                        let last = encoder.broken_off(&error);
                        Some((Ok(last.into()), Some(Self::Abort(error))))
                    }
                }
            }
            Self::Abort(error) => {
                // Lets what came before reach the client first.
                tokio::task::yield_now().await;
                tracing::warn!(code = error.code(), %error, "an answer was broken off");
                Some((Err(error), None))
            }
        }
    }
}

/// An answer to what can't be answered.
fn refuse(error: &QueryError) -> Response {
    let status = match error {
        QueryError::Invalid(_) | QueryError::NotAQuery(_) => StatusCode::BAD_REQUEST,
        QueryError::TooManyRows(_) | QueryError::Memory { .. } | QueryError::TooLong(_) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        QueryError::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
        QueryError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        QueryError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = (status, error_object(error)).into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use tokio::runtime::Handle;

    use super::*;

    /// More than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// More than all bodies here.
    const WHOLE: usize = 1 << 20;

    #[tokio::test]
    async fn a_query_that_panics_breaks_its_answer_off() {
        for format in Format::ALL {
            let threads = Handle::current();
            let answer = Answer::start(&threads, PATIENCE, async |mut output| {
                let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
                let batch = RecordBatch::try_from_iter([("n", column)]).expect("one column");
                assert!(output.columns(batch.schema()) && output.rows(batch).await);
                panic!("a bug in an operator");
            });
            let begun = first_batch(answer.await.expect("columns"), format).await;
            let (_, body) = begun.expect("a first batch");
            let read = axum::body::to_bytes(body, WHOLE).await;
            let error = read.expect_err("no whole body").to_string();
            assert!(
                error.contains("a bug in an operator"),
                "{format:?}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"select"))]);
        let idle = Duration::from_millis(20);
        let body = Body::from_stream(begun.chain(stream::pending()));
        let error = whole(body, idle).await.expect_err("no end");
        let stalled = QueryError::Stalled {
            after_bytes: 6,
            idle,
        };
        assert_eq!(error, stalled);
        assert_eq!(refuse(&error).status(), StatusCode::REQUEST_TIMEOUT);
        let body = whole(Body::from("select 1"), idle).await;
        assert_eq!(body.as_deref(), Ok(&b"select 1"[..]));
    }

    #[test]
    fn the_best_liked_format_is_served() {
        for (accept, format) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("application/json;q=0.5, text/csv;q=0.9", Some(Format::Csv)),
            ("*/*, application/x-ndjson", Some(Format::JsonLines)),
            (
                "application/vnd.apache.arrow.stream, */*;q=0.1",
                Some(Format::Arrow),
            ),
            ("text/*", Some(Format::Csv)),
            ("text/csv;q=0, application/json;q=0.1", Some(Format::Json)),
            ("image/png", None),
        ] {
            assert_eq!(negotiate(accept), format, "{accept}");
        }
    }
}

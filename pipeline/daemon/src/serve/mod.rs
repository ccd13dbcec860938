//! HTTP: health, readiness, our own metrics and stats, and the doors of the parts, on one port.

mod metrics;
mod process;
mod ready;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Http;
use crate::stats::{Stats, StatsSource};

/// How long open connections may go on once the end has come.
const DRAIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Shown {
    stats: StatsSource,
    http: Arc<Http>,
}

/// Takes the address.
///
/// # Errors
/// If it can't be had; the message says what to do.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "listening on {address} for HTTP failed; end what uses the port, or give another with \
             --listen (http.listen)"
        )
    })
}

/// All routes: ours, and those of the parts, such as the gateway's and the query engine's.
pub fn router(stats: StatsSource, http: &Http, parts: Vec<Router>) -> Router {
    let own = Router::new()
        .route("/health", get(health))
        .route("/api/v1/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/api/v1/stats/queue", get(queue))
        .route("/api/v1/stats/stream", get(stream))
        .with_state(Shown {
            stats,
            http: Arc::new(http.clone()),
        });
    let all = parts.into_iter().fold(own, Router::merge);
    all.method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
}

/// Serves until the end; requests at work then have two seconds left.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    end: CancellationToken,
) -> anyhow::Result<()> {
    let asked = end.clone();
    let served = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { asked.cancelled().await })
        .into_future();
    let overdue = async {
        end.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = served => served.context("serving HTTP"),
        () = overdue => Ok(()),
    }
}

async fn unknown(uri: Uri) -> Response {
    let error = format!(
        "there is nothing at {}; see the README for what is",
        uri.path()
    );
    let body = json!({"status": "error", "code": "not_found", "error": error});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// What the path does take is in the header `allow`.
async fn wrong_method(method: Method, uri: Uri) -> Response {
    let error = format!("{} does not take {method}", uri.path());
    let body = json!({"status": "error", "code": "method_not_allowed", "error": error});
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}

async fn health(State(shown): State<Shown>) -> Response {
    let stats = (shown.stats)();
    Json(json!({
        "status": "ok",
        // InfluxDB's clients look for it.
        "name": "tidegauge",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": (stats.now - stats.started_at).max(0) / 1000,
    }))
    .into_response()
}

async fn ready(State(shown): State<Shown>) -> Response {
    let reasons = ready::reasons(&(shown.stats)(), &shown.http);
    if reasons.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let body = json!({"status": "not_ready", "reasons": reasons});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics_text(State(shown): State<Shown>) -> Response {
    let text = metrics::render(&(shown.stats)(), &process::Usage::read());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn queue(State(shown): State<Shown>) -> Response {
    let stats = (shown.stats)();
    let body = json!({
        "lag": stats.lag(),
        "records": stats.records,
        "trouble": stats.kafka_trouble,
        "partitions": stats.partitions,
    });
    Json(body).into_response()
}

async fn stream(State(shown): State<Shown>) -> Response {
    Json(stream_body(&(shown.stats)())).into_response()
}

fn stream_body(stats: &Stats) -> serde_json::Value {
    let mut body = serde_json::to_value(&stats.stream).expect("plain data");
    let more = json!({
        "now": stats.now,
        "watermark_lag_ms": stats.stream.watermark.map(|watermark| stats.now - watermark),
        "skipped": stats.skipped,
        "commits": stats.commits,
        "tables": stats.tables,
        "upkeep": stats.upkeep,
        "bounds": stats.bounds,
        "store_trouble": stats.store_trouble,
    });
    let (Some(body_map), serde_json::Value::Object(more)) = (body.as_object_mut(), more) else {
        unreachable!("structs are objects");
    };
    body_map.extend(more);
    body
}

#[cfg(test)]
mod tests;

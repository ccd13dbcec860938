//! The doors: one file each, with what is particular to its clients.

mod influx;
mod json;
mod otlp;
mod remote_write;
mod way;

use axum::Router;
use axum::routing::{get, post};

use crate::gateway::Gateway;

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

//! HTTP doors that push samples into Kafka.
//!
//! | door | takes | answers |
//! |---|---|---|
//! | `POST /api/v1/metrics` | JSON samples | 202 with what was accepted and each error by its index |
//! | `POST /api/v1/write` | Prometheus remote write 1.0 | 204 |
//! | `POST /write`, `POST /api/v2/write` | Influx lines | 204 |
//! | `POST /v1/metrics` | OTLP, protobuf or JSON | 200 with an `ExportMetricsServiceResponse` |
//!
//! `/ping` and `/query` tell clients of InfluxDB 1 what they want to hear before they write.
//!
//! A body is decoded here, so that its sender learns what is wrong with it; what is right is cut
//! by series into one remote-write record a partition and produced, and the answer waits for the
//! broker's acknowledgement (idempotent, of all replicas). A series always goes to the same
//! partition, chosen by its id. What Kafka can't take now is 503 with `Retry-After`; the sender's
//! repetition is harmless, since equal samples count once (except deltas, of which a repetition is
//! a second delta).
//!
//! Every door understands gzip, zstd, snappy and deflate, and takes the tenant from the header
//! `X-Tenant`, `X-Scope-OrgID` or `tenant`.

mod body;
mod counters;
mod cut;
mod door;
mod doors;
mod error;
mod gateway;
mod pool;
mod producer;
mod request;
mod session;
mod settings;

pub use counters::{DoorStats, GatewayStats};
pub use doors::router;
pub use error::{GatewayError, PushError};
pub use gateway::{Clock, Gateway, Pushed};
pub use session::ItemError;
pub use settings::GatewaySettings;

//! OTLP, by table.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod json;
mod make;
mod points;

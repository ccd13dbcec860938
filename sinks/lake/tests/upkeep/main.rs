//! Upkeep against naive oracles: whatever comes late, twice or far ahead, and wherever the process
//! dies, the tables end as if all samples had been there from the start.

#[path = "../common/mod.rs"]
mod common;

mod expiry;
mod fence;
mod life;
mod lost;
mod refused;
mod rows;
mod stream;
mod whole;

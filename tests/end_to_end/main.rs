//! End to end: the real binary, its embedded broker, real producers, real crashes. What SQL answers,
//! and what the lake holds at the end, read back file by file, is compared with a naive oracle.
//!
//! `E2E_SEED` sets the seed of what is random. `E2E_KEEP=DIR` keeps the lakes of `hour`,
//! `disturbed` and `compact` with what was sent, for `tests/foreign/check.py` to read as other engines do.

mod bucket;
mod cluster;
mod compact;
mod crash;
mod deltas;
mod disturbed;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../sources/decode/tests/common/encode.rs"]
mod encode;
mod hour;
mod keep;
mod lake;
mod node;
mod oracle;
mod producer;
mod recording;
mod s3;
mod s3_server;
mod sql;
mod stamps;
mod trouble;

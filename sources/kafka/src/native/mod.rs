//! A thin, safe skin over librdkafka's C interface.
//!
//! rdkafka's own consumer hands out one message at a time and polls one event for each, which
//! costs more than decoding a small record does. Here a batch is taken by one call into one array.
//! Partitions are read by the library's simple consumer: explicit partitions and offsets, no
//! group, no coordinator, nothing committed to Kafka.
//!
//! Lifetimes are held by ownership: queues and topics keep their client alive, batches keep their
//! queue, so `rd_kafka_destroy` always comes last and never waits for something still held.

pub(crate) mod admin;
mod batch;
mod client;

pub(crate) use batch::{Batch, Code, Message};
pub(crate) use client::{BEGINNING, Client, END, Queue, Topic};

//! The broker as a process of its own, under librdkafka and under raw bytes.

mod durability;
mod groups;
mod limits;
mod malformed;
mod process;
mod records;
mod refusals;

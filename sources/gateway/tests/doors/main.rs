//! Every door over real HTTP, against a Kafka cluster made up by librdkafka.

mod bodies;
mod broker;
mod headers;
mod house;
mod influx;
mod json;
mod otlp;
mod remote_write;

//! HTTP doors that push samples into Kafka.

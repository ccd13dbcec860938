//! Reads Kafka partitions by static assignment and decodes them into chunks.

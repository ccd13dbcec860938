//! The host agent: this machine's metrics under node_exporter's names, delivered with retries and a disk buffer.

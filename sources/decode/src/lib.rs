//! Decoders of wire formats into samples: JSON, Influx lines, Prometheus remote write, OTLP.

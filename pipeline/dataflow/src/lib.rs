//! The timely dataflow: epochs, watermarks, exchange, windows and rollups. Does no I/O.

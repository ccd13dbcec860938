//! The machine's clock, so that its being wrong can be seen.

use std::io;

use super::Machine;
use crate::scrape::{Family, Scrape};

static TIME: Family = Family::gauge(
    "node_time_seconds",
    "System time in seconds since epoch (1970).",
);

pub(super) fn collect(_machine: &Machine, now: i64, out: &mut Scrape) -> io::Result<()> {
    out.push(&TIME, &[], now as f64 / 1000.0);
    Ok(())
}

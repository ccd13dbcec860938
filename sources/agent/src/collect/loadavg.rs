//! Load averages, from `/proc/loadavg`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

static LOADS: [Family; 3] = [
    Family::gauge("node_load1", "1m load average."),
    Family::gauge("node_load5", "5m load average."),
    Family::gauge("node_load15", "15m load average."),
];

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("loadavg")?, out);
    Ok(())
}

fn parse(loadavg: &str, out: &mut Scrape) {
    for (family, field) in LOADS.iter().zip(loadavg.split_ascii_whitespace()) {
        if let Some(load) = number(field) {
            out.push(family, &[], load);
        }
    }
}

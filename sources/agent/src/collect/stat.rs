//! Boot time, context switches, interrupts and processes, from `/proc/stat`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

static LINES: [(&str, Family); 6] = [
    (
        "btime",
        Family::gauge("node_boot_time_seconds", "Node boot time, in unixtime."),
    ),
    (
        "ctxt",
        Family::counter(
            "node_context_switches_total",
            "Total number of context switches.",
        ),
    ),
    (
        "intr",
        Family::counter("node_intr_total", "Total number of interrupts serviced."),
    ),
    (
        "processes",
        Family::counter("node_forks_total", "Total number of forks."),
    ),
    (
        "procs_blocked",
        Family::gauge(
            "node_procs_blocked",
            "Number of processes blocked waiting for I/O to complete.",
        ),
    ),
    (
        "procs_running",
        Family::gauge(
            "node_procs_running",
            "Number of processes in runnable state.",
        ),
    ),
];

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("stat")?, out);
    Ok(())
}

fn parse(stat: &str, out: &mut Scrape) {
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(word), Some(value)) = (fields.next(), fields.next()) else {
            continue;
        };
        let known = LINES.iter().find(|(known, _)| *known == word);
        if let (Some((_, family)), Some(value)) = (known, number(value)) {
            out.push(family, &[], value);
        }
    }
}

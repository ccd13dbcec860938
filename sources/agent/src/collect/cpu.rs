//! Seconds each processor spent in each mode, from `/proc/stat`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

static SECONDS: Family = Family::counter(
    "node_cpu_seconds_total",
    "Seconds the CPUs spent in each mode.",
);
static GUEST: Family = Family::counter(
    "node_cpu_guest_seconds_total",
    "Seconds the CPUs spent in guests (VMs) for each mode.",
);

/// The columns of a processor's line; older kernels have fewer.
static MODES: [(&Family, &str); 10] = [
    (&SECONDS, "user"),
    (&SECONDS, "nice"),
    (&SECONDS, "system"),
    (&SECONDS, "idle"),
    (&SECONDS, "iowait"),
    (&SECONDS, "irq"),
    (&SECONDS, "softirq"),
    (&SECONDS, "steal"),
    (&GUEST, "user"),
    (&GUEST, "nice"),
];

/// Times in `/proc/stat` are in hundredths of a second on every architecture that Linux runs on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("stat")?, out);
    Ok(())
}

fn parse(stat: &str, out: &mut Scrape) {
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(cpu) = fields.next().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        if cpu.is_empty() {
            continue;
        }
        for ((family, mode), field) in MODES.iter().zip(fields) {
            if let Some(ticks) = number(field) {
                out.push(
                    family,
                    &[("cpu", cpu), ("mode", mode)],
                    ticks / TICKS_PER_SECOND,
                );
            }
        }
    }
}

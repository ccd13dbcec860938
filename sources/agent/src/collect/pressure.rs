//! How long processes had to wait for processors, memory and I/O, from `/proc/pressure`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

/// File, first word of the line, metric.
static TOTALS: [(&str, &str, Family); 5] = [
    (
        "pressure/cpu",
        "some",
        Family::counter(
            "node_pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
        ),
    ),
    (
        "pressure/io",
        "some",
        Family::counter(
            "node_pressure_io_waiting_seconds_total",
            "Total time in seconds that processes have waited due to IO congestion",
        ),
    ),
    (
        "pressure/io",
        "full",
        Family::counter(
            "node_pressure_io_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IO congestion",
        ),
    ),
    (
        "pressure/memory",
        "some",
        Family::counter(
            "node_pressure_memory_waiting_seconds_total",
            "Total time in seconds that processes have waited for memory",
        ),
    ),
    (
        "pressure/memory",
        "full",
        Family::counter(
            "node_pressure_memory_stalled_seconds_total",
            "Total time in seconds no process could make progress due to memory congestion",
        ),
    ),
];

const MICROSECONDS: f64 = 1e6;

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    for (file, word, family) in &TOTALS {
        if let Some(total) = total(&machine.proc(file)?, word) {
            out.push(family, &[], total / MICROSECONDS);
        }
    }
    Ok(())
}

/// The number behind `total=` in the line that begins with `word`, in microseconds.
fn total(pressure: &str, word: &str) -> Option<f64> {
    let line = pressure
        .lines()
        .find(|line| line.split(' ').next() == Some(word))?;
    line.split(' ')
        .find_map(|field| field.strip_prefix("total="))
        .and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_total() {
        let text = "some avg10=0.00 avg60=0.10 avg300=0.20 total=1500000\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(total(text, "some"), Some(1_500_000.0));
        assert_eq!(total(text, "full"), Some(7.0));
        assert_eq!(total("some avg10=0.00\n", "some"), None);
    }
}

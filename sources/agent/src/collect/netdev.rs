//! What each network device received and sent, from `/proc/net/dev`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

macro_rules! columns {
    ($($direction:literal $column:literal),+ $(,)?) => {
        [$(Family::counter(
            concat!("node_network_", $direction, "_", $column, "_total"),
            concat!("Network device statistic ", $direction, "_", $column, "."),
        )),+]
    };
}

static COLUMNS: [Family; 16] = columns![
    "receive" "bytes", "receive" "packets", "receive" "errs", "receive" "drop",
    "receive" "fifo", "receive" "frame", "receive" "compressed", "receive" "multicast",
    "transmit" "bytes", "transmit" "packets", "transmit" "errs", "transmit" "drop",
    "transmit" "fifo", "transmit" "colls", "transmit" "carrier", "transmit" "compressed",
];

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("net/dev")?, out);
    Ok(())
}

fn parse(net_dev: &str, out: &mut Scrape) {
    for line in net_dev.lines() {
        // A device's name may hold a colon itself, as `eth0:1` does; what follows it never does.
        let Some((device, columns)) = line.rsplit_once(':') else {
            continue;
        };
        let device = device.trim();
        for (family, field) in COLUMNS.iter().zip(columns.split_ascii_whitespace()) {
            if let Some(value) = number(field) {
                out.push(family, &[("device", device)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_stand_right_behind_the_colon() {
        let mut out = Scrape::default();
        parse(
            "Inter-| Receive\n face |bytes\n  eth0:123 4\neth0:1: 5\n",
            &mut out,
        );
        let lines = crate::scrape::lines(&out);
        assert_eq!(
            lines,
            [
                "node_network_receive_bytes_total{device=\"eth0\"} 123",
                "node_network_receive_bytes_total{device=\"eth0:1\"} 5",
                "node_network_receive_packets_total{device=\"eth0\"} 4",
            ]
        );
    }
}

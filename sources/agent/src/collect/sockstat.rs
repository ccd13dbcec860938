//! Sockets in use by protocol, from `/proc/net/sockstat` and `sockstat6`.

use std::io;

use tidegauge_model::MetricType;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(
        &machine.proc("net/sockstat")?,
        rustix::param::page_size(),
        out,
    );
    // Absent where IPv6 is off.
    if let Ok(sockstat6) = machine.proc("net/sockstat6") {
        parse(&sockstat6, rustix::param::page_size(), out);
    }
    Ok(())
}

fn parse(sockstat: &str, page_bytes: usize, out: &mut Scrape) {
    for line in sockstat.lines() {
        let Some((protocol, rest)) = line.split_once(':') else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        while let (Some(state), Some(value)) = (fields.next(), fields.next()) {
            let Some(value) = number(value) else { continue };
            push(protocol, state, value, out);
            // Given in pages.
            if state == "mem" && matches!(protocol, "TCP" | "UDP") {
                push(protocol, "mem_bytes", value * page_bytes as f64, out);
            }
        }
    }
}

fn push(protocol: &str, state: &str, value: f64, out: &mut Scrape) {
    let (name, help) = if protocol == "sockets" {
        (
            format!("node_sockstat_sockets_{state}"),
            "Number of IPv4 sockets in use.".to_owned(),
        )
    } else {
        let help = format!("Number of {protocol} sockets in state {state}.");
        (format!("node_sockstat_{protocol}_{state}"), help)
    };
    out.push(&Family::found(name, MetricType::Gauge, help), &[], value);
}

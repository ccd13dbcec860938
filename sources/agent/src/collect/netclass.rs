//! What each network device is and whether it is up, from `/sys/class/net`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

static UP: Family = Family::gauge(
    "node_network_up",
    "Value is 1 if operstate is 'up', 0 otherwise.",
);
static INFO: Family = Family::gauge(
    "node_network_info",
    "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
);

/// The labels of the info metric, each the name of its file.
const WORDS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];

/// Megabits per second, as the kernel gives a device's speed, in bytes.
const BYTES_PER_MEGABIT: f64 = 125_000.0;

/// Files with one number in each.
static NUMBERS: [(&str, Family, f64); 7] = [
    (
        "carrier",
        Family::gauge("node_network_carrier", "Network device property: carrier"),
        1.0,
    ),
    (
        "carrier_changes",
        Family::counter(
            "node_network_carrier_changes_total",
            "Network device property: carrier_changes_total",
        ),
        1.0,
    ),
    (
        "carrier_down_count",
        Family::counter(
            "node_network_carrier_down_changes_total",
            "Network device property: carrier_down_changes_total",
        ),
        1.0,
    ),
    (
        "carrier_up_count",
        Family::counter(
            "node_network_carrier_up_changes_total",
            "Network device property: carrier_up_changes_total",
        ),
        1.0,
    ),
    (
        "mtu",
        Family::gauge(
            "node_network_mtu_bytes",
            "Network device property: mtu_bytes",
        ),
        1.0,
    ),
    (
        "speed",
        Family::gauge(
            "node_network_speed_bytes",
            "Network device property: speed_bytes",
        ),
        BYTES_PER_MEGABIT,
    ),
    (
        "tx_queue_len",
        Family::gauge(
            "node_network_transmit_queue_length",
            "Network device property: transmit_queue_length",
        ),
        1.0,
    ),
];

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    for device in machine.sys_names("class/net")? {
        // A device that is down refuses to tell some of these; one may vanish while we read.
        device_samples(
            &device,
            |file| machine.sys(&format!("class/net/{device}/{file}")).ok(),
            out,
        );
    }
    Ok(())
}

fn device_samples(device: &str, read: impl Fn(&str) -> Option<String>, out: &mut Scrape) {
    let word = |file: &str| read(file).map(|text| text.trim().to_owned());
    let Some(state) = word("operstate") else {
        return;
    };
    out.push(
        &UP,
        &[("device", device)],
        f64::from(u8::from(state == "up")),
    );
    let words: Vec<String> = WORDS
        .iter()
        .map(|file| word(file).unwrap_or_default())
        .collect();
    let mut labels = vec![("device", device)];
    labels.extend(
        WORDS
            .iter()
            .zip(&words)
            .map(|(name, value)| (*name, value.as_str())),
    );
    out.push(&INFO, &labels, 1.0);
    for (file, family, scale) in &NUMBERS {
        if let Some(value) = word(file).as_deref().and_then(number) {
            out.push(family, &[("device", device)], value * scale);
        }
    }
}

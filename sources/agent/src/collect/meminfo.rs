//! Memory, from `/proc/meminfo`: each of its lines is a metric.

use std::io;

use tidegauge_model::MetricType;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("meminfo")?, out);
    Ok(())
}

fn parse(meminfo: &str, out: &mut Scrape) {
    for line in meminfo.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        let Some(value) = fields.next().and_then(number) else {
            continue;
        };
        // `Active(anon)` is written Active_anon.
        let mut field = name.replace('(', "_").replace(')', "");
        let mut scale = 1.0;
        if fields.next() == Some("kB") {
            field.push_str("_bytes");
            scale = 1024.0;
        }
        let help = format!("Memory information field {field}.");
        let family = Family::found(format!("node_memory_{field}"), MetricType::Gauge, help);
        out.push(&family, &[], value * scale);
    }
}

//! Paging, page faults and kills for want of memory, from `/proc/vmstat`.

use std::io;

use tidegauge_model::MetricType;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("vmstat")?, out);
    Ok(())
}

fn parse(vmstat: &str, out: &mut Scrape) {
    for line in vmstat.lines() {
        let Some((field, value)) = line.split_once(' ') else {
            continue;
        };
        let Some(value) = number(value).filter(|_| is_taken(field)) else {
            continue;
        };
        let help = format!("/proc/vmstat information field {field}.");
        let name = format!("node_vmstat_{field}");
        out.push(&Family::found(name, MetricType::Unknown, help), &[], value);
    }
}

/// The few of a hundred and more that tell of trouble, as node_exporter chooses them.
fn is_taken(field: &str) -> bool {
    field.starts_with("oom_kill")
        || field.starts_with("pgpg")
        || field.starts_with("pswp")
        || (field.starts_with("pg") && field.contains("fault"))
}

//! The collectors: one file each, every one a pure function from a kernel file's text to samples,
//! with a few lines at its foot that read the file.

mod cpu;
mod diskstats;
mod filefd;
mod filesystem;
mod loadavg;
mod machine;
mod meminfo;
mod netclass;
mod netdev;
mod pressure;
mod sockstat;
mod stat;
mod time;
mod uname;
mod vmstat;

use std::io;
use std::time::Instant;

use crate::scrape::{Family, Scrape};

pub(crate) use machine::Machine;
pub(crate) use uname::hostname;

/// A part of the machine that can be looked at.
#[derive(Clone, Copy)]
pub(crate) struct Collector {
    /// The word in the settings and in the label `collector`.
    pub(crate) name: &'static str,
    collect: fn(&Machine, i64, &mut Scrape) -> io::Result<()>,
}

/// Every collector there is, in the order in which their samples come.
pub(crate) const ALL: [Collector; 14] = [
    Collector {
        name: "cpu",
        collect: cpu::collect,
    },
    Collector {
        name: "diskstats",
        collect: diskstats::collect,
    },
    Collector {
        name: "filefd",
        collect: filefd::collect,
    },
    Collector {
        name: "filesystem",
        collect: filesystem::collect,
    },
    Collector {
        name: "loadavg",
        collect: loadavg::collect,
    },
    Collector {
        name: "meminfo",
        collect: meminfo::collect,
    },
    Collector {
        name: "netclass",
        collect: netclass::collect,
    },
    Collector {
        name: "netdev",
        collect: netdev::collect,
    },
    Collector {
        name: "pressure",
        collect: pressure::collect,
    },
    Collector {
        name: "sockstat",
        collect: sockstat::collect,
    },
    Collector {
        name: "stat",
        collect: stat::collect,
    },
    Collector {
        name: "time",
        collect: time::collect,
    },
    Collector {
        name: "uname",
        collect: uname::collect,
    },
    Collector {
        name: "vmstat",
        collect: vmstat::collect,
    },
];

static SUCCESS: Family = Family::gauge(
    "node_scrape_collector_success",
    "node_exporter: Whether a collector succeeded.",
);
static DURATION: Family = Family::gauge(
    "node_scrape_collector_duration_seconds",
    "node_exporter: Duration of a collector scrape.",
);

/// The collectors in use, and which of them this kernel has no files for.
pub(crate) struct Collectors {
    active: Vec<Collector>,
    machine: Machine,
}

impl Collectors {
    pub(crate) fn new(active: Vec<Collector>, machine: Machine) -> Self {
        Self { active, machine }
    }

    /// Looks at everything once. A collector whose file does not exist is not asked again; any
    /// other failure is told by its `node_scrape_collector_success` and tried anew next time.
    pub(crate) fn scrape(&mut self, now: i64, out: &mut Scrape) {
        let machine = &self.machine;
        self.active.retain(|collector| {
            let started = Instant::now();
            let before = out.samples.len();
            let result = (collector.collect)(machine, now, out);
            if let Err(error) = &result {
                out.samples.truncate(before);
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::Unsupported
                ) {
                    tracing::info!(collector = collector.name, %error, "not on this machine");
                    return false;
                }
                tracing::debug!(collector = collector.name, %error, "a collector failed");
            }
            let labels = [("collector", collector.name)];
            out.push(&SUCCESS, &labels, f64::from(u8::from(result.is_ok())));
            out.push(&DURATION, &labels, started.elapsed().as_secs_f64());
            true
        });
    }
}

/// A field of a kernel file as a number; a field that is none is passed over by its caller.
fn number(field: &str) -> Option<f64> {
    field.parse().ok()
}

#[cfg(test)]
mod tests;

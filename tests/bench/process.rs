//! What a process has used, from /proc.

use std::collections::BTreeMap;

/// What a process has used since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads, also those that have ended.
    pub(crate) cpu_s: f64,
    pub(crate) peak_rss_bytes: u64,
    /// The same time by group of threads; what ended threads used is under `rest`.
    pub(crate) groups: BTreeMap<&'static str, f64>,
}

/// The groups, in the order of the data's way.
pub(crate) const GROUPS: [&str; 7] = [
    "fetch", "sources", "dataflow", "sink", "commits", "upkeep", "rest",
];

/// Which part of the program a thread belongs to.
fn group(thread: &str) -> &'static str {
    match thread {
        name if name.starts_with("rdk:") => "fetch",
        "kafka-read" | "kafka-ask" | "controls" => "sources",
        name if name.starts_with("timely") => "dataflow",
        "dataflow" | "ticker" => "dataflow",
        "sink" => "sink",
        "commits" => "commits",
        "upkeep" => "upkeep",
        _ => "rest",
    }
}

/// Reads what process `pid` has used; none once it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let cpu_s = cpu_s(pid)?;
    let mut groups: BTreeMap<&'static str, f64> = GROUPS.map(|name| (name, 0.0)).into();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .flatten()
    {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).ok();
        // A thread may end meanwhile.
        let Some((name, spent)) = read("comm").zip(read("schedstat")) else {
            continue;
        };
        let spent = spent.split(' ').next().and_then(|ns| ns.parse().ok());
        *groups.entry(group(name.trim())).or_default() += spent.unwrap_or(0.0) / 1e9;
    }
    let known: f64 = groups.values().sum();
    *groups.entry("rest").or_default() += (cpu_s - known).max(0.0);
    Some(Usage {
        cpu_s,
        peak_rss_bytes: peak_rss_bytes(pid)?,
        groups,
    })
}

/// User and system time, in steps of a clock tick (10 ms).
pub(crate) fn cpu_s(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; field 3 follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
    // SAFETY: sysconf only reads a constant of the system.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    #[expect(clippy::cast_precision_loss, reason = "100 on Linux")]
    Some(ticks / a_second as f64)
}

fn peak_rss_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

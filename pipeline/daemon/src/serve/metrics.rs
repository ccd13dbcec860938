//! Our own metrics in Prometheus's text format (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

use super::process::Usage;
use crate::stats::Stats;

/// Everything in one text.
pub(super) fn render(stats: &Stats, usage: &Usage) -> String {
    let mut page = Page::default();
    process(&mut page, stats, usage);
    input(&mut page, stats);
    stream(&mut page, stats);
    lake(&mut page, stats);
    doors(&mut page, stats);
    page.0
}

/// A page under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A time in seconds, if it is known.
    fn time(&mut self, name: &str, help: &str, at_ms: Option<i64>) {
        if let Some(at_ms) = at_ms {
            self.gauge(name, help, at_ms as f64 / 1000.0);
        }
    }
}

fn process(page: &mut Page, stats: &Stats, usage: &Usage) {
    page.family("tidegauge_build_info", "gauge", "The running version.");
    page.sample(
        "tidegauge_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
    page.counter(
        "process_cpu_seconds_total",
        "CPU time, user and system.",
        usage.cpu_seconds,
    );
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory.",
        usage.resident_bytes,
    );
    page.gauge(
        "process_virtual_memory_bytes",
        "Address space.",
        usage.virtual_bytes,
    );
    page.gauge("process_threads", "Threads.", usage.threads);
    page.gauge(
        "process_open_fds",
        "Open files and sockets.",
        usage.open_fds,
    );
    page.time(
        "process_start_time_seconds",
        "When the process started.",
        Some(stats.started_at),
    );
}

fn input(page: &mut Page, stats: &Stats) {
    page.counter(
        "tidegauge_records_total",
        "Records taken from Kafka.",
        stats.records,
    );
    page.counter(
        "tidegauge_record_bytes_total",
        "Their bytes.",
        stats.record_bytes,
    );
    let name = "tidegauge_skipped_total";
    page.family(
        name,
        "counter",
        "What was passed over in records on purpose.",
    );
    for (what, count) in &stats.skipped {
        page.sample(name, &[("what", what)], count);
    }
    let name = "tidegauge_partition_lag_records";
    page.family(name, "gauge", "Records that wait in a partition.");
    partitions(page, stats, name, |partition| Some(partition.lag));
    let name = "tidegauge_partition_next_offset";
    page.family(name, "gauge", "The next offset to read.");
    partitions(page, stats, name, |partition| Some(partition.next));
    let name = "tidegauge_partition_committed_offset";
    page.family(name, "gauge", "The next offset to commit.");
    partitions(page, stats, name, |partition| partition.committed);
    let name = "tidegauge_partition_blocked";
    page.family(name, "gauge", "1 if a partition can't be read.");
    partitions(page, stats, name, |partition| {
        Some(i64::from(partition.blocked.is_some()))
    });
    let up = |trouble: &Option<String>| u8::from(trouble.is_none());
    page.gauge(
        "tidegauge_kafka_up",
        "0 while Kafka can't be reached.",
        up(&stats.kafka_trouble),
    );
    page.gauge(
        "tidegauge_store_up",
        "0 while the store can't be reached.",
        up(&stats.store_trouble),
    );
    let name = "tidegauge_agent_dropped_samples_total";
    page.counter(
        name,
        "Samples the host agent dropped, its buffer full.",
        stats.agent_dropped_samples,
    );
}

fn partitions(
    page: &mut Page,
    stats: &Stats,
    name: &str,
    value: impl Fn(&crate::stats::PartitionStats) -> Option<i64>,
) {
    for partition in &stats.partitions {
        if let Some(value) = value(partition) {
            let index = partition.partition.to_string();
            page.sample(
                name,
                &[
                    ("topic", partition.topic.as_str()),
                    ("partition", index.as_str()),
                ],
                value,
            );
        }
    }
}

fn stream(page: &mut Page, stats: &Stats) {
    let (stream, counts) = (&stats.stream, &stats.stream.counts);
    page.counter("tidegauge_samples_total", "Samples taken.", counts.samples);
    page.counter(
        "tidegauge_late_samples_total",
        "Of them at or before the watermark.",
        counts.late,
    );
    let name = "tidegauge_quarantined_samples_total";
    page.counter(name, "Of them past the future cutoff.", counts.quarantined);
    page.counter(
        "tidegauge_duplicate_samples_total",
        "Duplicates found.",
        counts.duplicate,
    );
    page.counter(
        "tidegauge_rejected_total",
        "Records and samples refused.",
        counts.rejected,
    );
    page.gauge("tidegauge_epoch", "The newest epoch.", stream.epoch);
    page.gauge(
        "tidegauge_generation",
        "Which life of the pipeline this is.",
        stream.generation,
    );
    page.time(
        "tidegauge_watermark_seconds",
        "Event time up to which input is complete.",
        stream.watermark,
    );
    page.gauge(
        "tidegauge_open_windows",
        "Windows not yet closed.",
        stream.open_windows,
    );
    page.gauge(
        "tidegauge_open_samples",
        "Samples held in them.",
        stream.open_samples,
    );
    page.gauge(
        "tidegauge_dirty_windows",
        "Closed windows to be recomputed.",
        stream.dirty_windows,
    );
    page.gauge(
        "tidegauge_series",
        "Series known to workers.",
        stream.series,
    );
    page.gauge(
        "tidegauge_in_flight_samples",
        "Samples taken, not yet committed.",
        stream.in_flight,
    );
    let families = [
        ("tidegauge_bound_used", "What is used of a bound on memory."),
        ("tidegauge_bound_most", "The most that may be used."),
        ("tidegauge_bound_holds", "1 if the bound holds input back."),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        page.family(name, "gauge", help);
        for bound in &stats.bounds {
            let value = [bound.used, bound.most, u64::from(bound.holds)][at];
            page.sample(name, &[("bound", bound.name.as_str())], value);
        }
    }
}

fn lake(page: &mut Page, stats: &Stats) {
    let commits = &stats.commits;
    let name = "tidegauge_commits_total";
    page.family(name, "counter", "Commits made.");
    page.sample(name, &[("kind", "stream")], commits.count);
    let upkeep = stats.upkeep.unwrap_or_default();
    page.sample(name, &[("kind", "upkeep")], upkeep.commits);
    page.counter(
        "tidegauge_commit_seconds_total",
        "Time commits of the stream took.",
        commits.seconds,
    );
    page.gauge(
        "tidegauge_last_commit_duration_seconds",
        "Of the last one.",
        commits.last_seconds,
    );
    page.time(
        "tidegauge_last_commit_seconds",
        "When the last commit was made.",
        commits.at,
    );
    page.counter(
        "tidegauge_committed_samples_total",
        "Samples committed.",
        commits.samples,
    );
    page.counter(
        "tidegauge_committed_bytes_total",
        "Bytes of files committed.",
        commits.bytes,
    );
    let families = [
        (
            "tidegauge_upkeep_seconds_total",
            "Time upkeep took.",
            upkeep.seconds,
        ),
        (
            "tidegauge_upkeep_minutes_repaired_total",
            "Dirty minutes repaired.",
            upkeep.minutes_repaired as f64,
        ),
        (
            "tidegauge_upkeep_files_merged_total",
            "Files that merges took in.",
            upkeep.files_merged as f64,
        ),
        (
            "tidegauge_upkeep_files_expired_total",
            "Files removed as expired.",
            upkeep.files_expired as f64,
        ),
        (
            "tidegauge_upkeep_objects_deleted_total",
            "Objects deleted.",
            upkeep.objects_deleted as f64,
        ),
    ];
    for (name, help, value) in families {
        page.counter(name, help, value);
    }
    if let Some(version) = commits.version {
        page.gauge(
            "tidegauge_lake_version",
            "The newest version of the lake.",
            version,
        );
    }
    let families = [
        ("tidegauge_table_files", "Live files of a table."),
        ("tidegauge_table_bytes", "Their bytes."),
        ("tidegauge_table_rows", "Their rows."),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        page.family(name, "gauge", help);
        for table in &stats.tables {
            let value = [table.files, table.bytes, table.rows][at];
            page.sample(name, &[("table", table.table.as_str())], value);
        }
    }
    page.gauge(
        "tidegauge_queries_running",
        "Queries at work.",
        stats.queries_running,
    );
}

fn doors(page: &mut Page, stats: &Stats) {
    let families = [
        ("tidegauge_push_requests_total", "Requests at a door."),
        ("tidegauge_push_bytes_total", "Bytes of their bodies."),
        (
            "tidegauge_push_samples_total",
            "Samples that Kafka has acknowledged.",
        ),
        ("tidegauge_push_rejected_total", "Samples refused."),
        ("tidegauge_push_refused_total", "Requests refused whole."),
        ("tidegauge_push_unavailable_total", "Requests answered 503."),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        page.family(name, "counter", help);
        for door in &stats.pushes {
            let value = [
                door.requests,
                door.bytes,
                door.accepted,
                door.rejected,
                door.refused,
                door.unavailable,
            ][at];
            page.sample(name, &[("door", door.door.as_str())], value);
        }
    }
    let name = "tidegauge_push_skipped_total";
    page.family(
        name,
        "counter",
        "What was passed over in bodies on purpose.",
    );
    for door in &stats.pushes {
        for (what, count) in &door.skipped {
            page.sample(name, &[("door", door.door.as_str()), ("what", what)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{PartitionStats, PushStats};

    #[test]
    fn every_line_is_of_the_format_and_every_family_is_declared_once() {
        let mut stats = Stats::default();
        let odd = PartitionStats {
            topic: "a\"b\\c\n".into(),
            lag: 7,
            ..PartitionStats::default()
        };
        stats.partitions.push(odd);
        stats.skipped = [("exemplars", 3), ("tombstones", 1)].into();
        stats.pushes.push(PushStats {
            door: "influx".into(),
            skipped: [("string_fields", 2)].into(),
            ..PushStats::default()
        });
        let text = render(&stats, &Usage::default());
        let mut declared = Vec::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let name = family.split(' ').next().expect("a name").to_owned();
                assert!(!declared.contains(&name), "{name} twice");
                declared.push(name);
            } else if !line.starts_with("# HELP ") {
                let (metric, value) = line.rsplit_once(' ').expect("name and value");
                let name = metric.split('{').next().expect("a name");
                assert_eq!(declared.last().map(String::as_str), Some(name), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for line in [
            "tidegauge_partition_lag_records{topic=\"a\\\"b\\\\c\\n\",partition=\"0\"} 7",
            "tidegauge_skipped_total{what=\"tombstones\"} 1",
            "tidegauge_push_skipped_total{door=\"influx\",what=\"string_fields\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}

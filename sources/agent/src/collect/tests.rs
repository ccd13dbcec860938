//! One machine's files (`tests/machine`) against what node_exporter 1.5.0 made of the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::scrape::lines;

/// These ask the running machine, not files.
const LIVE: [&str; 3] = ["filesystem", "time", "uname"];

fn fixture() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine")
}

fn scrape(names: impl Fn(&str) -> bool, machine: Machine) -> Scrape {
    let chosen = ALL
        .into_iter()
        .filter(|collector| names(collector.name))
        .collect();
    let mut out = Scrape::default();
    Collectors::new(chosen, machine).scrape(1_700_000_000_500, &mut out);
    out.samples
        .retain(|sample| !sample.family.name.starts_with("node_scrape_"));
    out
}

/// Series and value of each line, the value as bits.
fn values<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, f64> {
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn samples_are_those_of_node_exporter() {
    let expected = std::fs::read_to_string(fixture().join("node_exporter.txt")).expect("fixture");
    let expected = values(expected.lines().filter(|line| !line.starts_with('#')));
    let ours = lines(&scrape(
        |name| !LIVE.contains(&name),
        Machine::below(&fixture()),
    ));
    let ours = values(ours.iter().map(String::as_str));
    let names = |map: &BTreeMap<String, f64>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (theirs_only, ours_only) = (
        names(&expected)
            .difference(&names(&ours))
            .cloned()
            .collect::<Vec<_>>(),
        names(&ours)
            .difference(&names(&expected))
            .cloned()
            .collect::<Vec<_>>(),
    );
    assert!(
        theirs_only.is_empty() && ours_only.is_empty(),
        "{theirs_only:#?} {ours_only:#?}"
    );
    for (series, theirs) in &expected {
        let ours = ours[series];
        assert!(
            (ours - theirs).abs() <= theirs.abs() * 1e-15,
            "{series}: {ours} {theirs}"
        );
    }
}

#[test]
fn types_and_help_are_those_of_node_exporter() {
    let expected = std::fs::read_to_string(fixture().join("node_exporter.txt")).expect("fixture");
    let mut theirs: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in expected.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some(what), Some(name), Some(text)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let entry = theirs.entry(name).or_default();
        *(if what == "HELP" {
            &mut entry.0
        } else {
            &mut entry.1
        }) = text;
    }
    let scrape = scrape(|name| !LIVE.contains(&name), Machine::below(&fixture()));
    for sample in &scrape.samples {
        let family = &sample.family;
        let (help, metric_type) = theirs[&*family.name];
        let metric_type = if metric_type == "untyped" {
            "unknown"
        } else {
            metric_type
        };
        assert_eq!(
            (&*family.help, family.metric_type.as_str()),
            (help, metric_type),
            "{family:?}"
        );
    }
}

#[test]
fn the_running_machine_is_asked_for_the_rest() {
    let lines = lines(&scrape(
        |name| LIVE.contains(&name),
        Machine::below(&fixture()),
    ));
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(has("node_time_seconds 1700000000.5"), "{lines:#?}");
    assert!(has("node_uname_info{"), "{lines:#?}");
    assert!(has(
        "node_filesystem_size_bytes{device=\"/dev/vda\",fstype=\"ext4\",mountpoint=\"/\"}"
    ));
    assert!(
        !lines.iter().any(|line| line.contains("/dev/shm")),
        "{lines:#?}"
    );
}

#[test]
fn a_missing_file_ends_its_collector_and_nothing_else() {
    let empty = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(empty.path().join("proc")).expect("a directory");
    std::fs::write(empty.path().join("proc/loadavg"), "0.5 x 0.25 1/2 3\n").expect("a file");
    let mut collectors = Collectors::new(ALL.to_vec(), Machine::below(empty.path()));
    let mut out = Scrape::default();
    collectors.scrape(0, &mut out);
    let names: Vec<_> = collectors
        .active
        .iter()
        .map(|collector| collector.name)
        .collect();
    assert_eq!(names, ["loadavg", "time", "uname"]);
    let lines = lines(&out);
    assert!(lines.contains(&"node_load1 0.5".to_owned()), "{lines:?}");
    assert!(lines.contains(&"node_load15 0.25".to_owned()), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("node_load5")),
        "{lines:?}"
    );
}

#[test]
fn no_text_makes_a_collector_panic() {
    let texts = [
        "",
        "\n",
        ":",
        "a:",
        "cpu",
        "cpu0",
        "cpu0 a b",
        "x 1 sda -",
        "TCP: inuse",
        "\u{0}:\\7",
    ];
    for text in texts {
        let dir = tempfile::tempdir().expect("a directory");
        for file in [
            "stat",
            "diskstats",
            "loadavg",
            "meminfo",
            "vmstat",
            "net/dev",
            "net/sockstat",
            "1/mounts",
            "sys/fs/file-nr",
            "pressure/cpu",
            "pressure/io",
            "pressure/memory",
        ] {
            let path = dir.path().join("proc").join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        let out = scrape(|name| !LIVE.contains(&name), Machine::below(dir.path()));
        assert!(
            out.samples.iter().all(|sample| sample.value.is_finite()),
            "{text:?}"
        );
    }
}

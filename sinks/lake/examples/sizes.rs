//! Prints what a sample costs in files: bytes and CPU nanoseconds, by form of values, profile and shape
//! of commit.
//!
//! `cargo run --release -p tidegauge-lake --example sizes -- FILE.txt.zst`, where FILE is recorded
//! scrapes: a line `#T <ms>` opens one, the rest is the Prometheus text format. Without FILE only
//! generated noise is measured. With a folder as second argument the files of the first file of
//! each measurement are written there, to be looked at with other engines.

use std::collections::BTreeMap;

use tidegauge_lake::{EncodeSettings, Profile, Values, encode_samples};
use tidegauge_model::{DAY_MS, Limits, MINUTE_MS, Runs, Series};
use tidegauge_tables::FileKind;
use uuid::Uuid;

type Rows = (Vec<i64>, Vec<f64>);

fn main() {
    let settings = EncodeSettings::default();
    if let Some(path) = std::env::args().nth(1) {
        let recorded = read(&path);
        let hour = runs(&recorded, 1, |_| true);
        report(
            "hour, compacted",
            std::slice::from_ref(&hour),
            &settings.compaction,
            1,
        );
        report("hour, commit profile", &[hour], &settings.commit, 3);
        let start = recorded.values().map(|rows| rows.0[0]).min().unwrap_or(0);
        let slice = |from: i64, len: i64| move |at: i64| (from..from + len).contains(&at);
        let commits: Vec<Runs> = (0..60)
            .map(|i| runs(&recorded, 1, slice(start + i * 10_000, 10_000)))
            .collect();
        report("10 s commits, 1 target", &commits, &settings.commit, 3);
        let commits = [runs(&recorded, 200, slice(start + 600_000, 10_000))];
        report("10 s commit, 200 targets", &commits, &settings.commit, 3);
        let commits = [runs(&recorded, 200, slice(start + 600_000, 1_000))];
        report("1 sample a series", &commits, &settings.commit, 3);
    }
    let noise: Vec<Runs> = (0..8).map(noise).collect();
    report("noise, days compacted", &noise, &settings.compaction, 1);
}

fn report(what: &str, files: &[Runs], profile: &Profile, times: usize) {
    let samples: usize = files.iter().map(|runs| runs.time.len()).sum();
    for values in [Values::Plain, Values::Compact] {
        let mut bytes = 0;
        let mut best = f64::INFINITY;
        for _ in 0..times {
            let began = cpu_ns();
            bytes = files
                .iter()
                .map(|Runs { runs, time, value }| {
                    let (kind, id) = (FileKind::Main, Uuid::nil());
                    encode_samples(runs, time, value, kind, values, profile, id)
                        .expect("the default settings are valid")
                        .map_or(0, |file| file.bytes.len())
                })
                .sum();
            best = best.min(cpu_ns() - began);
        }
        if let (Some(folder), Some(Runs { runs, time, value })) =
            (std::env::args().nth(2), files.first())
        {
            let (kind, id) = (FileKind::Main, Uuid::nil());
            let file = encode_samples(runs, time, value, kind, values, profile, id);
            let file = file
                .expect("the default settings are valid")
                .expect("has rows");
            let path = format!("{folder}/{what} {values:?}.parquet").replace([',', ' '], "-");
            std::fs::write(path, file.bytes).expect("the folder can be written to");
        }
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let (per_sample, ns) = (bytes as f64 / samples as f64, best / samples as f64);
        println!(
            "{what:26} {values:8?} zstd {:2} {samples:9} samples {per_sample:7.4} B {ns:6.1} ns",
            profile.zstd_level
        );
    }
}

/// CPU time of this thread in nanoseconds, which other work on the machine changes little.
fn cpu_ns() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok());
    spent.expect("this measurement needs Linux, for /proc/thread-self/schedstat")
}

/// `targets` copies of what was recorded, told apart by a label and stamped some milliseconds apart.
fn runs(recorded: &BTreeMap<String, Rows>, targets: i64, keep: impl Fn(i64) -> bool) -> Runs {
    let mut all = Vec::new();
    for (text, (time, value)) in recorded {
        let rows: Vec<(i64, f64)> = std::iter::zip(time.iter().copied(), value.iter().copied())
            .filter(|row| keep(row.0))
            .collect();
        for target in 0..targets {
            let time: Vec<i64> = rows.iter().map(|row| row.0 + target * 37 % 900).collect();
            let value: Vec<f64> = rows.iter().map(|row| row.1).collect();
            all.push((series(text, target), time, value));
        }
    }
    in_file_order(all)
}

fn in_file_order(mut all: Vec<(Series, Vec<i64>, Vec<f64>)>) -> Runs {
    all.sort_by(|a, b| a.0.file_order(&b.0));
    let mut runs = Runs::default();
    for (series, time, value) in &all {
        runs.push(series, time, value);
    }
    runs
}

fn series(text: &str, target: i64) -> Series {
    let (name, rest) = text.split_once('{').unwrap_or((text, ""));
    let target = format!("host-{target:03}:9100");
    let mut labels: Vec<(&str, &str)> = rest
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|label| label.split_once("=\""))
        .map(|(label, value)| (label, value.trim_end_matches('"')))
        .collect();
    labels.extend([("instance", target.as_str()), ("job", "node")]);
    Series::new("default", name, &mut labels, &Limits::default())
        .expect("recorded series are valid")
}

fn read(path: &str) -> BTreeMap<String, Rows> {
    let file = std::fs::File::open(path).expect("the recorded scrapes can be opened");
    let text = zstd::decode_all(file).expect("the recorded scrapes are zstd");
    let text = String::from_utf8(text).expect("scrapes are text");
    let mut recorded = BTreeMap::<String, Rows>::new();
    let mut now = 0;
    for line in text.lines() {
        if let Some(time) = line.strip_prefix("#T ") {
            now = time.parse().expect("#T is followed by milliseconds");
        } else if let Some((key, value)) = line.rsplit_once(' ') {
            let rows = recorded.entry(key.to_owned()).or_default();
            rows.0.push(now);
            rows.1.push(value.parse().expect("samples end in a value"));
        }
    }
    recorded
}

/// One day of 50 gauges (uniform within 2 of their middle, two decimals) and 50 counters (rising by
/// 0 to 99), a sample a minute.
fn noise(day: i64) -> Runs {
    let mut state = day.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = move |below: u64| {
        // xorshift64* (Vigna 2016).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let number = ((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below) as f64;
        number
    };
    let start = 20_000 * DAY_MS + day * DAY_MS;
    let time: Vec<i64> = (0..1440).map(|minute| start + minute * MINUTE_MS).collect();
    let mut all = Vec::new();
    for i in 0..50_u32 {
        let text = format!("noise_gauge{{i=\"{i}\"}}");
        let value = (0..1440)
            .map(|_| (f64::from(2000 + i * 100) + uniform(401) - 200.0) / 100.0)
            .collect();
        all.push((series(&text, 0), time.clone(), value));
        let text = format!("noise_counter{{i=\"{i}\"}}");
        let mut total = uniform(1_000_000) * 50.0;
        let value = (0..1440)
            .map(|_| {
                total += uniform(100);
                total
            })
            .collect();
        all.push((series(&text, 0), time.clone(), value));
    }
    in_file_order(all)
}

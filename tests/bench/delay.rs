//! How long after its production a sample is in SQL's answer, under live load.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::program::Bench;
use crate::recording::Recording;
use crate::table::{Table, number, whole};

const MARKER: &str = "bench_marker";

/// How often SQL is asked.
const ASK: Duration = Duration::from_millis(50);

/// Settings of the commit interval that are measured: the default, and the shortest of use.
const INTERVALS_MS: [&str; 2] = ["10000", "1000"];

pub(crate) fn measure(bench: &Bench<'_>, recording: &Recording) -> Table {
    let rate = whole(number(Live::rate(recording)));
    let title = format!("From production to SQL's answer, at {rate} samples/s of remote write");
    let head = [
        "commit interval s",
        "p50 s",
        "p99 s",
        "worst s",
        "markers",
        "CPU %",
        "peak MiB",
    ];
    let mut table = Table::new(&title, &head);
    for interval_ms in INTERVALS_MS {
        let row = once(bench, recording, interval_ms);
        eprintln!("delay: {}", row.join("  "));
        table.row(row);
    }
    table.note("CPU: of the program, queries included (one each 50 ms)");
    table
}

fn once(bench: &Bench<'_>, recording: &Recording, interval_ms: &str) -> Vec<String> {
    let topic = bench.topic(&format!("delay-{interval_ms}"));
    let data = bench.folder("delay");
    let settings = [("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", interval_ms)];
    let mut program = bench.program(&data, &topic, &settings);
    program.wait("readiness", |http| http.get("/ready"));
    let live = Live::new(recording);
    let (began, before) = (Instant::now(), program.usage());
    let watched = Duration::from_secs(bench.options.delay_s.into());
    let (marked, seen, watched_s, after) = std::thread::scope(|scope| {
        let producing =
            scope.spawn(|| live.produce(&bench.brokers, &topic, recording, Some(MARKER)));
        let mut seen: Vec<(usize, Instant)> = Vec::new();
        let query = format!("SELECT max(value) FROM samples WHERE name = '{MARKER}'");
        let mut look = |http: &crate::http::Http<'_>| {
            let newest = http.sql(&query).and_then(|value| value.as_f64());
            let now = Instant::now();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            let known = newest.map_or(0, |newest| newest as usize + 1);
            if known > seen.last().map_or(0, |seen| seen.0) {
                seen.push((known, now));
            }
            known
        };
        while began.elapsed() < watched {
            program.wait_each(ASK, "answer", |http| Some(look(http)));
            std::thread::sleep(ASK);
        }
        let (watched_s, after) = (began.elapsed().as_secs_f64(), program.usage());
        live.end.store(true, Ordering::Relaxed);
        let marked = producing.join().expect("the producer");
        program.wait_each(ASK, "last marker", |http| {
            (look(http) == marked.len()).then_some(())
        });
        (marked, seen, watched_s, after)
    });
    program.stop();
    let mut delays: Vec<f64> = delays(&marked, &seen);
    delays.sort_by(f64::total_cmp);
    let at = |percent: usize| format!("{:.2}", delays[(delays.len() - 1) * percent / 100]);
    let interval_s = interval_ms.parse::<f64>().expect("milliseconds") / 1e3;
    vec![
        format!("{interval_s}"),
        at(50),
        at(99),
        at(100),
        delays.len().to_string(),
        format!("{:.1}", (after.cpu_s - before.cpu_s) * 100.0 / watched_s),
        crate::table::mib(after.peak_rss_bytes),
    ]
}

/// Seconds from each marker's production to the first answer that held it.
fn delays(marked: &[Instant], seen: &[(usize, Instant)]) -> Vec<f64> {
    let delay = |(number, produced): (usize, &Instant)| {
        let first = seen.iter().find(|(known, _)| *known > number);
        let answered = first.expect("each marker was seen").1;
        answered.duration_since(*produced).as_secs_f64()
    };
    marked.iter().enumerate().map(delay).collect()
}

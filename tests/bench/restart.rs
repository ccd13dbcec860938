//! How long a start takes to be live again, with the load going on: after a clean stop, and after
//! `kill -9` just before a commit was due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::live::{HOSTS, Live};
use crate::machine::now_ms;
use crate::program::{Bench, Program};
use crate::recording::Recording;
use crate::table::{Table, number, whole};

const LOOK: Duration = Duration::from_millis(20);

/// The age of the last commit at which the program is ended; the next is due at 10 s.
const COMMIT_AGE_MS: i64 = 8_000;

pub(crate) fn measure(bench: &Bench<'_>, recording: &Recording) -> Table {
    let rate = whole(number(Live::rate(recording)));
    let title = format!("Restart at {rate} samples/s of remote write, commits each 10 s");
    let head = [
        "after",
        "end took s",
        "ready s",
        "watermark moves s",
        "caught up s",
        "first commit s",
    ];
    let mut table = Table::new(&title, &head);
    let topic = bench.topic("restart");
    let data = bench.folder("restart");
    let live = Live::new(recording);
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| live.produce(&bench.brokers, &topic, recording, None));
        let mut program = bench.program(&data, &topic, &[]);
        for (end, kill) in [("clean stop", false), ("kill -9", true)] {
            until_commit_is_old(&mut program);
            let ended = Instant::now();
            if kill {
                program.kill();
            } else {
                program.stop();
            }
            let end_s = ended.elapsed().as_secs_f64();
            program = bench.program(&data, &topic, &[]);
            let mut row = vec![end.to_owned(), format!("{end_s:.2}")];
            row.extend(watch(&mut program, &live.records, HOSTS.into()).map(|s| format!("{s:.2}")));
            eprintln!("restart: {}", row.join("  "));
            table.row(row);
        }
        live.end.store(true, Ordering::Relaxed);
        producing.join().expect("the producer");
        program.stop();
    });
    table.note(
        "from exec; ended 8 s after a commit. Caught up: less than a second of the load waits",
    );
    table
}

fn until_commit_is_old(program: &mut Program<'_>) {
    program.wait_each(LOOK, "two commits", |http| {
        let stats = http.json("/api/v1/stats/stream")?;
        let commits = &stats["commits"];
        let age = now_ms() - commits["at"].as_i64()?;
        (commits["count"].as_u64()? >= 2 && age >= COMMIT_AGE_MS).then_some(())
    });
}

/// Seconds from the start to: ready, a watermark that moves, caught up (fewer than `second` of the
/// records `produced` wait), the first commit.
pub(crate) fn watch(program: &mut Program<'_>, produced: &AtomicU64, second: u64) -> [f64; 4] {
    let started = program.started;
    let mut at: [Option<f64>; 4] = [None; 4];
    let mut first_watermark = None;
    program.wait_each(LOOK, "first commit and catching up", |http| {
        let now = || started.elapsed().as_secs_f64();
        let stats = http.json("/api/v1/stats/stream")?;
        let queue = http.json("/api/v1/stats/queue")?;
        let watermark = stats["watermark"].as_i64();
        if at[0].is_none() && http.get("/ready").is_some() {
            at[0] = Some(now());
        }
        if at[0].is_some() && first_watermark.is_none() {
            first_watermark = watermark;
        }
        let waits = produced
            .load(Ordering::Relaxed)
            .saturating_sub(next(&queue));
        let reached = [
            at[0].is_some(),
            first_watermark.is_some() && watermark > first_watermark,
            waits < second,
            stats["commits"]["count"].as_u64() >= Some(1),
        ];
        for (at, reached) in at.iter_mut().zip(reached) {
            if reached {
                at.get_or_insert_with(now);
            }
        }
        at.iter().all(Option::is_some).then_some(())
    });
    at.map(|at| at.expect("each was reached"))
}

/// Records that were read, in all partitions.
pub(crate) fn next(queue: &Value) -> u64 {
    let partitions = queue["partitions"].as_array().into_iter().flatten();
    let next = partitions.filter_map(|partition| partition["next"].as_u64());
    next.sum()
}

//! From Kafka to committed Parquet: the whole load lies in Kafka, the program starts, and what it
//! has used is read once every sample and every 1-minute row is committed.

use std::time::Duration;

use crate::load::Load;
use crate::peer;
use crate::process::{GROUPS, Usage};
use crate::program::{Bench, Program, table_of};
use crate::table::{Table, mib, number, whole};

/// One run.
struct Run {
    usage: Usage,
    /// From start until everything was read, and until everything was committed.
    read_s: f64,
    committed_s: f64,
}

/// The tables that [`measure`] fills: throughput and where the time goes.
pub(crate) fn tables() -> Vec<Table> {
    let head = [
        "format",
        "samples",
        "B/sample",
        "CPU-s",
        "samples/CPU-s",
        "ns/sample",
        "read s",
        "samples/s",
        "committed s",
        "peak MiB",
    ];
    let title = "From Kafka to committed Parquet (raw, 1m, 1h), start included";
    let mut split = vec!["CPU ns a sample, by threads"];
    split.extend(GROUPS);
    let mut threads = Table::new("Where the time goes", &split);
    threads.note(
        "fetch: librdkafka's threads; sources: decode; dataflow: timely workers; sink: sort, Parquet, puts; rest: HTTP, store, ended threads",
    );
    vec![Table::new(title, &head), threads]
}

/// Rounds of one load, program and peer alternating; the best round of each counts.
pub(crate) fn measure(
    bench: &Bench<'_>,
    load: &Load,
    program: bool,
    with_peer: bool,
    tables: &mut [Table],
) {
    let name = load.wire.name();
    let topic = bench.produced(name, load);
    let mut best: Option<Run> = None;
    let mut peers = Vec::new();
    for round in 1..=bench.options.rounds {
        if program {
            let run = once(bench, load, &topic);
            eprintln!("{name} {round}: {}", line(load, &run));
            if best
                .as_ref()
                .is_none_or(|best| run.usage.cpu_s < best.usage.cpu_s)
            {
                best = Some(run);
            }
        }
        if with_peer
            && load.wire == crate::formats::Wire::RemoteWrite
            && let Ok(peer) = &bench.peer
        {
            peers.push(peer.feed(bench, load));
        }
    }
    if let Some(best) = best {
        fill(load, &best, tables);
    }
    if let Some(fed) = peer::best(peers) {
        tables[0].note(fed.line(load));
    }
}

fn once(bench: &Bench<'_>, load: &Load, topic: &str) -> Run {
    let data = bench.folder("stream");
    let mut program = bench.program(&data, topic, &[]);
    let read_s = read(&mut program, load);
    let committed_s = committed(&mut program, load);
    let usage = program.usage();
    program.stop();
    Run {
        usage,
        read_s,
        committed_s,
    }
}

/// Waits until every record is taken; how long after the start that was.
fn read(program: &mut Program<'_>, load: &Load) -> f64 {
    program.wait("end of reading", |http| {
        let records = http.json("/api/v1/stats/queue")?["records"].as_u64()?;
        (records >= load.records.len() as u64).then_some(())
    });
    program.started.elapsed().as_secs_f64()
}

/// Waits until every sample and every 1-minute row is committed; how long after the start that was.
pub(crate) fn committed(program: &mut Program<'_>, load: &Load) -> f64 {
    program.wait("commit of everything", |http| {
        let stats = http.json("/api/v1/stats/stream")?;
        assert_eq!(stats["counts"]["rejected"], 0, "nothing is refused");
        let (samples, minutes) = (
            table_of(&stats, "samples").0,
            table_of(&stats, "rollup_1m").0,
        );
        assert!(
            samples <= load.samples && minutes <= load.minutes,
            "{samples} samples and {minutes} minutes are too many"
        );
        (samples == load.samples && minutes == load.minutes).then_some(())
    });
    program.started.elapsed().as_secs_f64()
}

fn cells(load: &Load, run: &Run) -> Vec<String> {
    let samples = number(load.samples);
    vec![
        load.wire.name().to_owned(),
        whole(samples),
        format!("{:.1}", number(load.bytes()) / samples),
        format!("{:.2}", run.usage.cpu_s),
        whole(samples / run.usage.cpu_s),
        whole(run.usage.cpu_s * 1e9 / samples),
        format!("{:.1}", run.read_s),
        whole(samples / run.read_s),
        format!("{:.1}", run.committed_s),
        mib(run.usage.peak_rss_bytes),
    ]
}

fn split(load: &Load, usage: &Usage) -> Vec<String> {
    let samples = number(load.samples);
    let ns = GROUPS.map(|group| usage.groups.get(group).copied().unwrap_or(0.0) * 1e9 / samples);
    ns.map(|ns| format!("{ns:.1}")).into()
}

fn fill(load: &Load, run: &Run, tables: &mut [Table]) {
    tables[0].row(cells(load, run));
    let mut row = vec![load.wire.name().to_owned()];
    row.extend(split(load, &run.usage));
    tables[1].row(row);
}

fn line(load: &Load, run: &Run) -> String {
    let split: Vec<String> = std::iter::zip(GROUPS, split(load, &run.usage))
        .map(|(group, ns)| format!("{group} {ns}"))
        .collect();
    format!(
        "{} samples/CPU-s, {:.2} CPU-s, read {:.1} s, committed {:.1} s, {} MiB; ns a sample: {}",
        whole(number(load.samples) / run.usage.cpu_s),
        run.usage.cpu_s,
        run.read_s,
        run.committed_s,
        mib(run.usage.peak_rss_bytes),
        split.join(", "),
    )
}

/// What a start costs, and running without input, neither of which is subtracted anywhere.
pub(crate) fn idle(bench: &Bench<'_>) -> Table {
    const WATCHED: Duration = Duration::from_secs(10);
    let topic = bench.topic("idle");
    let data = bench.folder("idle");
    let mut program = bench.program(&data, &topic, &[]);
    program.wait("readiness", |http| http.get("/ready"));
    let (ready_s, at_start) = (program.started.elapsed(), program.usage());
    std::thread::sleep(WATCHED);
    let later = program.usage();
    program.stop();
    let mut table = Table::new("Start without input (contained in what follows)", &[]);
    table.note(format!(
        "ready after {:.2} s and {:.2} CPU-s; then {:.1} ms CPU a second; peak {} MiB",
        ready_s.as_secs_f64(),
        at_start.cpu_s,
        (later.cpu_s - at_start.cpu_s) * 1e3 / WATCHED.as_secs_f64(),
        mib(later.peak_rss_bytes),
    ));
    table
}

//! Upkeep: what the tiers weigh before and after it, and what it costs, in both forms of values.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::Load;
use crate::peer;
use crate::program::{Bench, LOOK, Program, table_of};
use crate::stream::committed;
use crate::table::{Table, number};

/// Upkeep is over once it has done nothing for this long, a pass coming each second.
const QUIET: Duration = Duration::from_secs(6);

/// The tables whose size is shown.
const TABLES: [&str; 4] = ["samples", "rollup_1m", "rollup_1h", "series"];

const FOR_EVER: &str = "9000000000000000";

/// Commits the load without upkeep, then lets upkeep do all it would do within hours.
pub(crate) fn measure(bench: &Bench<'_>, what: &str, load: &Load) -> Table {
    let head = [
        "bytes a sample (files)",
        "samples",
        "rollup_1m",
        "rollup_1h",
        "series",
        "CPU ns a sample",
    ];
    let mut table = Table::new(
        &format!(
            "Upkeep of {what}, {} samples",
            crate::table::whole(number(load.samples))
        ),
        &head,
    );
    let topic = bench.produced(&format!("keep-{}", load.series), load);
    for form in ["plain", "compact"] {
        let data = bench.folder("keep");
        let (commit_bytes, held_bytes) = commits(load);
        let keep = |enabled| {
            [
                ("TIDEGAUGE_STREAM__EPOCH_MS", "20"),
                ("TIDEGAUGE_STREAM__COMMIT_BYTES", commit_bytes.as_str()),
                ("TIDEGAUGE_STREAM__IN_FLIGHT_BYTES", held_bytes.as_str()),
                ("TIDEGAUGE_ENCODE__VALUES", form),
                ("TIDEGAUGE_UPKEEP__ENABLED", enabled),
                ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "1000"),
                ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "1000"),
                ("TIDEGAUGE_UPKEEP__RETENTION__RAW_MS", FOR_EVER),
                ("TIDEGAUGE_UPKEEP__RETENTION__M1_MS", FOR_EVER),
                ("TIDEGAUGE_UPKEEP__RETENTION__H1_MS", FOR_EVER),
            ]
        };
        let mut program = bench.program(&data, &topic, &keep("false"));
        committed(&mut program, load);
        let (before, taken) = (program.stats(), program.usage());
        program.stop();
        let row = |when: &str, stats: &Value, cpu_s: f64| {
            let mut cells = vec![format!("{form}, {when}")];
            cells.extend(TABLES.map(|name| weight(stats, name, load)));
            cells.push(format!("{:.1}", cpu_s * 1e9 / number(load.samples)));
            eprintln!("{what}: {}", cells.join("  "));
            cells
        };
        table.row(row("as committed", &before, taken.cpu_s));
        let mut program = bench.program(&data, &topic, &keep("true"));
        let (after, spent) = until_quiet(&mut program);
        assert_eq!(
            table_of(&after, "samples").0,
            load.samples,
            "upkeep loses nothing"
        );
        program.stop();
        table.row(row("after upkeep", &after, spent));
    }
    table.note("CPU: of the whole stream as committed, of upkeep's thread after upkeep. Hours and days that are over are merged; series and 1h rows of today stay as committed");
    if let Ok(peer) = &bench.peer {
        let rounds = [peer.feed(bench, load)];
        table.note(peer::best(rounds.into()).expect("a round").line(load));
    }
    table
}

/// Bounds that cut the load, read at full speed, into many commits, several a day: else there were
/// one file a day, and nothing to merge.
fn commits(load: &Load) -> (String, String) {
    let bytes = load.samples * 12 / (30 + 10 * load.days);
    (bytes.to_string(), (2 * bytes).to_string())
}

/// Bytes of a table by raw samples, and its files.
fn weight(stats: &Value, name: &str, load: &Load) -> String {
    let (_, bytes, files) = table_of(stats, name);
    format!("{:.4} ({files})", number(bytes) / number(load.samples))
}

/// Waits until upkeep has nothing left to do; the stats then, and its thread's seconds.
fn until_quiet(program: &mut Program<'_>) -> (Value, f64) {
    program.wait("recovery", |http| http.get("/ready"));
    let (mut seen, mut since) = (Value::Null, Instant::now());
    let mut spent = 0.0;
    loop {
        std::thread::sleep(LOOK);
        let now_spent = program.usage().groups["upkeep"];
        let stats = program.stats();
        // A pass that finds nothing to do costs a millisecond at most.
        if stats["tables"] != seen || now_spent - spent > 0.005 {
            (seen, since) = (stats["tables"].clone(), Instant::now());
        }
        spent = now_spent;
        if since.elapsed() > QUIET {
            return (stats, spent);
        }
    }
}

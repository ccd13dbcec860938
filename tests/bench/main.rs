//! What the program costs and how fast it is, next to VictoriaMetrics in the same run.
//!
//! ```text
//! cargo bench --bench stream -- --help
//! ```
//!
//! Kafka is this process (its embedded broker) or `--kafka`, never the process that is measured.
//! Figures are of the program's own process: user and system time, its peak memory, its files.

mod delay;
mod formats;
mod http;
mod kafka;
mod keep;
mod live;
mod load;
mod machine;
mod many;
mod options;
mod peer;
mod process;
mod program;
mod recording;
mod restart;
mod stream;
mod table;
mod week;

use clap::Parser;

use formats::Wire;
use options::{Options, Part};

fn main() {
    let options = Options::parse();
    let bench = program::Bench::start(&options);
    let recording = recording::Recording::read();
    let mut tables = Vec::new();
    let wants = |part| options.wants(part);

    let wires = [
        (Part::RemoteWrite, Wire::RemoteWrite, options.hosts),
        (Part::Otlp, Wire::Otlp, options.hosts.div_ceil(3)),
        (Part::Influx, Wire::Influx, options.hosts.div_ceil(3)),
        (Part::Json, Wire::Json, options.hosts.div_ceil(3)),
        (Part::JsonOne, Wire::JsonOne, options.hosts.div_ceil(10)),
    ];
    let mut streamed = stream::tables();
    let streams = wires.iter().any(|wire| wants(wire.0)) || wants(Part::Peer);
    if wires.iter().any(|wire| wants(wire.0)) {
        tables.push(stream::idle(&bench));
    }
    for (part, wire, hosts) in wires {
        if wants(part) || (part == Part::RemoteWrite && wants(Part::Peer)) {
            let load = load::node(&recording, wire, hosts);
            stream::measure(&bench, &load, wants(part), wants(Part::Peer), &mut streamed);
        }
    }
    if streams {
        tables.extend(streamed);
    }
    if wants(Part::Upkeep) {
        // One host: copies of it would compress by one another.
        let load = load::node(&recording, Wire::RemoteWrite, 1);
        tables.push(keep::measure(&bench, "the node hour", &load));
    }
    if wants(Part::Noise) {
        let load = load::noise(options.noise_days);
        let what = format!("noise, {} days", options.noise_days);
        tables.push(keep::measure(&bench, &what, &load));
    }
    if wants(Part::Delay) {
        tables.push(delay::measure(&bench, &recording));
    }
    if wants(Part::Restart) {
        tables.push(restart::measure(&bench, &recording));
    }
    if wants(Part::Series) {
        tables.push(many::measure(&bench));
    }
    if wants(Part::Week) {
        tables.push(week::measure(&bench.folder("week"), options.week_days));
    }
    println!("\n{}", machine::describe());
    println!(
        "{}",
        bench
            .peer
            .as_ref()
            .map_or_else(|why| why.clone(), peer::Peer::describe)
    );
    for table in &tables {
        print!("\n{table}");
    }
}

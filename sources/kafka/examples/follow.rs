//! Follows topics and prints what the source says: `follow BROKERS TOPIC… [--continue] [--quiet]`.
//!
//! With `--quiet` it prints one line when all partitions are proven idle for the first time, with
//! what the reading cost, and ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use tidegauge_kafka::{KafkaSource, OnLost, Settings, TopicSettings, WorkerShare};
use tidegauge_model::SourceEvent;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, words): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let [brokers, topics @ ..] = &words[..] else {
        return Err("usage: follow BROKERS TOPIC… [--continue] [--quiet]".into());
    };
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let topic = |name: &String| TopicSettings {
        name: Some(name.clone()),
        ..Default::default()
    };
    let settings = Settings {
        brokers: vec![brokers.clone()],
        topics: topics.iter().map(topic).collect(),
        on_lost: if has("--continue") {
            OnLost::Continue
        } else {
            OnLost::Stop
        },
        ..Settings::default()
    };
    let (send, events) = bounded(64);
    let (share, began) = (WorkerShare { index: 0, peers: 1 }, Instant::now());
    let wake = Arc::new(|| {});
    let source = KafkaSource::start(
        settings,
        share,
        HashMap::new(),
        send,
        wake,
        Arc::new(wall_clock),
    )?;
    let (mut known, mut idle) = (HashSet::new(), HashSet::new());
    for event in events {
        match &event {
            SourceEvent::Registered { partition, .. } => {
                known.insert(partition.clone());
            }
            SourceEvent::Chunk(chunk) if chunk.proven_end_at.is_some() => {
                idle.insert(chunk.partition.clone());
            }
            _ => {}
        }
        if !has("--quiet") {
            print(&event);
        } else if known.len() == idle.len() {
            println!("{:?} after {:?}", source.stats(), began.elapsed());
            return Ok(());
        }
    }
    Err(source
        .failed()
        .map_or_else(|| "stopped".to_owned(), |error| error.to_string())
        .into())
}

fn print(event: &SourceEvent) {
    match event {
        SourceEvent::Chunk(chunk) => println!(
            "{} next {} samples {} rejects {:?} proven {:?}",
            chunk.partition,
            chunk.next.0,
            chunk.samples.len(),
            chunk
                .rejects
                .iter()
                .map(|reject| &reject.detail)
                .collect::<Vec<_>>(),
            chunk.proven_end_at,
        ),
        other => println!("{other:?}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program's own clock, handed in"
)]
fn wall_clock() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

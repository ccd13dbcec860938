//! Two processes that are one stream: they come together in any order, share the partitions, end when
//! one of them is killed, and go on from the commit when both are back.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_broker::Broker;

use crate::crash::produce;
use crate::lake::Lake;
use crate::node::{Node, Place, drain, now_ms, setting};
use crate::oracle::Expected;

const LIVES: u64 = 8;

#[test]
fn two_processes_are_one_stream_whichever_is_killed() {
    let seed = setting("E2E_SEED", 11);
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let broker = runtime.block_on(broker(&folder.path().join("broker")));
    let address = broker.local_addr();
    let places = members(folder.path(), address);
    let done = AtomicBool::new(false);
    let (expected, sent) = std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(address, seed, &done));
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..LIVES {
            live_and_die(&places, &mut rng);
        }
        let mut nodes = places.each_ref().map(Place::start);
        done.store(true, Ordering::Relaxed);
        let (produced, sent) = producer.join().expect("the producer");
        let expected = Expected::new(produced);
        for node in &mut nodes {
            drain(node, expected.end());
            node.wait("/api/v1/stats/stream", "everything committed", |stream| {
                stream["in_flight"] == 0
            });
        }
        Lake::wait_for_upkeep(&mut nodes[0], expected.end());
        let [lead, follower] = nodes;
        lead.stop();
        follower.ends(true);
        (expected, sent)
    });
    runtime.block_on(broker.shutdown());
    let lake = Lake::read(&places[0].data);
    assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
    lake.check(&expected, expected.end());
}

/// Starts both, kills one at a random moment; the other must not go on alone.
fn live_and_die(places: &[Place; 2], rng: &mut SmallRng) {
    let mut nodes: Vec<Node<'_>> = places.iter().map(Place::start).collect();
    std::thread::sleep(Duration::from_millis(rng.random_range(100..4_000)));
    let killed = nodes.swap_remove(rng.random_range(0..2));
    let survivor = nodes.remove(0);
    let stream = survivor.get("/api/v1/stats/stream");
    let runs = stream.is_some_and(|stream| !stream["cutoff"].is_null());
    killed.kill();
    if runs {
        survivor.ends(false);
    } else {
        // They had not come together; it may wait for the other for ever, as it should.
        survivor.kill();
    }
}

async fn broker(folder: &Path) -> Broker {
    let settings = tidegauge_broker::Settings {
        dir: folder.to_owned(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        ..tidegauge_broker::Settings::default()
    };
    let broker = Broker::start(settings, Arc::new(now_ms))
        .await
        .expect("a broker");
    broker
        .create_topic("metrics", 4, &BTreeMap::new())
        .expect("a topic");
    broker
}

/// The processes; the lake is the first one's.
fn members(folder: &Path, broker: SocketAddr) -> [Place; 2] {
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .expect("a port")
    };
    let hosts = serde_json::json!([free().to_string(), free().to_string()]).to_string();
    let brokers = serde_json::json!([broker.to_string()]).to_string();
    let lake = folder.join("0/lake");
    [0, 1].map(|process: usize| {
        Place::new(
            &folder.join(process.to_string()),
            &[
                ("TIDEGAUGE_CLUSTER__HOSTS", &hosts),
                ("TIDEGAUGE_CLUSTER__PROCESS", &process.to_string()),
                ("TIDEGAUGE_KAFKA__BROKERS", &brokers),
                ("TIDEGAUGE_STORE__URL", lake.to_str().expect("a path")),
                ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
                ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
                ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "200"),
                ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "0"),
            ],
        )
    })
}

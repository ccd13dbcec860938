//! What goes on behind the requests: forcing to disk, retention, compaction, forgetting old
//! offsets. All of it runs on the blocking pool, one pass at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::log::{self, compact, force};
use crate::settings::Fsync;
use crate::shared::{Shared, stopped};
use crate::topics::Partition;

/// Runs until `stop` turns true.
pub(crate) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut syncs = interval(Duration::from_secs(1));
    let mut passes = interval(Duration::from_millis(shared.settings.upkeep_interval_ms));
    syncs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    passes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let work: fn(&Shared) = tokio::select! {
            () = stopped(&mut stop) => return,
            _ = syncs.tick() => sync,
            _ = passes.tick() => pass,
        };
        let shared = Arc::clone(&shared);
        if let Err(died) = tokio::task::spawn_blocking(move || work(&shared)).await {
            tracing::error!(error = %died, "upkeep of the broker");
        }
    }
}

/// Lets time pass for groups until `stop` turns true.
pub(crate) async fn keep_time(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = shared.coordinator.keep_time() => {}
    }
}

fn logs(shared: &Shared) -> Vec<Partition> {
    let topics = shared.topics.all();
    let mut logs: Vec<_> = topics
        .iter()
        .flat_map(|topic| topic.partitions().to_vec())
        .collect();
    logs.push(shared.coordinator.offsets_log());
    logs
}

fn report(what: &'static str, done: io::Result<()>) {
    if let Err(failed) = done {
        tracing::error!(error = %failed, what, "upkeep of the broker");
    }
}

fn sync(shared: &Shared) {
    for log in logs(shared) {
        if shared.settings.fsync == Fsync::EachSecond {
            report("forcing a log to disk", force::force_all(&log));
        }
        report("saving an index", log::save_checkpoints(&log));
    }
}

/// One round of retention and compaction over all partitions.
pub(crate) fn pass(shared: &Shared) {
    let now_ms = (shared.clock)();
    shared.coordinator.expire_offsets(now_ms);
    for log in logs(shared) {
        let retained = log.lock().retain(now_ms);
        report("retention", retained.map(drop));
        report("compaction", compact::compact(&log, now_ms).map(drop));
    }
}

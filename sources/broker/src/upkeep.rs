//! What goes on behind the requests: forcing to disk, and the passes of retention, compaction and
//! forgetting old offsets. Both run on the blocking pool, each by itself: a compaction may take
//! minutes, and forcing must not wait for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::log::{self, compact, force};
use crate::settings::Fsync;
use crate::shared::{Shared, stopped};
use crate::topics::Partition;

/// Forces what was written, until `stop` turns true.
pub(crate) async fn sync_each_second(shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    repeat(shared, stop, Duration::from_secs(1), sync).await;
}

/// Makes one pass after the other, until `stop` turns true.
pub(crate) async fn pass_at_intervals(shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let every = Duration::from_millis(shared.settings.upkeep_interval_ms);
    repeat(shared, stop, every, pass).await;
}

async fn repeat(
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    every: Duration,
    work: fn(&Shared),
) {
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = due.tick() => {}
        }
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
    note_alive(shared);
    shared.coordinator.expire_offsets(now_ms);
    for log in logs(shared) {
        let retained = log.lock().retain(now_ms, &shared.outages);
        report("retention", retained.map(drop));
        report("compaction", compact::compact(&log, now_ms).map(drop));
    }
}

/// Notes that the broker lives, so that the next start knows for how long none did.
pub(crate) fn note_alive(shared: &Shared) {
    let noted = shared.identity.note_alive((shared.clock)());
    report("noting that the broker lives", noted);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::batch::{Batch, Header};
    use crate::broker::open;
    use crate::clock::Clock;
    use crate::records;
    use crate::settings::Settings;

    fn append(log: &Partition, now_ms: i64) {
        let bytes = records::build(&[(b"k", Some(b"v"))], 0);
        let header = Header::parse(&bytes).unwrap();
        log.lock().append(&Batch { header, bytes }, now_ms).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn forcing_does_not_wait_for_a_pass() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            dir: dir.path().to_owned(),
            ..Settings::default()
        };
        let shared = Arc::new(open(settings, Arc::new(|| 0)).unwrap());
        let topic = shared.topics.create("t", 1, BTreeMap::new()).unwrap();
        let log = topic.partition(0).unwrap();
        // A pass begins with the groups, and waits as long as somebody holds them.
        let (holds, held) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let holder = Arc::clone(&shared);
        let hold = move || {
            holder.coordinator.with("g", |_, _| {
                holds.send(()).unwrap();
                released.recv()
            })
        };
        let holder = std::thread::spawn(hold);
        held.recv().unwrap();
        let (stop, stops) = watch::channel(false);
        let passes = tokio::spawn(pass_at_intervals(Arc::clone(&shared), stops.clone()));
        let syncs = tokio::spawn(sync_each_second(Arc::clone(&shared), stops));
        tokio::time::sleep(Duration::from_millis(100)).await;
        append(&log, 0);
        let forced = async {
            while log.lock().unforced(1).unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let forced = tokio::time::timeout(PATIENCE, forced).await;
        assert!(!passes.is_finished());
        drop(release);
        let _ = holder.join().unwrap();
        stop.send(true).unwrap();
        syncs.await.unwrap();
        passes.await.unwrap();
        forced.expect("forced while the pass waits");
    }

    #[test]
    fn what_was_not_read_before_the_broker_went_down_is_there_when_it_comes_back() {
        const HOUR: i64 = 3_600_000;
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            dir: dir.path().to_owned(),
            retention_ms: 5 * HOUR,
            ..Settings::default()
        };
        let now = Arc::new(AtomicI64::new(100 * HOUR));
        let clock: Clock = {
            let now = Arc::clone(&now);
            Arc::new(move || now.load(Ordering::Relaxed))
        };
        let shared = open(settings.clone(), Arc::clone(&clock)).unwrap();
        let topic = shared.topics.create("t", 1, BTreeMap::new()).unwrap();
        let log = topic.partition(0).unwrap();
        append(&log, clock());
        log::close(&log).unwrap();
        now.fetch_add(2 * HOUR, Ordering::Relaxed);
        pass(&shared);
        drop((shared, topic, log));

        now.fetch_add(1_000 * HOUR, Ordering::Relaxed);
        let shared = open(settings, clock).unwrap();
        let log = shared.topics.get("t").unwrap().partition(0).unwrap();
        for start_offset in [0, 0, 0, 1] {
            pass(&shared);
            assert_eq!(log.lock().start_offset(), start_offset);
            now.fetch_add(HOUR, Ordering::Relaxed);
        }
    }
}

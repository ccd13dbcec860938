//! A lake on S3: everything as on a local disk, and what only a server far away can do to us.
//!
//! `E2E_SEED` sets the seed. With `E2E_S3=http://HOST:PORT/BUCKET` and `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`, what needs no trouble of the server runs on that one; `E2E_KILLS` sets
//! how many kills (12 unless set).

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::bucket::Bucket;
use crate::crash::produce;
use crate::lake::Lake;
use crate::node::{Node, Place, drain, setting};
use crate::oracle::Samples;
use crate::s3_server::{KEY_ID, Mishap, Outage, S3Server, SECRET};

/// Many small commits, impatient requests, and upkeep always at work.
const HASTE: [(&str, &str); 12] = [
    ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
    ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
    ("TIDEGAUGE_STORE__RETRY__ATTEMPT_TIMEOUT_MS", "1000"),
    ("TIDEGAUGE_STORE__RETRY__MOST_BACKOFF_MS", "300"),
    ("TIDEGAUGE_LAKE_LOG__RETRY__MOST_BACKOFF_MS", "300"),
    ("TIDEGAUGE_LAKE_LOG__CHECKPOINT_EVERY", "20"),
    ("TIDEGAUGE_LAKE_LOG__LOG_GRACE_MS", "1000"),
    ("TIDEGAUGE_UPKEEP__INTERVAL_MS", "200"),
    ("TIDEGAUGE_UPKEEP__COMPACT_AFTER_MS", "1000"),
    ("TIDEGAUGE_UPKEEP__SMALL_FILES", "3"),
    ("TIDEGAUGE_UPKEEP__GRACE_MS", "1000"),
    ("TIDEGAUGE_UPKEEP__SWEEP_EVERY_MS", "1000"),
];

/// A node whose lake lies in `bucket`.
fn place(folder: &std::path::Path, name: &str, bucket: &Bucket, more: &[(&str, &str)]) -> Place {
    let (url, environment) = (bucket.url(), bucket.environment());
    let mut settings: Vec<(&str, &str)> = vec![("TIDEGAUGE_STORE__URL", &url)];
    settings.extend(environment.iter().map(|(name, value)| (*name, &**value)));
    settings.extend(HASTE);
    settings.extend(more);
    Place::new(&folder.join(name), &settings)
}

/// Where a lake may lie that asks for no trouble: on the server of `E2E_S3`, else on our own, which
/// is there as long as it is held.
fn bucket() -> (Option<S3Server>, Bucket) {
    if let Some(bucket) = Bucket::foreign() {
        return (None, bucket);
    }
    let server = S3Server::start();
    let bucket = server.bucket();
    (Some(server), bucket)
}

/// Lets `disturb` do its worst while the producer runs, brings everything to its end, and holds the
/// lake against what was produced.
fn survives(
    bucket: &Bucket,
    place: &Place,
    disturb: impl FnOnce(),
    with_node: impl FnOnce(&mut Node<'_>),
) {
    let seed = setting("E2E_SEED", 7);
    let done = AtomicBool::new(false);
    let (produced, sent) = std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(place.kafka, seed, &done));
        let _end = End(&done);
        disturb();
        let mut node = place.start();
        with_node(&mut node);
        done.store(true, Ordering::Relaxed);
        let (produced, sent) = producer.join().expect("the producer");
        finish(&mut node, bucket, &produced);
        // What was closed last is committed a moment later.
        let all = Some(produced.len() as u64);
        let server = format!("http://{}", place.http);
        node.wait("/api/v1/stats/stream", "whole answer", |_| {
            answer(&["--server", &server], &[]) == all
        });
        node.stop();
        (produced, sent)
    });
    let alone = answer(&["--store", &bucket.url()], &bucket.environment());
    assert_eq!(alone, Some(produced.len() as u64), "SQL without a server");
    let lake = Lake::read_from(bucket.client());
    println!(
        "{sent} records, {} commits, {:?}",
        lake.state.version.unwrap_or(0),
        lake.state.counts
    );
    assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
    lake.check_clean(&produced);
}

/// Ends the producer with whoever waits for it, also if that fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until everything is taken, and closed and repaired in what is committed.
fn finish(node: &mut Node<'_>, bucket: &Bucket, produced: &Samples) {
    let newest = produced.keys().map(|key| key.1).max().expect("samples");
    drain(node, newest);
    node.wait("/api/v1/stats/stream", "repaired windows", |_| {
        let state = Lake::state_of(bucket.client());
        state.watermark > Some(newest + 60_000) && state.dirty.is_empty()
    });
}

/// A question whose answer is the number of samples only if raw and rollups agree.
const QUESTION: &str = "SELECT CASE WHEN raw = folded THEN raw ELSE -1 END AS n FROM \
    (SELECT count(*) AS raw FROM samples) CROSS JOIN (SELECT sum(count) AS folded FROM rollup_1m)";

/// What `target` answers to it.
fn answer(target: &[&str], environment: &[(&'static str, String)]) -> Option<u64> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
        .args(["sql", QUESTION, "--format", "json"])
        .args(target)
        .envs(environment.iter().cloned())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sql {target:?}: {said}");
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    rows[0]["n"].as_u64()
}

#[test]
fn on_s3_whatever_is_killed_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, bucket) = bucket();
    let place = place(folder.path(), "data", &bucket, &[]);
    let kill = || {
        let mut rng = SmallRng::seed_from_u64(setting("E2E_SEED", 7));
        for _ in 0..setting("E2E_KILLS", 12) {
            let mut node = place.start();
            // Half of them die while they commit, however slow the machine is.
            if rng.random() {
                commits(&mut node, 1);
            }
            std::thread::sleep(Duration::from_millis(rng.random_range(50..1_500)));
            node.kill();
        }
    };
    survives(&bucket, &place, kill, |_| ());
}

#[test]
fn what_was_taken_waits_until_s3_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = S3Server::start();
    let place = place(folder.path(), "data", &server.bucket(), &[]);
    let go_away = |node: &mut Node<'_>| {
        for outage in [Outage::Busy, Outage::Gone, Outage::Deaf] {
            commits(node, 5);
            server.set_outage(outage);
            let before = server.hit();
            node.wait("/api/v1/stats/stream", "requests in vain", |stream| {
                server.hit() >= before + 10 && !stream["store_trouble"].is_null()
            });
            server.set_outage(Outage::None);
        }
        commits(node, 5);
    };
    survives(&server.bucket(), &place, || (), go_away);
}

#[test]
fn a_put_whose_answer_is_lost_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = S3Server::start();
    let place = place(folder.path(), "data", &server.bucket(), &[]);
    let mishaps = [
        Mishap::LostAnswer,
        Mishap::LostRequest,
        Mishap::Refused,
        Mishap::Late,
    ];
    let go_wrong = |node: &mut Node<'_>| {
        commits(node, 1);
        server.set_mishaps(&mishaps, setting("E2E_SEED", 7));
        commits(node, 40);
        server.set_mishaps(&[], 0);
    };
    survives(&server.bucket(), &place, || (), go_wrong);
    assert!(server.hit() > 20, "the server was kind: {}", server.hit());
}

/// Waits for so many more commits of the stream.
fn commits(node: &mut Node<'_>, more: u64) {
    let made = |stream: &Value| stream["commits"]["count"].as_u64();
    let path = "/api/v1/stats/stream";
    node.wait(path, "a first look", |stream| made(stream).is_some());
    let until = node.get(path).as_ref().and_then(made).unwrap_or(0) + more;
    node.wait(path, "commits", |stream| {
        made(stream).is_some_and(|made| made >= until)
    });
}

/// Two that read the same Kafka, that of a third, begin on one lake at the same time.
#[test]
fn of_two_that_start_at_once_on_s3_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, bucket) = bucket();
    let third = Place::new(&folder.path().join("kafka"), &[]);
    let broker = third.start();
    let kafka = third.kafka.to_string();
    let reads = [("TIDEGAUGE_KAFKA__BROKERS", &*kafka)];
    let places = [
        place(folder.path(), "one", &bucket, &reads),
        place(folder.path(), "other", &bucket, &reads),
    ];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(third.kafka, setting("E2E_SEED", 7), &done));
        let _end = End(&done);
        let mut nodes = places.each_ref().map(Place::start);
        let ended = |_| {
            std::thread::sleep(Duration::from_millis(50));
            nodes.iter_mut().position(|node| !node.runs())
        };
        let loser = (0..5_000).find_map(ended).expect("one of two stops");
        let [one, other] = nodes;
        let (lost, mut winner) = if loser == 0 {
            (one, other)
        } else {
            (other, one)
        };
        assert!(!lost.ended().success(), "losing is a failure");
        let said = places[loser].log();
        assert!(said.contains("this process must stop"), "{said}");
        done.store(true, Ordering::Relaxed);
        let (produced, sent) = producer.join().expect("the producer");
        finish(&mut winner, &bucket, &produced);
        winner.stop();
        let lake = Lake::read_from(bucket.client());
        assert_eq!(lake.state.counts.samples, sent, "each record is taken once");
        lake.check_clean(&produced);
    });
    broker.stop();
}

#[test]
fn sql_takes_keys_from_a_profile_and_tells_at_once_what_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = S3Server::start();
    let place = place(folder.path(), "data", &server.bucket(), &[]);
    let mut node = place.start();
    node.wait("/api/v1/stats/stream", "a start", |_| true);
    node.stop();
    let keys = folder.path().join("credentials");
    let text = format!("[lake]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(&keys, text).expect("a file");
    let sql = |url: &str, profile: &str| {
        let mut environment = server.bucket().environment();
        environment.retain(|(name, _)| !name.starts_with("AWS_"));
        let output = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
            .args([
                "sql",
                "SELECT count(*) AS n FROM samples",
                "--format",
                "csv",
            ])
            .args(["--store", url])
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_SHARED_CREDENTIALS_FILE", &keys)
            .env("AWS_PROFILE", profile)
            .envs(environment)
            .output()
            .expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr))
    };
    assert_eq!(sql(&server.bucket().url(), "lake").0, "n\n0\n");
    let said = sql(&server.bucket().url(), "other").1;
    assert!(said.contains("under `[other]`"), "{said}");
    let said = sql("s3://elsewhere/lake", "lake").1;
    assert!(said.contains("check that the bucket"), "{said}");
}

#[test]
fn a_store_that_will_not_do_is_refused_and_no_secret_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = S3Server::start();
    let refused = |name: &str, more: &[(&str, &str)], why: &[&str]| {
        let more = [&[("TIDEGAUGE_LOG", "debug")], more].concat();
        let place = place(folder.path(), name, &server.bucket(), &more);
        assert!(
            !place.start().ended().success(),
            "{name}: it ends with a failure"
        );
        let said = place.log();
        for why in why {
            assert!(said.contains(why), "{name}: `{why}` is not in\n{said}");
        }
        assert!(!said.contains(SECRET), "{name}: the secret is told\n{said}");
    };
    let url = server.bucket().url();
    refused(
        "wrong-secret",
        &[("AWS_SECRET_ACCESS_KEY", "another")],
        &[&url, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
    );
    refused(
        "wrong-key",
        &[("AWS_ACCESS_KEY_ID", "ANOTHER")],
        &[&url, "InvalidAccessKeyId"],
    );
    refused(
        "no-bucket",
        &[("TIDEGAUGE_STORE__URL", "s3://elsewhere/lake")],
        &["s3://elsewhere/lake", "NoSuchBucket"],
    );
    refused(
        "nobody-there",
        &[("TIDEGAUGE_STORE__ENDPOINT", "http://127.0.0.1:9")],
        &["http://127.0.0.1:9", "store.endpoint"],
    );
    server.set_outage(Outage::Deaf);
    refused("deaf", &[], &[&url, "no answer within 1s"]);
    server.set_outage(Outage::None);
    server.ignore_conditions();
    refused("unconditional", &[], &["conditional put"]);
}

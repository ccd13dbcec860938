//! The log on disk: what is appended is read back, whatever happened in between.

mod failures;
mod force;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Log, close, compact, read, save_checkpoints};
use crate::batch::{Batch, Header, walk};
use crate::outages::Outages;
use crate::records;
use crate::settings::Settings;
use crate::topic_config::TopicConfig;

const HOUR_MS: i64 = 3_600_000;

fn config(pairs: &[(&str, &str)]) -> Arc<TopicConfig> {
    let given: BTreeMap<_, _> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Arc::new(TopicConfig::new(&Settings::default(), given).unwrap())
}

fn open(dir: &Path, pairs: &[(&str, &str)]) -> Mutex<Log> {
    Mutex::new(Log::open(dir, config(pairs), 0).unwrap())
}

fn batch(pairs: &[(&str, Option<&str>)], timestamp: i64) -> Batch {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)))
        .collect();
    let bytes = records::build(&pairs, timestamp);
    Batch {
        header: Header::parse(&bytes).unwrap(),
        bytes,
    }
}

fn from_producer(id: i64, sequence: i32) -> Batch {
    let mut bytes = batch(&[("k", Some("v"))], 0).bytes.to_vec();
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&0i16.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    crate::batch::seal(&mut bytes);
    Batch::from_producer(Bytes::from(bytes), 1 << 20).unwrap()
}

fn append(log: &Mutex<Log>, key: &str, value: &str, now_ms: i64) -> i64 {
    log.lock()
        .append(&batch(&[(key, Some(value))], now_ms), now_ms)
        .unwrap()
        .base_offset
}

/// Everything in the log, as `offset key=value`.
fn contents(log: &Mutex<Log>) -> Vec<String> {
    let mut found = Vec::new();
    let mut offset = log.lock().start_offset();
    loop {
        let view = log.lock().view(offset).unwrap();
        let Some(place) = view.place else {
            return found;
        };
        let bytes = read::read(log, &place, 1_000, true).unwrap();
        for (at, header) in walk(&bytes) {
            let batch = bytes.slice(at..at + header.len);
            let payload = records::payload(&batch, &header, 1 << 20).unwrap();
            for record in records::walk(&payload, &header) {
                let record = record.unwrap();
                let text = |bytes: Option<&[u8]>| {
                    String::from_utf8(bytes.unwrap_or(b"none").to_vec()).unwrap()
                };
                let (key, value) = (text(record.key), text(record.value));
                found.push(format!("{} {key}={value}", record.offset));
            }
            offset = header.next_offset();
        }
    }
}

fn log_files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".log")).collect();
    names.sort();
    names
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_stays() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    for n in 0..10 {
        append(&log, "k", &n.to_string(), 0);
    }
    let before = contents(&log);
    drop(log);
    let path = dir.path().join(&log_files(dir.path())[0]);
    let torn = batch(&[("k", Some("torn"))], 0).bytes;
    for cut in [1, 11, 60, torn.len() - 1] {
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(&torn[..cut])
            .unwrap();
        let log = open(dir.path(), &[]);
        assert_eq!(contents(&log), before, "cut at {cut}");
    }
    let log = open(dir.path(), &[]);
    assert_eq!(append(&log, "k", "next", 0), 10);
}

#[test]
fn a_batch_with_a_wrong_crc_ends_the_log() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    let whole = 5;
    for n in 0..whole {
        append(&log, "key", &n.to_string(), 0);
    }
    drop(log);
    let path = dir.path().join(&log_files(dir.path())[0]);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(contents(&open(dir.path(), &[])).len(), whole - 1);
}

#[test]
fn segments_read_as_one_log_with_and_without_their_indexes() {
    let dir = TempDir::new().unwrap();
    let small = [("segment.bytes", "2048")];
    let log = open(dir.path(), &small);
    for n in 0..300 {
        append(&log, &n.to_string(), "v", n * 10);
    }
    let before = contents(&log);
    assert_eq!(before.len(), 300);
    assert!(log_files(dir.path()).len() > 5);
    save_checkpoints(&log).unwrap();
    close(&log).unwrap();
    drop(log);
    assert_eq!(contents(&open(dir.path(), &small)), before);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "index")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let log = open(dir.path(), &small);
    assert_eq!(contents(&log), before);
    for n in 0..300 {
        let place = log.lock().view(n).unwrap().place.unwrap();
        let bytes = read::read(&log, &place, 0, true).unwrap();
        assert_eq!(Header::parse(&bytes).unwrap().base_offset, n);
    }
}

#[test]
fn times_are_looked_up() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[("segment.bytes", "2048")]);
    assert_eq!(read::find_time(&log, 0).unwrap(), None);
    for n in 0..200 {
        append(&log, "k", "v", n * 10);
    }
    for (time, offset) in [(0, 0), (5, 1), (10, 1), (1_001, 101), (1_990, 199)] {
        assert_eq!(
            read::find_time(&log, time).unwrap().unwrap().offset,
            offset,
            "time {time}"
        );
    }
    assert_eq!(read::find_time(&log, 1_991).unwrap(), None);
    assert_eq!(read::find_newest(&log).unwrap().unwrap().offset, 199);
}

#[test]
fn deleted_records_are_not_found_by_time() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    let mut three = batch(&[("k", None), ("k", None), ("k", None)], 50)
        .bytes
        .to_vec();
    // The first record is five hours newer than the others.
    three[35..43].copy_from_slice(&(50 + 5 * HOUR_MS).to_be_bytes());
    three.truncate(crate::batch::HEADER_LEN);
    // Length, attributes, time after the batch's (5 h as a varint), offset, no key, no value, no headers.
    three.extend_from_slice(&[18, 0, 0x80, 0xa2, 0x95, 0x11, 0, 1, 1, 0]);
    three.extend_from_slice(&[12, 0, 0, 2, 1, 1, 0, 12, 0, 0, 4, 1, 1, 0]);
    crate::batch::seal(&mut three);
    let three = Batch::from_producer(Bytes::from(three), 1 << 20).unwrap();
    log.lock().append(&three, 0).unwrap();
    let found = |time| {
        let found = read::find_time(&log, time).unwrap();
        found.map(|stamp| (stamp.offset, stamp.timestamp))
    };
    assert_eq!(found(HOUR_MS), Some((0, 50 + 5 * HOUR_MS)));
    log.lock().delete_before(1).unwrap();
    assert_eq!(found(HOUR_MS), None);
    let newest = read::find_newest(&log).unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (1, 50));
    append(&log, "k", "v", 2 * HOUR_MS);
    assert_eq!(found(HOUR_MS), Some((3, 2 * HOUR_MS)));
    let newest = read::find_newest(&log).unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (3, 2 * HOUR_MS));
    log.lock().delete_before(4).unwrap();
    assert_eq!(read::find_newest(&log).unwrap(), None);
}

#[test]
fn the_index_of_a_deleted_topic_is_not_written_into_its_successor() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    append(&log, "k", "v", 0);
    log.lock().roll(0).unwrap();
    let unsaved = log.lock().unsaved_checkpoint(0).unwrap().unwrap();
    log.lock().mark_deleted();
    fs::remove_dir_all(dir.path()).unwrap();
    let successor = open(dir.path(), &[]);
    append(&successor, "k", "v", 0);
    log.lock().save_checkpoint(&unsaved).unwrap();
    let names = fs::read_dir(dir.path()).unwrap();
    assert_eq!(names.count(), 1, "the log alone");
}

#[test]
fn retention_drops_whole_segments_by_age_and_by_size() {
    let dir = TempDir::new().unwrap();
    let log = open(
        dir.path(),
        &[("segment.bytes", "1024"), ("retention.ms", "3600000")],
    );
    for n in 0..100 {
        append(&log, "k", "v", n * 60_000);
    }
    log.lock().retain(99 * 60_000, &Outages::default()).unwrap();
    let start = log.lock().start_offset();
    assert!((25..40).contains(&start), "{start}");
    assert_eq!(
        log.lock().view(start - 1).unwrap_err().code,
        ResponseError::OffsetOutOfRange
    );
    log.lock()
        .retain(100 * HOUR_MS, &Outages::default())
        .unwrap();
    assert_eq!(log.lock().start_offset(), 100);
    assert_eq!(log.lock().next_offset(), 100);
    log.lock().set_config(config(&[
        ("segment.bytes", "1024"),
        ("retention.bytes", "2000"),
    ]));
    (0..100).for_each(|_| {
        append(&log, "k", "v", 0);
    });
    log.lock().retain(0, &Outages::default()).unwrap();
    let len = log.lock().len();
    assert!((2_000..3_100).contains(&len), "{len}");
    assert_eq!(log.lock().next_offset(), 200);
}

#[test]
fn deleted_records_stay_deleted_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    (0..10).for_each(|_| {
        append(&log, "k", "v", 0);
    });
    assert_eq!(log.lock().delete_before(4).unwrap(), 4);
    assert!(log.lock().delete_before(11).is_err());
    drop(log);
    assert_eq!(open(dir.path(), &[]).lock().start_offset(), 4);
}

#[test]
fn compaction_keeps_the_newest_of_each_key_and_then_drops_tombstones() {
    let dir = TempDir::new().unwrap();
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "2048"),
        ("delete.retention.ms", "3600000"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let log = open(dir.path(), &compacted);
    for n in 0..200 {
        append(&log, &format!("k{}", n % 7), &n.to_string(), 1);
    }
    log.lock()
        .append(&batch(&[("k3", None), ("once", Some("x"))], 1), 1)
        .unwrap();
    log.lock().roll(1).unwrap();
    let files = log_files(dir.path()).len();
    assert!(compact::compact(&log, 1).unwrap() > 0);
    let kept = contents(&log);
    let keys: Vec<_> = kept
        .iter()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    let expected = [
        "k4=193", "k5=194", "k6=195", "k0=196", "k1=197", "k2=198", "k3=none", "once=x",
    ];
    assert_eq!(keys, expected);
    assert!(log_files(dir.path()).len() < files);
    drop(log);

    let log = open(dir.path(), &compacted);
    assert_eq!(contents(&log), kept);
    save_checkpoints(&log).unwrap();
    append(&log, "k4", "new", 2);
    log.lock().roll(2).unwrap();
    compact::compact(&log, 2).unwrap();
    assert!(contents(&log).iter().any(|line| line.ends_with("k3=none")));
    append(&log, "k5", "new", 3 * HOUR_MS);
    log.lock().roll(3 * HOUR_MS).unwrap();
    compact::compact(&log, 3 * HOUR_MS).unwrap();
    let keys = contents(&log);
    assert!(!keys.iter().any(|line| line.contains("k3")), "{keys:?}");
    assert_eq!(keys.len(), 7);
    assert_eq!(append(&log, "z", "z", 0), 204);
}

#[test]
fn idempotence_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[("segment.bytes", "1024")]);
    for sequence in 0..50 {
        let appended = log.lock().append(&from_producer(7, sequence), 0).unwrap();
        assert_eq!(appended.base_offset, i64::from(sequence));
    }
    save_checkpoints(&log).unwrap();
    let log = {
        drop(log);
        open(dir.path(), &[("segment.bytes", "1024")])
    };
    let again = log.lock().append(&from_producer(7, 49), 0).unwrap();
    assert_eq!((again.base_offset, again.next_offset), (49, 50));
    assert_eq!(log.lock().next_offset(), 50);
    let gap = log.lock().append(&from_producer(7, 51), 0).unwrap_err();
    assert_eq!(gap.code, ResponseError::OutOfOrderSequenceNumber);
    assert_eq!(
        log.lock()
            .append(&from_producer(7, 50), 0)
            .unwrap()
            .base_offset,
        50
    );
    assert_eq!(contents(&log).len(), 51);
}

#[test]
fn old_message_sets_and_bad_crcs_are_refused() {
    let good = batch(&[("k", Some("v"))], 0).bytes;
    let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        Batch::from_producer(Bytes::from(bytes), 1_000)
            .unwrap_err()
            .code
    };
    assert_eq!(refusal(&|b| b[16] = 1), ResponseError::InvalidRecord);
    assert_eq!(refusal(&|b| b[17] ^= 1), ResponseError::CorruptMessage);
    assert_eq!(refusal(&|b| b.truncate(40)), ResponseError::CorruptMessage);
    assert_eq!(
        refusal(&|b| b.extend_from_slice(&good)),
        ResponseError::InvalidRecord
    );
    let transactional = refusal(&|b| {
        b[22] |= 0x10;
        crate::batch::seal(b);
    });
    assert_eq!(
        transactional,
        ResponseError::TransactionalIdAuthorizationFailed
    );
}

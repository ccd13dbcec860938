//! What is called on disk has been forced there: each segment, for each who asks, also after failures.

use std::fs::File;

use super::*;
use crate::log::force::{force, force_all};

/// A file that can't be forced to disk.
fn stubborn() -> Option<Arc<File>> {
    Some(Arc::new(File::open("/dev/null").unwrap()))
}

/// Is something left to force before records up to `next_offset` are on disk?
fn is_unforced(log: &Mutex<Log>, next_offset: i64) -> bool {
    log.lock().unforced(next_offset).unwrap().is_some()
}

#[test]
fn a_batch_is_not_on_disk_while_another_still_forces_it() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    append(&log, "k", "v", 0);
    let others = log.lock().unforced(1).unwrap().unwrap();
    assert!(is_unforced(&log, 1));
    append(&log, "k", "v", 0);
    log.lock().note_forced(&others, Ok(())).unwrap();
    assert!(!is_unforced(&log, 1));
    assert!(is_unforced(&log, 2), "it came after the other began");
    force(&log, 2).unwrap();
    assert!(!is_unforced(&log, 2));
}

#[test]
fn segments_closed_before_they_were_forced_are_forced_too() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    for _ in 0..2 {
        append(&log, "k", "v", 0);
        log.lock().roll(0).unwrap();
    }
    append(&log, "k", "v", 0);
    log.lock().segments[0].open = stubborn();
    force_all(&log).unwrap_err();
}

#[test]
fn a_batch_that_could_not_be_forced_never_counts_as_on_disk() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    let batch = from_producer(7, 0);
    let first = log.lock().append(&batch, 0).unwrap();
    let file = std::mem::replace(&mut log.lock().segments[0].open, stubborn());
    force(&log, first.next_offset).unwrap_err();
    log.lock().segments[0].open = file;
    let again = log.lock().append(&batch, 0).unwrap();
    assert_eq!(again, first);
    let refused = force(&log, again.next_offset).unwrap_err();
    assert!(refused.to_string().contains("restart"), "{refused}");
}

#[test]
fn a_start_trusts_only_what_a_checkpoint_covers() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    append(&log, "k", "v", 0);
    drop(log);
    let log = open(dir.path(), &[]);
    assert!(is_unforced(&log, 1), "killed");
    force(&log, 1).unwrap();
    close(&log).unwrap();
    drop(log);
    assert!(!is_unforced(&open(dir.path(), &[]), 1), "closed");
}

#[test]
fn a_compacted_segment_that_was_not_on_disk_is_forced_under_its_name() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[("cleanup.policy", "compact")]);
    append(&log, "k", "v", 0);
    force_all(&log).unwrap();
    append(&log, "k", "w", 0);
    log.lock().roll(0).unwrap();
    append(&log, "k", "x", 0);
    compact::compact(&log, 0).unwrap();
    assert_eq!(log.lock().forced_up_to, 0);
    force_all(&log).unwrap();
    assert_eq!(log.lock().forced_up_to, 3);
}

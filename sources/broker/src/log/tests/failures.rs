//! Writes that fail half-way: what was there is still read, and what comes lands where it belongs.

use std::io::{Seek, SeekFrom};

use super::*;
use crate::log::segment::Segment;

#[test]
fn a_compaction_that_can_not_put_its_file_in_place_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[("cleanup.policy", "compact")]);
    append(&log, "k", "old", 1);
    append(&log, "k", "new", 1);
    log.lock().roll(1).unwrap();
    let before = contents(&log);
    let group = log.lock().worth_compacting(1).unwrap();
    let elsewhere = TempDir::new().unwrap();
    for kept in [None, Some(batch(&[("k", Some("new"))], 1))] {
        let mut written = Segment::create(elsewhere.path(), 0, 1).unwrap();
        if let Some(kept) = kept {
            written.append(&kept.header, &kept.bytes, 1).unwrap();
        }
        fs::remove_file(&written.path).unwrap();
        log.lock().replace(&group, written).unwrap_err();
        assert_eq!(contents(&log), before);
    }
}

#[test]
fn a_compaction_that_fails_leaves_no_file_behind() {
    let dir = TempDir::new().unwrap();
    let log = open(
        dir.path(),
        &[("cleanup.policy", "compact"), ("segment.bytes", "1024")],
    );
    for _ in 0..30 {
        append(&log, "k", "v", 1);
    }
    log.lock().roll(1).unwrap();
    let names = log_files(dir.path());
    let first = dir.path().join(&names[0]);
    // The keys are read from all segments, the first of them after that once more.
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    compact::compact(&log, 1).unwrap_err();
    let left = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    assert_eq!(
        left.filter(|path| path.extension().unwrap() == "tmp")
            .count(),
        0
    );
}

#[test]
fn what_a_torn_write_left_is_written_over() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &[]);
    append(&log, "k", "first", 0);
    // As if the write had failed, and taking it back too.
    let file = log.lock().active().file().unwrap();
    let torn = batch(
        &[("k", Some("a long one that does not get whole to the disk"))],
        0,
    )
    .bytes;
    (&*file).seek(SeekFrom::End(0)).unwrap();
    (&*file).write_all(&torn[..torn.len() - 3]).unwrap();
    append(&log, "k", "second", 0);
    append(&log, "k", "third", 0);
    let expected = ["0 k=first", "1 k=second", "2 k=third"];
    assert_eq!(contents(&log), expected);
    drop(log);
    assert_eq!(contents(&open(dir.path(), &[])), expected);
}

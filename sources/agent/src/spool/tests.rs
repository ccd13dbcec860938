use std::fs;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const BOUND: u64 = 1 << 20;

fn open(dir: &Path) -> Spool {
    Spool::open(dir, BOUND).expect("a spool")
}

fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; bytes.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    let number = |entry: &Entry| {
        u64::from_le_bytes(*entry.payload.first_chunk().expect("eight bytes at least"))
    };
    entries.iter().map(number).collect()
}

fn last_file(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "spool")
        })
        .collect();
    files.sort();
    files.pop().expect("a file")
}

#[test]
fn entries_stay_until_they_are_acknowledged_and_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for number in 0..5 {
        spool.append(10, payload(number, 100));
    }
    assert_eq!(numbers(&spool.peek(3, usize::MAX)), [0, 1, 2]);
    assert_eq!(numbers(&spool.peek(3, usize::MAX)), [0, 1, 2]);
    spool.acknowledge(2);
    assert_eq!(
        (numbers(&spool.peek(9, usize::MAX)), spool.samples()),
        (vec![2, 3, 4], 30)
    );
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(numbers(&spool.peek(9, usize::MAX)), [2, 3, 4]);
    spool.append(10, payload(5, 100));
    spool.acknowledge(6);
    assert_eq!((spool.peek(9, usize::MAX).len(), spool.samples()), (0, 0));
    drop(spool);
    let mut spool = open(dir.path());
    assert!(spool.peek(9, usize::MAX).is_empty());
    spool.append(1, payload(6, 100));
    drop(spool);
    assert_eq!(numbers(&open(dir.path()).peek(9, usize::MAX)), [6]);
}

#[test]
fn the_oldest_go_when_it_is_full_and_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for number in 0..4096 {
        spool.append(3, payload(number, 1024));
        assert!(spool.bytes() <= BOUND, "{}", spool.bytes());
    }
    let held = numbers(&spool.peek(usize::MAX, usize::MAX));
    let dropped = spool.dropped();
    assert_eq!(dropped.entries + held.len() as u64, 4096);
    assert_eq!(dropped.samples, dropped.entries * 3);
    assert_eq!(held, (dropped.entries..4096).collect::<Vec<_>>());
    assert!(
        held.len() > 700,
        "most of the bound is used: {}",
        held.len()
    );
    // What was under way while it was dropped is acknowledged later; that must not reach too far.
    spool.acknowledge(1);
    assert_eq!(numbers(&spool.peek(1, 1)), [dropped.entries]);
}

#[test]
fn two_agents_cannot_share_a_buffer() {
    let dir = tempfile::tempdir().expect("a directory");
    let _held = open(dir.path());
    assert!(matches!(
        Spool::open(dir.path(), BOUND),
        Err(SpoolError::InUse { .. })
    ));
}

#[test]
fn a_torn_tail_is_cut_and_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.append(1, payload(0, 100));
    spool.append(1, payload(1, 100));
    drop(spool);
    let path = last_file(dir.path());
    let content = fs::read(&path).expect("the file");
    fs::write(&path, &content[..content.len() - 1]).expect("a shorter file");
    let mut spool = open(dir.path());
    assert_eq!(numbers(&spool.peek(9, usize::MAX)), [0]);
    spool.append(1, payload(2, 50));
    drop(spool);
    assert_eq!(numbers(&open(dir.path()).peek(9, usize::MAX)), [0, 2]);
}

#[test]
fn a_broken_entry_is_left_out_and_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for number in 0..3 {
        spool.append(7, payload(number, 100));
    }
    let path = last_file(dir.path());
    let mut content = fs::read(&path).expect("the file");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, &content).expect("a broken file");
    assert_eq!(numbers(&spool.peek(9, usize::MAX)), [0, 2]);
    assert_eq!(
        spool.dropped(),
        Dropped {
            entries: 1,
            samples: 7
        }
    );
    spool.acknowledge(3);
    assert_eq!((spool.samples(), spool.peek(9, 9).len()), (0, 0));
}

#[test]
fn a_lost_cursor_only_means_sending_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.append(1, payload(0, 100));
    spool.append(1, payload(1, 100));
    spool.acknowledge(1);
    drop(spool);
    fs::write(dir.path().join("delivered"), b"garbage").expect("a broken cursor");
    assert_eq!(numbers(&open(dir.path()).peek(9, usize::MAX)), [0, 1]);
}

/// Random appends, acknowledgements and restarts against a list.
#[test]
fn it_is_a_queue_whatever_happens() {
    for seed in 0..20 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = open(dir.path());
        let mut model: VecDeque<u64> = VecDeque::new();
        let mut next = 0;
        for _ in 0..400 {
            match rng.random_range(0..10) {
                0..6 => {
                    spool.append(1, payload(next, rng.random_range(8..20_000)));
                    model.push_back(next);
                    next += 1;
                    // All that left did so from the front.
                    let kept = spool.samples() as usize;
                    model.drain(..model.len() - kept);
                }
                6..9 => {
                    let taken = spool.peek(rng.random_range(1..8), usize::MAX);
                    let expected: Vec<u64> = model.iter().copied().take(taken.len()).collect();
                    assert_eq!(numbers(&taken), expected, "seed {seed}");
                    if let Some(last) = taken.last() {
                        spool.acknowledge(last.seq + 1);
                        model.drain(..taken.len());
                    }
                }
                _ => {
                    drop(spool);
                    spool = open(dir.path());
                }
            }
            assert_eq!(spool.samples() as usize, model.len(), "seed {seed}");
        }
        let held = numbers(&spool.peek(usize::MAX, usize::MAX));
        assert_eq!(held, Vec::from(model), "seed {seed}");
    }
}

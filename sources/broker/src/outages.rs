//! When the broker was down.
//!
//! A record's age does not run meanwhile, or what was not read before a long pause would be gone at
//! the next start. The outages are kept in a file: several may lie in one record's life.

use std::fs;
use std::io;
use std::path::Path;

use crate::disk;
use crate::error::BrokerError;

/// The file in the broker's directory.
const FILE: &str = "outages.json";
/// A shorter outage, as of a restart, is not worth a line.
const LEAST_MS: i64 = 60_000;
/// The most that are kept: with one a night, of a year.
const MOST: usize = 365;

/// Spans `[from, to)` without a broker in milliseconds since the Unix epoch, in their order and apart.
#[derive(Debug, Default)]
pub(crate) struct Outages(Vec<(i64, i64)>);

impl Outages {
    /// Reads the outages of `dir` and adds the one that ends now.
    pub(crate) fn open(
        dir: &Path,
        last_alive_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<Outages, BrokerError> {
        let path = dir.join(FILE);
        let mut spans: Vec<(i64, i64)> = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| BrokerError::Damaged {
                path,
                why: e.to_string(),
            })?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(failed) => return Err(BrokerError::file("reading", &path)(failed)),
        };
        let Some(from) = last_alive_ms.filter(|from| now_ms - from >= LEAST_MS) else {
            return Ok(Outages(spans));
        };
        spans.push((from, now_ms));
        // A start that fails notes no life: the next one tells of the same outage, grown longer.
        let mut spans = united(spans);
        spans.drain(..spans.len().saturating_sub(MOST));
        // A full disk must not keep the broker from the start that makes room.
        let text = serde_json::to_vec(&spans).expect("numbers have a json form");
        if let Err(failed) = disk::put(dir, FILE, &text) {
            tracing::warn!(error = %failed, "noting how long the broker was down");
        }
        Ok(Outages(spans))
    }

    /// How long the broker has been up since `from_ms`.
    pub(crate) fn age_ms(&self, from_ms: i64, now_ms: i64) -> i64 {
        let down = self
            .0
            .iter()
            .map(|(from, to)| (to - from_ms.max(*from)).max(0));
        now_ms - from_ms - down.sum::<i64>()
    }
}

/// The spans in their order, those that overlap as one.
fn united(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match apart.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_runs_only_while_the_broker_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let minute = LEAST_MS;
        let open = |last, now| Outages::open(dir.path(), last, now).unwrap();
        assert_eq!(open(None, minute).age_ms(0, minute), minute);
        open(Some(2 * minute), 10 * minute);
        open(Some(11 * minute), 12 * minute - 1);
        let outages = open(Some(20 * minute), 50 * minute);
        assert_eq!(outages.age_ms(0, 51 * minute), 13 * minute);
        assert_eq!(outages.age_ms(9 * minute, 51 * minute), 11 * minute);
        assert_eq!(outages.age_ms(30 * minute, 51 * minute), minute);
        assert_eq!(outages.age_ms(50 * minute, 51 * minute), minute);
        // Starts that fail one after another: one outage.
        for end in [70, 80, 90] {
            let outages = open(Some(60 * minute), end * minute);
            assert_eq!(
                outages.age_ms(55 * minute, 91 * minute),
                (96 - end) * minute
            );
        }
        // A clock that was set back since.
        let outages = open(Some(51 * minute), 53 * minute);
        assert_eq!(outages.age_ms(50 * minute, 91 * minute), 9 * minute);
        fs::write(dir.path().join(FILE), "[").unwrap();
        assert!(Outages::open(dir.path(), None, 0).is_err());
    }
}

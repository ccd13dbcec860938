//! What SQL answers over HTTP, against the oracle. As CSV, whose numbers read back to the same bits.

use std::ops::Range;
use std::str::FromStr;

use tidegauge_model::{HOUR_MS, MINUTE_MS, Rollup, SeriesId, normal, stale};

use crate::node::Node;
use crate::oracle::{self, Expected, Rows, Samples};

const ROLLUP: &str = "series_id, CAST(time AS BIGINT), count, sum, min, max, first, \
    CAST(first_time AS BIGINT), last, CAST(last_time AS BIGINT), resets, reset_adj, \
    CAST(stale_time AS BIGINT)";

/// Compares the raw rows of `times`.
pub(crate) fn check_samples(node: &Node<'_>, tenant: &str, expected: &Expected, times: Range<i64>) {
    let Range { start, end } = times;
    let query = format!(
        "SELECT series_id, CAST(time AS BIGINT), value FROM samples \
         WHERE time >= to_timestamp_millis({start}) AND time < to_timestamp_millis({end})"
    );
    let mut found = Samples::new();
    for line in node.sql(tenant, &query) {
        let fields: Vec<&str> = line.split(',').collect();
        let key = (id(fields[0]), number(fields[1]));
        let value = float(fields[2]).unwrap_or_else(stale);
        assert_eq!(found.insert(key, value), None, "{key:?} comes twice");
    }
    let within = expected
        .samples
        .iter()
        .filter(|(key, _)| times.contains(&key.1));
    let within: Vec<_> = within.collect();
    assert!(!within.is_empty(), "nothing to compare");
    oracle::check_samples(&found, within.into_iter());
}

/// Compares the rollups of all windows that end by `closed`.
pub(crate) fn check_rollups(node: &Node<'_>, tenant: &str, expected: &Expected, closed: i64) {
    let tiers = [
        ("rollup_1m", MINUTE_MS, &expected.minutes),
        ("rollup_1h", HOUR_MS, &expected.hours),
    ];
    for (tier, width, expected) in tiers {
        let mut found = Rows::new();
        for line in node.sql(tenant, &format!("SELECT {ROLLUP} FROM {tier}")) {
            let (key, row) = rollup(&line);
            assert_eq!(found.insert(key, row), None, "{tier} {key:?} comes twice");
        }
        oracle::check_rows(
            &format!("{tenant}'s {tier}"),
            width,
            closed,
            &found,
            expected,
        );
    }
}

fn rollup(line: &str) -> ((SeriesId, i64), Rollup) {
    let fields: Vec<&str> = line.split(',').collect();
    let value = |at: usize| float(fields[at]).unwrap_or(f64::NAN);
    let time = |at: usize| (!fields[at].is_empty()).then(|| number(fields[at]));
    let row = Rollup {
        count: number(fields[2]),
        sum: float(fields[3]).unwrap_or(0.0),
        min: value(4),
        max: value(5),
        first: value(6),
        first_time: time(7).unwrap_or(0),
        last: value(8),
        last_time: time(9).unwrap_or(0),
        resets: number(fields[10]),
        reset_adj: value(11),
        stale_time: time(12),
    };
    ((id(fields[0]), number(fields[1])), row)
}

/// A series' number.
fn id(field: &str) -> SeriesId {
    SeriesId(number::<i64>(field).cast_unsigned())
}

/// A whole number.
pub(crate) fn number<T: FromStr>(field: &str) -> T {
    let read = field.parse().ok();
    read.unwrap_or_else(|| panic!("`{field}` is no whole number"))
}

/// A value; none for NULL.
pub(crate) fn float(field: &str) -> Option<f64> {
    let read = |_| {
        field
            .parse()
            .unwrap_or_else(|_| panic!("`{field}` is no number"))
    };
    (!field.is_empty()).then_some(()).map(read).map(normal)
}

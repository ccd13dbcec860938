//! What a series' rows become when late samples are taken in. Pure.

use tidegauge_model::{MINUTE_MS, Rollup, floor, is_stale};

/// A minute of one series after its repair.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Patched {
    /// The minute's start.
    pub(super) start: i64,
    /// Its row now.
    pub(super) row: Rollup,
    /// What is new in it, as well as can be told.
    pub(super) late: Rollup,
    /// Whether the row differs from the one before.
    pub(super) changed: bool,
}

/// Recomputes the minutes in `dirty` (ascending starts) of one series from its settled samples;
/// `old` holds its present rows.
///
/// Where raw holds all that the old row was folded from, the fold of raw is the row. Where raw has
/// expired it holds only what came late, which is merged into the old row; whether such a sample is
/// a duplicate of one that has expired can't be told then, and it counts again.
pub(super) fn minutes(
    dirty: &[i64],
    samples: (&[i64], &[f64]),
    old: (&[i64], &[Rollup]),
) -> Vec<Patched> {
    let (time, value) = samples;
    let mut patched = Vec::new();
    let mut at = 0;
    while at < time.len() {
        let start = floor(time[at], MINUTE_MS);
        let end = at + time[at..].partition_point(|&time| time < start + MINUTE_MS);
        if dirty.binary_search(&start).is_ok() {
            let (time, value) = (&time[at..end], &value[at..end]);
            let from_raw = Rollup::fold(time, value).expect("a minute with samples");
            let before = old.0.binary_search(&start).ok().map(|place| old.1[place]);
            let (row, late) = match &before {
                Some(before) if is_whole(before, time, value) => {
                    (from_raw, without(&from_raw, before))
                }
                Some(before) => (merged(before, &from_raw), from_raw),
                None => (from_raw, from_raw),
            };
            patched.push(Patched {
                start,
                row,
                late,
                changed: before.is_none_or(|before| !same(&before, &row)),
            });
        }
        at = end;
    }
    patched
}

/// The rows of `old` with those of `patched` in place of or between them.
pub(super) fn apply(old: (&[i64], &[Rollup]), patched: &[Patched]) -> (Vec<i64>, Vec<Rollup>) {
    let (mut starts, mut rows) = (old.0.to_vec(), old.1.to_vec());
    for minute in patched {
        match starts.binary_search(&minute.start) {
            Ok(place) => rows[place] = minute.row,
            Err(place) => {
                starts.insert(place, minute.start);
                rows.insert(place, minute.row);
            }
        }
    }
    (starts, rows)
}

/// `rows` with those of the minutes in `wanted` (ascending starts) that have none, folded from `samples`.
pub(super) fn fill(
    rows: (&[i64], &[Rollup]),
    wanted: &[i64],
    samples: (&[i64], &[f64]),
) -> (Vec<i64>, Vec<Rollup>) {
    let lacks = |start: &i64| rows.0.binary_search(start).is_err();
    let lacking: Vec<i64> = wanted.iter().copied().filter(lacks).collect();
    apply(rows, &minutes(&lacking, samples, (&[], &[])))
}

/// The row of the window `[start, start + width_ms)` from its minutes' rows, if it differs from
/// `old`. Where finer rows have expired, as for [`minutes`], only what is new in `patched` ones is merged in.
pub(super) fn coarse(
    start: i64,
    width_ms: i64,
    minutes: (&[i64], &[Rollup]),
    patched: &[Patched],
    old: Option<&Rollup>,
) -> Option<Rollup> {
    let inside = |&at: &i64| start <= at && at < start + width_ms;
    let rows = minutes.0.iter().zip(minutes.1);
    let folded = append_all(rows.filter(|(at, _)| inside(at)).map(|(_, row)| row))?;
    let row = match old {
        Some(old) if !covers(&folded, old) => {
            let late = patched.iter().filter(|minute| inside(&minute.start));
            match append_all(late.map(|minute| &minute.late)) {
                Some(late) => merged(old, &late),
                None => *old,
            }
        }
        _ => folded,
    };
    (old.is_none_or(|old| !same(old, &row))).then_some(row)
}

fn append_all<'a>(mut rows: impl Iterator<Item = &'a Rollup>) -> Option<Rollup> {
    let mut whole = *rows.next()?;
    rows.for_each(|row| whole.append(row));
    Some(whole)
}

/// Whether the samples may be all that `row` was folded from: none of those it names is missing.
fn is_whole(row: &Rollup, time: &[i64], value: &[f64]) -> bool {
    let has = |at: i64| time.binary_search(&at).is_ok();
    let values = value.iter().filter(|value| !is_stale(**value)).count() as u64;
    let ends = row.count == 0 || (has(row.first_time) && has(row.last_time));
    ends && values >= row.count && row.stale_time.is_none_or(has)
}

/// Whether `new` may be folded from all that `old` was.
fn covers(new: &Rollup, old: &Rollup) -> bool {
    new.count >= old.count
        && (old.count == 0 || (new.first_time <= old.first_time && new.last_time >= old.last_time))
}

/// `row` less what `before` counts, which was folded from some of the same samples.
fn without(row: &Rollup, before: &Rollup) -> Rollup {
    Rollup {
        count: row.count - before.count,
        sum: row.sum - before.sum,
        resets: row.resets.saturating_sub(before.resets),
        reset_adj: row.reset_adj - before.reset_adj,
        ..*row
    }
}

/// The two as one row, as well as can be told without their samples: exact where one lies after the
/// other in time; where they interleave, resets between samples of the two are not seen.
fn merged(a: &Rollup, b: &Rollup) -> Rollup {
    let (mut early, late) = if a.first_time <= b.first_time {
        (*a, b)
    } else {
        (*b, a)
    };
    if early.count == 0 || late.count == 0 || early.last_time < late.first_time {
        early.append(late);
        return early;
    }
    let last = if early.last_time >= late.last_time {
        &early
    } else {
        late
    };
    Rollup {
        count: early.count + late.count,
        sum: early.sum + late.sum,
        min: early.min.min(late.min),
        max: early.max.max(late.max),
        last: last.last,
        last_time: last.last_time,
        resets: early.resets + late.resets,
        reset_adj: early.reset_adj + late.reset_adj,
        stale_time: early.stale_time.max(late.stale_time),
        ..early
    }
}

/// Equal to the bit, so that NaN equals itself.
fn same(a: &Rollup, b: &Rollup) -> bool {
    let doubles = |row: &Rollup| {
        [
            row.sum,
            row.min,
            row.max,
            row.first,
            row.last,
            row.reset_adj,
        ]
        .map(f64::to_bits)
    };
    let integers = |row: &Rollup| (row.count, row.first_time, row.last_time, row.resets);
    integers(a) == integers(b) && a.stale_time == b.stale_time && doubles(a) == doubles(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_whose_raw_is_there_is_folded_anew() {
        let old = Rollup::fold(&[0, 20], &[1.0, 3.0]).expect("samples");
        let time = [0, 10, 20, MINUTE_MS];
        let patched = minutes(&[0], (&time, &[1.0, 9.0, 3.0, 4.0]), (&[0], &[old]));
        let row = Rollup::fold(&time[..3], &[1.0, 9.0, 3.0]).expect("samples");
        assert_eq!(patched.len(), 1, "only the dirty minute");
        assert_eq!((patched[0].row, patched[0].changed), (row, true));
    }

    #[test]
    fn a_minute_whose_raw_has_expired_takes_in_what_came() {
        let old = Rollup::fold(&[0, 20], &[1.0, 3.0]).expect("samples");
        let patched = minutes(&[0], (&[10], &[9.0]), (&[0], &[old]));
        let row = patched[0].row;
        assert_eq!((row.count, row.sum, row.max, row.last), (3, 13.0, 9.0, 3.0));
        let hour = coarse(0, 3_600_000, (&[0], &[row]), &patched, Some(&old)).expect("changed");
        assert_eq!(hour, row);
    }

    #[test]
    fn an_hour_whose_minutes_have_expired_takes_in_what_came() {
        let old = Rollup::fold(&[0, 20, 120_000], &[1.0, 3.0, 5.0]).expect("samples");
        let patched = minutes(&[60_000], (&[60_001], &[9.0]), (&[], &[]));
        let rows = apply((&[], &[]), &patched);
        let hour = coarse(0, 3_600_000, (&rows.0, &rows.1), &patched, Some(&old));
        assert_eq!(hour.map(|row| (row.count, row.sum)), Some((4, 18.0)));
    }

    #[test]
    fn an_hour_that_cannot_be_folded_takes_in_only_what_is_new_in_a_minute() {
        let old = Rollup::fold(&[0, 20, 60_000], &[1.0, 3.0, 5.0]).expect("samples");
        let before = Rollup::fold(&[60_000], &[5.0]).expect("samples");
        let check = |time: &[i64], value: &[f64]| {
            let patched = minutes(&[60_000], (time, value), (&[60_000], &[before]));
            let rows = apply((&[60_000], &[before]), &patched);
            coarse(0, 3_600_000, (&rows.0, &rows.1), &patched, Some(&old))
        };
        assert_eq!(check(&[60_000], &[5.0]), None, "another series came late");
        let hour = check(&[60_000, 60_001], &[5.0, 9.0]).expect("changed");
        assert_eq!((hour.count, hour.sum, hour.last), (4, 18.0, 9.0));
    }

    #[test]
    fn raw_stands_in_only_for_rows_that_have_gone() {
        let row = Rollup::fold(&[0, 20], &[1.0, 3.0]).expect("samples");
        let gone = Rollup::fold(&[60_000], &[5.0]).expect("samples");
        let samples: (&[i64], &[f64]) = (&[0, 60_000, 120_000], &[1.0, 5.0, 7.0]);
        let filled = fill((&[0], &[row]), &[0, 60_000], samples);
        assert_eq!(filled, (vec![0, 60_000], vec![row, gone]));
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let nan = tidegauge_model::normal(f64::NAN);
        let old = Rollup::fold(&[0, 20], &[nan, nan]).expect("samples");
        let patched = minutes(&[0], (&[0, 20], &[nan, nan]), (&[0], &[old]));
        assert!(!patched[0].changed);
        assert_eq!(
            coarse(0, 300_000, (&[0], &[old]), &patched, Some(&old)),
            None
        );
    }
}

//! Dictionaries of integers that repeat in the same order, as the times of scrapes do.

use hashbrown::HashMap;

/// Distinct values in order of first sight, and each row's place among them.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    pub(crate) values: Vec<i64>,
    pub(crate) indices: Vec<u32>,
}

/// The dictionary of `values`, or none where they repeat too little for one to pay.
///
/// One scrape stamps all its series alike, so a value is nearly always followed by what followed it
/// last time: that is tried first, and a hash only where it fails.
pub(crate) fn intern(values: &[i64]) -> Option<Dictionary> {
    let mut found = Dictionary {
        values: Vec::new(),
        indices: Vec::with_capacity(values.len()),
    };
    let mut places = HashMap::<i64, u32>::new();
    let mut follower: Vec<u32> = Vec::new();
    let mut last = 0;
    for &value in values {
        let guess = follower.get(last as usize).copied().unwrap_or(0);
        last = if found.values.get(guess as usize) == Some(&value) {
            guess
        } else {
            let next = u32::try_from(found.values.len()).ok()?;
            let place = *places.entry(value).or_insert(next);
            if place == next {
                if pays_no_more(found.values.len(), found.indices.len()) {
                    return None;
                }
                found.values.push(value);
                follower.push(next + 1);
            }
            if let Some(slot) = follower.get_mut(last as usize) {
                *slot = place;
            }
            place
        };
        found.indices.push(last);
    }
    (!is_better_as_deltas(&found)).then_some(found)
}

/// Where values are evenly spaced, as window starts and times without jitter are, deltas are nearly
/// free, and a dictionary of more than a hundredth of the rows is not.
fn is_better_as_deltas(found: &Dictionary) -> bool {
    let distinct = found.values.len();
    if distinct * 100 < found.indices.len() || distinct < 64 {
        return false;
    }
    let step = |i: usize| found.values[i].wrapping_sub(found.values[i - 1]);
    let even = (2..distinct).filter(|&i| step(i) == step(i - 1)).count();
    even * 10 > distinct * 9
}

/// A value that stands for fewer than eight rows costs more than its delta.
const fn pays_no_more(distinct: usize, rows: usize) -> bool {
    distinct > 1 << 13 && distinct > rows / 8
}

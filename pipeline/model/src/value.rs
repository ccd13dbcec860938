//! Sample values: stale markers, NaN, and which of two values for one instant counts.

use std::cmp::Ordering;

/// The bit pattern of a stale marker, as Prometheus puts it on the wire.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The one bit pattern of "not a number" that leaves a decoder: the one that engines compare with.
const NAN: u64 = 0x7ff8_0000_0000_0000;

/// A stale marker: the series ended here.
///
/// ```
/// assert!(tidegauge_model::is_stale(tidegauge_model::stale()));
/// assert!(!tidegauge_model::is_stale(f64::NAN));
/// ```
#[must_use]
pub const fn stale() -> f64 {
    f64::from_bits(STALE)
}

/// Whether `value` is a stale marker, told apart from every other NaN by its bits.
#[must_use]
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// `value` with every NaN but the stale marker turned into one bit pattern, so that equal samples
/// are equal bits.
#[must_use]
pub fn normal(value: f64) -> f64 {
    if value.is_nan() && !is_stale(value) {
        f64::from_bits(NAN)
    } else {
        value
    }
}

/// Of two values for the same series and instant, the one that counts: the greater; a NaN is less
/// than any number and a stale marker less than a NaN. Commutative and associative, so neither the
/// order of arrival nor the number of copies can show.
#[must_use]
pub fn prefer(a: f64, b: f64) -> f64 {
    if order(a, b) == Ordering::Less { b } else { a }
}

fn order(a: f64, b: f64) -> Ordering {
    match a.partial_cmp(&b) {
        Some(Ordering::Equal) => b.is_sign_negative().cmp(&a.is_sign_negative()),
        Some(unequal) => unequal,
        None => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: f64) -> u8 {
    if !value.is_nan() {
        2
    } else {
        u8::from(!is_stale(value))
    }
}

/// Sorts one series' samples by time and settles those of equal time by [`prefer`], in place.
/// `time` and `value` run in parallel; returns how many duplicates went. Input that is already
/// strictly ascending, as nearly all is, costs one pass.
///
/// ```
/// let (mut t, mut v) = (vec![3, 1, 3], vec![5.0, 2.0, 7.0]);
/// assert_eq!(tidegauge_model::settle_run(&mut t, &mut v), 1);
/// assert_eq!((t, v), (vec![1, 3], vec![2.0, 7.0]));
/// ```
pub fn settle_run(time: &mut Vec<i64>, value: &mut Vec<f64>) -> usize {
    assert_eq!(time.len(), value.len(), "times and values of one run");
    if time.is_sorted_by(|a, b| a < b) {
        return 0;
    }
    let mut rows: Vec<(i64, f64)> = time.iter().copied().zip(value.iter().copied()).collect();
    rows.sort_by_key(|row| row.0);
    let before = rows.len();
    rows.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = prefer(kept.1, next.1);
        }
        same
    });
    time.clear();
    value.clear();
    time.extend(rows.iter().map(|row| row.0));
    value.extend(rows.iter().map(|row| row.1));
    before - rows.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_counts_whatever_the_order() {
        let ascending = [
            stale(),
            normal(f64::NAN),
            f64::NEG_INFINITY,
            -0.0,
            0.0,
            1.5,
            f64::INFINITY,
        ];
        for (i, &low) in ascending.iter().enumerate() {
            for &high in &ascending[i..] {
                assert_eq!(prefer(low, high).to_bits(), high.to_bits(), "{low} {high}");
                assert_eq!(prefer(high, low).to_bits(), high.to_bits(), "{high} {low}");
            }
        }
    }
}

//! The compact form of sample values: `value` as decimal mantissa, exponent and rest.
//!
//! Most values are short decimals, since producers print them; as doubles their bits look random,
//! as integers they don't. A file of `samples` in the compact form has, in place of `value`:
//!
//! - [`MANTISSA`], [`BASE`] (64-bit integers) and [`EXPONENT`] (8-bit integer): the value is
//!   `(mantissa + base) / 10^exponent`, where the exponent is 0 to 22, and a base of null, or a file
//!   without the column, is 0;
//! - exponent −1: the value stands in [`REST`] (double, null elsewhere), as it is no short decimal;
//! - exponent −2: the value is null (a stale marker).
//!
//! Every double comes back bit for bit: what would not is put into the rest. One exponent serves a
//! whole run where it can, so that neighbouring mantissas are alike.

use arrow_array::types::{Float64Type, Int8Type, Int64Type};
use arrow_array::{Array, Float64Array, Int8Array, Int64Array, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field, Schema};
use tidegauge_model::is_stale;

use crate::schema::columns;
use crate::table::Table;

/// The column of mantissas.
pub const MANTISSA: &str = "value_mantissa";
/// The column of what was taken off mantissas, alike along a run, so that those of neighbouring runs are
/// alike too. The sum wraps.
pub const BASE: &str = "value_base";
/// The column of exponents.
pub const EXPONENT: &str = "value_exponent";
/// The column of what is no short decimal.
pub const REST: &str = "value_rest";

/// The exponent of a value that stands in the rest.
pub const IN_REST: i8 = -1;
/// The exponent of a null.
pub const IS_NULL: i8 = -2;
/// The greatest exponent: powers of ten up to this one are exact doubles.
pub const MOST: i8 = 22;

const POWERS: [f64; MOST as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Up to here every integer is a double. What needs more digits is no smaller as an integer.
const LARGEST: u64 = 1 << 53;

/// How many values of a run may be no decimals before the search for longer exponents ends.
const PATIENCE: usize = 4;

/// The columns of `samples` in the compact form, `date` included.
#[must_use]
pub fn compact_columns() -> Schema {
    let mut fields: Vec<Field> = columns(Table::Samples)
        .fields()
        .iter()
        .filter(|field| field.name() != "value")
        .map(|field| field.as_ref().clone())
        .collect();
    fields.extend([
        Field::new(MANTISSA, DataType::Int64, false),
        Field::new(EXPONENT, DataType::Int8, false),
        Field::new(REST, DataType::Float64, true),
        Field::new(BASE, DataType::Int64, true),
    ]);
    Schema::new(fields)
}

/// Values in the compact form, as parallel columns.
#[derive(Clone, Debug, Default)]
pub struct Decimals {
    /// Mantissas; where there is none, that of the row before.
    pub mantissa: Vec<i64>,
    /// Exponents, −1 or −2.
    pub exponent: Vec<i8>,
    /// The value itself; counts only where the exponent is −1.
    pub rest: Vec<f64>,
}

impl Decimals {
    /// Appends the values of one run.
    ///
    /// ```
    /// use tidegauge_tables::decimal::Decimals;
    /// let mut columns = Decimals::default();
    /// columns.push_run(&[1.25, 3.0, f64::INFINITY]);
    /// assert_eq!(columns.exponent, [2, 2, -1]);
    /// assert_eq!(columns.mantissa, [125, 300, 300]);
    /// assert_eq!(columns.value(2), Some(f64::INFINITY));
    /// ```
    pub fn push_run(&mut self, values: &[f64]) {
        let start = self.exponent.len();
        let mut exponent = 0;
        let mut misses = 0;
        'again: loop {
            self.truncate(start);
            let mut last = exponent;
            for &value in values {
                if let Some(mantissa) = mantissa(value, exponent) {
                    self.mantissa.push(mantissa);
                    self.exponent.push(exponent);
                    continue;
                }
                if misses < PATIENCE && value.is_finite() {
                    if let Some(longer) =
                        (exponent + 1..=MOST).find(|&e| mantissa(value, e).is_some())
                    {
                        exponent = longer;
                        continue 'again;
                    }
                    misses += 1;
                }
                last = self.push_odd(value, exponent, last, start);
            }
            break;
        }
        self.rest.extend_from_slice(values);
    }

    /// Appends a value that the run's exponent can't hold; returns the exponent to try next time.
    fn push_odd(&mut self, value: f64, exponent: i8, last: i8, start: usize) -> i8 {
        let shorter = if value.is_finite() {
            std::iter::once(last)
                .chain((0..exponent).rev())
                .find_map(|e| Some((mantissa(value, e)?, e)))
        } else {
            None
        };
        let before = self.mantissa[start..].last().copied().unwrap_or(0);
        let in_rest = if is_stale(value) { IS_NULL } else { IN_REST };
        let (mantissa, e) = shorter.unwrap_or((before, in_rest));
        self.mantissa.push(mantissa);
        self.exponent.push(e);
        if e >= 0 { e } else { last }
    }

    /// The value of one row; none for a null.
    #[must_use]
    pub fn value(&self, row: usize) -> Option<f64> {
        restore(self.mantissa[row], self.exponent[row], self.rest[row])
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
        self.rest.clear();
    }

    fn truncate(&mut self, rows: usize) {
        self.mantissa.truncate(rows);
        self.exponent.truncate(rows);
    }
}

/// The integer that `value` is of `10^-exponent`, if it comes back bit for bit.
fn mantissa(value: f64, exponent: i8) -> Option<i64> {
    let power = POWERS[exponent.cast_unsigned() as usize];
    let scaled = value * power;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and what does not come back is refused below"
    )]
    let mantissa = (scaled + 0.5_f64.copysign(scaled)) as i64;
    let comes_back = decimal(mantissa, power).to_bits() == value.to_bits();
    (comes_back && mantissa.unsigned_abs() <= LARGEST).then_some(mantissa)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the writer has checked that it comes back"
)]
fn decimal(mantissa: i64, power: f64) -> f64 {
    mantissa as f64 / power
}

fn restore(mantissa: i64, exponent: i8, rest: f64) -> Option<f64> {
    match usize::try_from(exponent) {
        Ok(exponent) => Some(decimal(mantissa, POWERS[exponent])),
        Err(_) if exponent == IN_REST => Some(rest),
        Err(_) => None,
    }
}

/// The column `value` of the columns of a compact file.
///
/// # Panics
/// If the columns differ in length, or an exponent lies outside −2 to 22, which no writer of ours
/// makes.
#[must_use]
pub fn values(
    mantissa: &Int64Array,
    base: Option<&Int64Array>,
    exponent: &Int8Array,
    rest: &Float64Array,
) -> Float64Array {
    assert_eq!(mantissa.len(), exponent.len(), "mantissas and exponents");
    assert_eq!(mantissa.len(), rest.len(), "mantissas and rests");
    let based = base.and_then(|base| add(mantissa, base));
    let mantissa = based.as_ref().unwrap_or(mantissa);
    let mut values = Vec::with_capacity(mantissa.len());
    let rows = mantissa.values().iter().zip(exponent.values());
    let mut odd = false;
    for (&mantissa, &exponent) in rows {
        odd |= exponent < 0;
        values.push(decimal(
            mantissa,
            POWERS[usize::try_from(exponent).unwrap_or(0)],
        ));
    }
    if !odd {
        return Float64Array::from(values);
    }
    (0..values.len())
        .map(|row| match exponent.value(row) {
            IS_NULL => None,
            IN_REST => Some(rest.value(row)),
            _ => Some(values[row]),
        })
        .collect()
}

/// Mantissas with their bases; none if all of those are null.
fn add(mantissa: &Int64Array, base: &Int64Array) -> Option<Int64Array> {
    assert_eq!(mantissa.len(), base.len(), "mantissas and bases");
    let rows = mantissa.values().iter().zip(base.values());
    match base.null_count() {
        nulls if nulls == base.len() => None,
        0 => {
            let sums = rows.map(|(value, base)| value.wrapping_add(*base));
            Some(Int64Array::from_iter_values(sums))
        }
        _ => {
            let taken = |(row, (value, off)): (usize, (&i64, &i64))| {
                value.wrapping_add(if base.is_null(row) { 0 } else { *off })
            };
            Some(Int64Array::from_iter_values(rows.enumerate().map(taken)))
        }
    }
}

/// The column `value` of a batch of either form; none if the batch has neither.
#[must_use]
pub fn value_column(batch: &RecordBatch) -> Option<Float64Array> {
    if let Some(plain) = batch.column_by_name("value") {
        return plain.as_primitive_opt::<Float64Type>().cloned();
    }
    let base = batch.column_by_name(BASE);
    Some(values(
        batch
            .column_by_name(MANTISSA)?
            .as_primitive_opt::<Int64Type>()?,
        base.and_then(|base| base.as_primitive_opt::<Int64Type>()),
        batch
            .column_by_name(EXPONENT)?
            .as_primitive_opt::<Int8Type>()?,
        batch
            .column_by_name(REST)?
            .as_primitive_opt::<Float64Type>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_model::stale;

    fn check(run: &[f64]) -> Decimals {
        let mut columns = Decimals::default();
        columns.push_run(&[7.5]);
        columns.push_run(run);
        let rest: Float64Array = (0..=run.len())
            .map(|row| (columns.exponent[row] == IN_REST).then(|| columns.rest[row]))
            .collect();
        let back = values(
            &columns.mantissa.clone().into(),
            None,
            &columns.exponent.clone().into(),
            &rest,
        );
        for (i, &value) in run.iter().enumerate() {
            let row = i + 1;
            if is_stale(value) {
                assert!(back.is_null(row) && columns.value(row).is_none(), "row {i}");
            } else {
                assert!(back.is_valid(row), "row {i}: {value}");
                assert_eq!(
                    back.value(row).to_bits(),
                    value.to_bits(),
                    "row {i}: {value}"
                );
                assert_eq!(columns.value(row).map(f64::to_bits), Some(value.to_bits()));
            }
        }
        columns
    }

    #[test]
    fn odd_values_come_back_bit_for_bit() {
        let odd = [
            0.0,
            -0.0,
            f64::NAN,
            f64::from_bits(0xfff8_0000_dead_beef),
            stale(),
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::MAX,
            f64::MIN,
            9_007_199_254_740_993.0,
            9.223_372_036_854_776e18,
            -9.223_372_036_854_776e18,
            1e300,
            0.1,
            0.3,
            1.0 / 3.0,
            -17.25,
            1_795_260_931.498_234_5,
            123_456.789_012,
        ];
        check(&odd);
        for &value in &odd {
            check(&[value]);
            check(&[1.5, value, 2.25, value]);
        }
    }

    #[test]
    fn any_bits_come_back() {
        // A fixed multiplicative walk over the bit patterns (Knuth, MMIX).
        let mut bits = 1_u64;
        for _ in 0..500 {
            let run: Vec<f64> = (0..40)
                .map(|i| {
                    bits = bits
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    match i % 3 {
                        0 => f64::from_bits(bits),
                        1 => f64::from((bits >> 40) as u32) / 100.0,
                        _ => (bits >> 20) as f64 / 1000.0,
                    }
                })
                .collect();
            check(&run);
        }
    }

    #[test]
    fn a_base_of_null_is_zero() {
        let mantissa: Int64Array = vec![5, i64::MAX, 7].into();
        let read = |base: Int64Array| {
            let zeros = vec![0; 3].into();
            values(&mantissa, Some(&base), &zeros, &vec![0.0; 3].into())
                .values()
                .to_vec()
        };
        assert_eq!(
            read(vec![Some(10), Some(i64::MAX), None].into()),
            [15.0, -2.0, 7.0]
        );
        assert_eq!(read(vec![None; 3].into())[2], 7.0);
        assert_eq!(read(vec![1; 3].into())[2], 8.0);
    }

    #[test]
    fn a_run_shares_the_exponent_its_longest_decimal_needs() {
        let columns = check(&[1.0, 2.5, 3.75, 4.0]);
        assert_eq!(columns.exponent[1..], [2; 4]);
        assert_eq!(columns.mantissa[1..], [100, 250, 375, 400]);
    }

    #[test]
    fn a_large_neighbour_keeps_its_own_exponent() {
        let columns = check(&[0.123_456_789_012, 9e12]);
        assert_eq!(columns.exponent[1..], [12, 3]);
    }
}

//! Timestamps in text, as milliseconds since the Unix epoch.
//!
//! What is finer than a millisecond is cut off toward the past. A bare number's unit is told by
//! its magnitude: below 10^11 seconds, below 10^14 milliseconds, below 10^17 microseconds, else
//! nanoseconds; so milliseconds before March 1973 are taken as seconds.

use jiff::Timestamp;

use crate::number::{Decimal, decimal, whole_number};

/// What 64 bits hold as nanoseconds, as engines that read the tables count: September 1677 to April 2262.
const TIMES: std::ops::RangeInclusive<i64> = -9_223_372_036_854..=9_223_372_036_854;

/// The unit of a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Minutes.
    M,
    /// Hours.
    H,
    /// Told by magnitude.
    Auto,
}

impl Precision {
    /// Reads the words that InfluxDB's `precision` parameter takes, and `auto`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "n" | "ns" => Self::Ns,
            "u" | "us" | "µ" | "µs" => Self::Us,
            "ms" => Self::Ms,
            "s" => Self::S,
            "m" => Self::M,
            "h" => Self::H,
            "auto" => Self::Auto,
            _ => return None,
        })
    }

    /// The word that [`Precision::parse`] reads.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::M => "m",
            Self::H => "h",
            Self::Auto => "auto",
        }
    }

    /// How many decimal digits the unit's milliseconds are away: positive if it is finer.
    const fn digits(self, whole: u64) -> i32 {
        match self {
            Self::Ns => 6,
            Self::Us => 3,
            Self::Ms => 0,
            Self::S | Self::M | Self::H => -3,
            Self::Auto if whole < 100_000_000_000 => -3,
            Self::Auto if whole < 100_000_000_000_000 => 0,
            Self::Auto if whole < 100_000_000_000_000_000 => 3,
            Self::Auto => 6,
        }
    }

    /// How many of the unit that [`Precision::digits`] speaks of it is.
    const fn factor(self) -> u16 {
        match self {
            Self::M => 60,
            Self::H => 3600,
            _ => 1,
        }
    }
}

/// Whether a time in milliseconds lies inside years 1678–2261, or a little beyond.
#[inline]
pub(crate) fn valid_time(time: i64) -> bool {
    TIMES.contains(&time)
}

/// A decimal timestamp in milliseconds; none outside years 1678–2261.
#[inline]
pub(crate) fn decimal_time(number: Decimal, precision: Precision) -> Option<i64> {
    let Decimal {
        negative,
        mantissa,
        scale,
    } = number;
    let scale = u32::try_from(scale).ok()?;
    let whole = if scale == 0 {
        mantissa
    } else {
        mantissa / 10u64.checked_pow(scale)?
    };
    let shift = precision.digits(whole) + scale.cast_signed();
    let mantissa = if negative {
        -i128::from(mantissa)
    } else {
        i128::from(mantissa)
    };
    let mantissa = mantissa * i128::from(precision.factor());
    let power = 10i128.pow(shift.unsigned_abs());
    let time = if shift <= 0 {
        mantissa * power
    } else {
        mantissa.div_euclid(power)
    };
    i64::try_from(time).ok().filter(|&time| valid_time(time))
}

/// A timestamp written as a number, to the end of `text`.
#[inline]
pub(crate) fn number_time(text: &[u8], precision: Precision) -> Option<i64> {
    if let Some((number, len)) = decimal(text)
        && len == text.len()
    {
        return decimal_time(number, precision);
    }
    // Exponents and very long fractions; a double is exact to a microsecond in our century.
    let value = whole_number(text).filter(|value| value.is_finite())?;
    let digits = precision.digits(value.abs() as u64);
    let time = value * f64::from(precision.factor()) * 10f64.powi(-digits);
    let time = if (time - time.round()).abs() < 1e-3 {
        time.round()
    } else {
        time.floor()
    };
    Some(time as i64).filter(|&time| valid_time(time))
}

/// A timestamp given as text: RFC 3339, or a number.
pub(crate) fn text_time(text: &str) -> Option<i64> {
    if let Some(time) = number_time(text.as_bytes(), Precision::Auto) {
        return Some(time);
    }
    let time: Timestamp = text.parse().ok()?;
    let ms = time.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(ms).ok().filter(|&time| valid_time(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_by_magnitude() {
        for (text, ms) in [
            ("1613707265", 1_613_707_265_000),
            ("1613707265.123", 1_613_707_265_123),
            ("1613707265.1239999", 1_613_707_265_123),
            ("1613707265123", 1_613_707_265_123),
            ("1613707265123.9", 1_613_707_265_123),
            ("1613707265123456", 1_613_707_265_123),
            ("1613707265123456789", 1_613_707_265_123),
            ("1.613707265e9", 1_613_707_265_000),
            ("1.613707265123e+12", 1_613_707_265_123),
            ("0", 0),
            ("-1.5", -1_500),
            ("-0.0005", -1),
        ] {
            assert_eq!(
                number_time(text.as_bytes(), Precision::Auto),
                Some(ms),
                "{text}"
            );
        }
    }

    #[test]
    fn minutes_and_hours() {
        let read = |text: &str, unit| number_time(text.as_bytes(), unit);
        assert_eq!(read("26895121", Precision::M), Some(1_613_707_260_000));
        assert_eq!(read("448252", Precision::H), Some(1_613_707_200_000));
        assert_eq!(read("1.5e0", Precision::H), Some(5_400_000));
    }

    #[test]
    fn rfc_3339_with_any_offset() {
        for (text, ms) in [
            ("2021-02-19T04:01:05Z", 1_613_707_265_000),
            ("2021-02-19T05:01:05.1239+01:00", 1_613_707_265_123),
            ("2021-02-19t04:01:05.5z", 1_613_707_265_500),
            ("1613707265", 1_613_707_265_000),
        ] {
            assert_eq!(text_time(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_time_is_refused() {
        for text in [
            "",
            "now",
            "NaN",
            "Inf",
            "1e300",
            "2021-02-19",
            "2021-02-19T04:01:05",
            "99999999999999999999999",
        ] {
            assert_eq!(text_time(text), None, "{text}");
        }
        assert_eq!(
            number_time(b"9999999999999999", Precision::Ms),
            None,
            "beyond year 2261"
        );
    }
}

//! Numbers in text.

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A decimal number as it is written: `mantissa × 10^-scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) mantissa: u64,
    pub(crate) scale: usize,
}

/// Reads digits with at most one point, at the start of `text`; returns the number and how many
/// bytes it took. None if there are no digits or more than 19.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<(Decimal, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut mantissa, mut at) = (0u64, start);
    while let Some(digit) = digit(text, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - start;
    let mut scale = 0;
    if text.get(at) == Some(&b'.') && digits > 0 {
        let point = at;
        at += 1;
        while let Some(digit) = digit(text, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        scale = at - point - 1;
        digits += scale;
        if scale == 0 {
            return None;
        }
    }
    (1..=19).contains(&digits).then_some((
        Decimal {
            negative,
            mantissa,
            scale,
        },
        at,
    ))
}

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u64> {
    text.get(at)
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| u64::from(byte - b'0'))
}

impl Decimal {
    /// The nearest double, where one multiplication or division gives it (Clinger 1990).
    #[inline]
    fn exact(self) -> Option<f64> {
        if self.mantissa > 1 << 53 {
            return None;
        }
        let value = self.mantissa as f64 / POWERS.get(self.scale)?;
        Some(if self.negative { -value } else { value })
    }
}

/// Reads the number at the start of `text`: how far it goes and what it is. The words for "not a
/// number" and the infinities count; a finite literal that no double holds does not.
#[inline]
pub(crate) fn number(text: &[u8]) -> Option<(f64, usize)> {
    if let Some((decimal, len)) = decimal(text)
        && !text.get(len).copied().is_some_and(in_number)
        && let Some(value) = decimal.exact()
    {
        return Some((value, len));
    }
    let len = text.iter().take_while(|byte| in_number(**byte)).count();
    Some((whole_number(&text[..len])?, len))
}

const fn in_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Reads `text` as one number, to its end.
pub(crate) fn whole_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    // The standard library also knows `inf`, `infinity` and `nan`, in any case and with a sign.
    let value: f64 = text.parse().ok()?;
    let literal = text.bytes().any(|byte| byte.is_ascii_digit());
    (!(literal && value.is_infinite())).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_standard_library_says() {
        for text in [
            "0",
            "-0",
            "1",
            "0.75",
            "1613707265",
            "1.811864e+06",
            "-12.5",
            "9007199254740993",
            "123456789012345678901234567890",
            "1e-320",
            "0.1",
            "3.141592653589793",
            "2.2250738585072014e-308",
            "1E5",
            "1.7976931348623157e308",
            "72057594037927936.5",
        ] {
            let (value, len) = number(text.as_bytes()).expect(text);
            assert_eq!(
                value.to_bits(),
                text.parse::<f64>().expect(text).to_bits(),
                "{text}"
            );
            assert_eq!(len, text.len());
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "1e999", "-1e999", "abc", "1.2.3", "0x10", "--1", "1e", "e5",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert!(number(b"NaN,").is_some_and(|(value, len)| value.is_nan() && len == 3));
        assert_eq!(number(b"-Infinity}"), Some((f64::NEG_INFINITY, 9)));
        assert_eq!(number(b"+Inf}"), Some((f64::INFINITY, 4)));
    }
}

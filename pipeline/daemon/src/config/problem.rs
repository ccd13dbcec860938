//! What is wrong with a configuration, where, and what would be right.

use std::fmt;

use super::path::KeyPath;
use super::secret;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The configuration file.
    File {
        /// Its path as the user gave it.
        name: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// An environment variable of that name.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// A default that follows from another setting.
    Derived,
    /// The defaults.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Derived | Self::Nowhere => write!(f, "defaults"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// Which key it is about; the root for errors of syntax.
    pub key: KeyPath,
    /// What is wrong and what would be right. Never holds a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.0.is_empty() {
            return write!(f, "{}: {}", self.place, self.message);
        }
        write!(f, "{}: `{}`: {}", self.place, self.key, self.message)
    }
}

/// Puts serde's words for an error at `key` into the user's.
#[must_use]
pub(super) fn reword(key: &KeyPath, serde: &str) -> String {
    if let Some((unknown, valid)) = split_unknown(serde, "unknown field ") {
        return choices("unknown key", unknown, &valid, "valid keys here");
    }
    let secret = secret::is_secret_path(key);
    if let Some((unknown, valid)) = split_unknown(serde, "unknown variant ") {
        let what = if secret {
            "not a valid value".into()
        } else {
            format!("no such value {unknown:?}")
        };
        return choices(&what, unknown, &valid, "valid values");
    }
    let Some((got, wanted)) = serde.rsplit_once(", expected ") else {
        return if secret {
            "not a valid value (hidden)".into()
        } else if serde == "invalid socket address syntax" {
            "expected an address as `IP:PORT`, such as 127.0.0.1:7070".into()
        } else {
            serde.to_owned()
        };
    };
    let got = got
        .trim_start_matches("invalid type: ")
        .trim_start_matches("invalid value: ");
    let got = if secret {
        "something else (hidden)"
    } else {
        got
    };
    format!("expected {}, got {got}", expected(wanted))
}

/// Splits "<prefix>`x`, expected one of `a`, `b`" into x and its choices.
fn split_unknown<'m>(message: &'m str, prefix: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let rest = message.strip_prefix(prefix)?;
    let (unknown, rest) = rest.strip_prefix('`')?.split_once('`')?;
    let valid = rest.split('`').skip(1).step_by(2).collect();
    Some((unknown, valid))
}

fn choices(what: &str, unknown: &str, valid: &[&str], they_are: &str) -> String {
    let mut message = what.to_owned();
    if let Some(near) = nearest(unknown, valid.iter().copied()) {
        message.push_str(&format!("; did you mean `{near}`?"));
    }
    if valid.is_empty() {
        message.push_str("; there are none here");
    } else {
        message.push_str(&format!(" ({they_are}: {})", valid.join(", ")));
    }
    message
}

fn expected(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a text in quotes",
        "a sequence" => "a list in []",
        "a map" => "a table",
        "path string" => "a path in quotes",
        "socket address" => "an address as `IP:PORT` in quotes",
        wanted if wanted.starts_with("struct ") => "a table",
        wanted => wanted,
    }
}

/// The valid word that a mistyped one most likely meant.
#[must_use]
pub fn nearest<'v>(word: &str, valid: impl Iterator<Item = &'v str>) -> Option<&'v str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.', ' '], "_");
    let word = plain(word);
    valid
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, dropped, changed or swapped with their neighbour to make
/// one word of the other (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_by_edits_and_swaps() {
        assert_eq!(distance("brokers", "brokres"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("lateness", "lateness_ms"), 3);
        let keys = ["brokers", "topics", "lateness_ms"];
        assert_eq!(nearest("brokes", keys.into_iter()), Some("brokers"));
        assert_eq!(nearest("lateness", keys.into_iter()), Some("lateness_ms"));
        assert_eq!(nearest("zebra", keys.into_iter()), None);
    }

    #[test]
    fn secrets_do_not_pass_through_serdes_words() {
        let key = KeyPath::of(["kafka", "librdkafka", "sasl.password"]);
        let message = reword(&key, "invalid type: integer `12345`, expected a string");
        assert_eq!(
            message,
            "expected a text in quotes, got something else (hidden)"
        );
        let message = reword(
            &KeyPath::of(["http"]),
            "invalid type: integer `1`, expected a map",
        );
        assert_eq!(message, "expected a table, got integer `1`");
    }
}

//! Prometheus `relabel_configs`: rules that change, keep or drop label sets.
//!
//! Semantics are those of `model/relabel` in prometheus/prometheus. Rules see the metric name as
//! the label `__name__`. They run once per series, when it is first seen. `\d`, `\s`, `\w` and `\b` know
//! ASCII alone, as in RE2.

use std::borrow::Cow;

use md5::{Digest, Md5};
use regex::Regex;
use serde::{Deserialize, Serialize};

/// One rule as it stands in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelRule {
    /// Labels whose values are joined and matched.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// Matched against the whole of the joined value (or of the label name, for the `label…`
    /// actions).
    pub regex: String,
    /// For `hashmod`: the hash is taken modulo this.
    pub modulus: u64,
    /// The label that is set; may name groups of the regex.
    pub target_label: String,
    /// What it is set to; may name groups of the regex.
    pub replacement: String,
    /// What is done.
    pub action: RelabelAction,
}

impl Default for RelabelRule {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".into(),
            regex: "(.*)".into(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".into(),
            action: RelabelAction::Replace,
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets the target to the replacement where the regex matches; an empty result removes it.
    #[default]
    Replace,
    /// Drops series whose joined value does not match.
    Keep,
    /// Drops series whose joined value matches.
    Drop,
    /// Drops series whose joined value differs from the target label's.
    KeepEqual,
    /// Drops series whose joined value equals the target label's.
    DropEqual,
    /// Sets the target to the MD5 hash of the joined value, modulo `modulus`.
    HashMod,
    /// Copies each label whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target to the joined value in lower case.
    Lowercase,
    /// Sets the target to the joined value in upper case.
    Uppercase,
}

/// A rule that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RelabelError {
    /// The regular expression does not compile.
    #[error("relabel rule {rule}: compiling regex `{regex}`: {source}")]
    Regex {
        /// Which rule, counted from 1.
        rule: usize,
        /// The expression.
        regex: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// A setting that the action needs is missing.
    #[error(
        "relabel rule {rule}: action {action:?} needs `{setting}`; add it or change the action"
    )]
    Missing {
        /// Which rule, counted from 1.
        rule: usize,
        /// Its action.
        action: RelabelAction,
        /// What it lacks.
        setting: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Compiled {
    rule: RelabelRule,
    regex: Regex,
}

/// Compiled rules, applied in order.
///
/// ```
/// use tidegauge_decode::{Relabel, RelabelAction, RelabelRule};
/// let rule = RelabelRule {
///     source_labels: vec!["__name__".into()],
///     regex: "go_.*".into(),
///     action: RelabelAction::Drop,
///     ..RelabelRule::default()
/// };
/// let rules = Relabel::new(&[rule])?;
/// assert!(!rules.apply(&mut vec![("__name__".into(), "go_threads".into())]));
/// assert!(rules.apply(&mut vec![("__name__".into(), "up".into())]));
/// # Ok::<(), tidegauge_decode::RelabelError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Relabel {
    rules: Vec<Compiled>,
}

/// A label set under relabelling: names and values, in any order.
pub type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl Relabel {
    /// Compiles rules.
    ///
    /// # Errors
    /// If a regular expression does not compile, or a rule lacks what its action needs.
    pub fn new(rules: &[RelabelRule]) -> Result<Self, RelabelError> {
        let compile = |(index, rule): (usize, &RelabelRule)| compile(index + 1, rule);
        Ok(Self {
            rules: rules
                .iter()
                .enumerate()
                .map(compile)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether there are no rules.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Changes a label set; returns whether the series is kept.
    pub fn apply(&self, labels: &mut Labels<'_>) -> bool {
        self.rules.iter().all(|rule| rule.apply(labels))
    }
}

fn compile(number: usize, rule: &RelabelRule) -> Result<Compiled, RelabelError> {
    use RelabelAction as A;
    let missing = |setting| RelabelError::Missing {
        rule: number,
        action: rule.action,
        setting,
    };
    let targeted = matches!(
        rule.action,
        A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
    );
    if targeted && rule.target_label.is_empty() {
        return Err(missing("target_label"));
    }
    if rule.action == A::HashMod && rule.modulus == 0 {
        return Err(missing("modulus"));
    }
    // The dot matches newlines and the whole value must match, as in Prometheus.
    let whole = format!("^(?s:{})$", ascii_classes(&rule.regex));
    let regex = Regex::new(&whole).map_err(|source| RelabelError::Regex {
        rule: number,
        regex: rule.regex.clone(),
        source: Box::new(source),
    })?;
    Ok(Compiled {
        rule: rule.clone(),
        regex,
    })
}

/// The expression with its Perl classes as RE2 reads them; a class may stand in another.
fn ascii_classes(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len());
    let mut chars = regex.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('s') => out.push_str(r"[\t\n\f\r ]"),
            Some('S') => out.push_str(r"[^\t\n\f\r ]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('b') => out.push_str(r"(?-u:\b)"),
            Some('B') => out.push_str(r"(?-u:\B)"),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

impl Compiled {
    fn apply(&self, labels: &mut Labels<'_>) -> bool {
        use RelabelAction as A;
        let rule = &self.rule;
        let target = rule.target_label.as_str();
        match rule.action {
            A::Keep => return self.regex.is_match(&self.joined(labels)),
            A::Drop => return !self.regex.is_match(&self.joined(labels)),
            A::KeepEqual => return get(labels, target) == self.joined(labels),
            A::DropEqual => return get(labels, target) != self.joined(labels),
            A::Replace => self.replace(labels),
            A::HashMod => {
                let hash = md5_tail(&self.joined(labels)) % rule.modulus;
                set(labels, target, hash.to_string());
            }
            A::Lowercase => {
                let value = self.joined(labels).to_lowercase();
                set(labels, target, value);
            }
            A::Uppercase => {
                let value = self.joined(labels).to_uppercase();
                set(labels, target, value);
            }
            A::LabelMap => self.map(labels),
            A::LabelDrop => labels.retain(|(name, _)| !self.regex.is_match(name)),
            A::LabelKeep => labels.retain(|(name, _)| self.regex.is_match(name)),
        }
        true
    }

    fn joined(&self, labels: &Labels<'_>) -> String {
        let values: Vec<&str> = self
            .rule
            .source_labels
            .iter()
            .map(|name| get(labels, name))
            .collect();
        values.join(&self.rule.separator)
    }

    fn replace(&self, labels: &mut Labels<'_>) {
        let joined = self.joined(labels);
        let Some(groups) = self.regex.captures(&joined) else {
            return;
        };
        let (mut target, mut value) = (String::new(), String::new());
        groups.expand(&self.rule.target_label, &mut target);
        groups.expand(&self.rule.replacement, &mut value);
        if !target.is_empty() {
            set(labels, &target, value);
        }
    }

    /// In the order of names, whatever order they came in: of two that map to one name the last counts.
    fn map(&self, labels: &mut Labels<'_>) {
        let mut mapped = Vec::new();
        for (name, value) in labels.iter() {
            if let Some(groups) = self.regex.captures(name) {
                let mut target = String::new();
                groups.expand(&self.rule.replacement, &mut target);
                mapped.push((name.to_string(), target, value.to_string()));
            }
        }
        mapped.sort_unstable();
        for (_, target, value) in mapped {
            set(labels, &target, value);
        }
    }
}

fn get<'l>(labels: &'l Labels<'_>, name: &str) -> &'l str {
    labels
        .iter()
        .find(|label| label.0 == name)
        .map_or("", |label| &label.1)
}

/// An empty value removes the label.
fn set(labels: &mut Labels<'_>, name: &str, value: String) {
    if value.is_empty() {
        labels.retain(|label| label.0 != name);
    } else if let Some(label) = labels.iter_mut().find(|label| label.0 == name) {
        label.1 = value.into();
    } else {
        labels.push((name.to_owned().into(), value.into()));
    }
}

/// The last eight bytes of the MD5 hash, big-endian, as Prometheus takes them.
fn md5_tail(text: &str) -> u64 {
    let digest: [u8; 16] = Md5::digest(text).into();
    let tail = digest.last_chunk::<8>().expect("MD5 has 16 bytes");
    u64::from_be_bytes(*tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_re2() {
        for (regex, matching, other) in [
            (r"\d+", "42", "\u{663}"),
            (r"\w+", "web_01", "zwölf"),
            (r"[\w.-]+", "web-01.eu", "zwölf.eu"),
            (r"[^\d]+", "\u{663}", "3"),
            (r"\W", "ü", "u"),
            (r"a\sb", "a b", "a\u{a0}b"),
            (r".+\b.+", "ab-c", "abc"),
            (r"zw\b.+", "zwölf", "zwei"),
            (r"a\Bb", "ab", "a b"),
            (r"zwölf\.\\d", r"zwölf.\d", r"zwölf.\1"),
            ("[ä-ü]+", "öü", "ou"),
        ] {
            let rule = RelabelRule {
                source_labels: vec!["x".into()],
                regex: regex.into(),
                action: RelabelAction::Keep,
                ..RelabelRule::default()
            };
            let rules = Relabel::new(&[rule]).expect(regex);
            let keeps = |value: &'static str| rules.apply(&mut vec![("x".into(), value.into())]);
            assert_eq!((keeps(matching), keeps(other)), (true, false), "{regex}");
        }
    }

    #[test]
    fn of_labels_that_map_to_one_name_the_last_by_name_counts() {
        let rule = RelabelRule {
            regex: "(a|b)".into(),
            replacement: "c".into(),
            action: RelabelAction::LabelMap,
            ..RelabelRule::default()
        };
        let rules = Relabel::new(&[rule]).expect("a rule");
        for order in [["a", "b"], ["b", "a"]] {
            let mut labels: Labels<'_> = order.map(|name| (name.into(), name.into())).into();
            assert!(rules.apply(&mut labels));
            assert_eq!(get(&labels, "c"), "b");
        }
    }
}

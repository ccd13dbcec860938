//! From layers to a checked configuration, or to all that is wrong with it.
//!
//! Serde stops at its first error. So each error is noted, what caused it is taken out of the
//! merged table, and the rest is read again, until nothing is wrong with what is left. The same
//! goes for values that are of the right kind but impossible.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::layers::Layers;
use super::path::KeyPath;
use super::problem::{Place, Problem, reword};
use super::{Config, env, template};

/// What a configuration is made of, lowest layer first.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file: its name for messages, and its text.
    pub file: Option<(String, String)>,
    /// Environment variables, in any order; others than ours are passed over.
    pub environment: Vec<(String, String)>,
    /// What the command line sets.
    pub flags: Vec<Flag>,
}

/// One key set by a flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag's name, with its dashes.
    pub name: &'static str,
    /// The key it sets, dots between its parts.
    pub key: &'static str,
    /// The value in TOML.
    pub value: toml::Value,
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Merges the inputs and checks the result.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn load(inputs: &Inputs) -> Result<Config, Problems> {
    let (name, text) = inputs
        .file
        .as_ref()
        .map_or(("", ""), |(name, text)| (name, text));
    let mut layers = Layers::parse(name, text).map_err(Problems)?;
    set_environment(&mut layers, &inputs.environment);
    let values: Vec<String> = inputs
        .flags
        .iter()
        .map(|flag| flag.value.to_string())
        .collect();
    for (flag, value) in inputs.flags.iter().zip(&values) {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        let value = DeValue::parse(value)
            .expect("a TOML value's own text")
            .into_inner();
        layers.set(&path, value, Place::Flag(flag.name));
    }
    set_derived(&mut layers);
    let defaults = toml::to_string(&Config::default()).expect("settings are plain data");
    let defaults = DeTable::parse(&defaults)
        .expect("TOML just written")
        .into_inner();
    read_checked(layers, &defaults)
}

fn set_environment<'t>(layers: &mut Layers<'t>, variables: &'t [(String, String)]) {
    let keys = template::every_key(template::SHIPPED);
    let mut ours: Vec<_> = variables
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .filter_map(|(name, text)| Some((env::path(name)?, name, text)))
        .collect();
    ours.sort();
    for (path, name, text) in ours {
        let value = env::value(text, &path, &keys);
        layers.set(&path, value, Place::Environment(name.clone()));
    }
}

/// Places that follow the data directory unless they are set themselves.
fn set_derived(layers: &mut Layers<'_>) {
    let data = layers.text_at(&["data"]).unwrap_or(Config::DATA).to_owned();
    for (path, below) in Config::WITHIN_DATA {
        if !layers.has(path) {
            let value = format!("{}/{below}", data.trim_end_matches('/'));
            let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
            layers.set(&path, DeValue::String(value.into()), Place::Derived);
        }
    }
}

fn read_checked<'t>(mut layers: Layers<'t>, defaults: &DeTable<'t>) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    loop {
        let Some(config) = read::<Config>(&mut layers, defaults, &mut problems) else {
            return Err(Problems(problems));
        };
        let mut wrong = Vec::new();
        for fault in config.faults() {
            let key = layers.resolve(&fault.key);
            let at_first = layers.at_first(&key);
            if problems
                .iter()
                .any(|known: &Problem| known.key.overlaps(&at_first))
            {
                continue;
            }
            let place = layers
                .span_of(&key)
                .map_or(Place::Nowhere, |span| layers.place(span));
            problems.push(Problem {
                place,
                key: at_first,
                message: fault.message,
            });
            wrong.push(key);
        }
        // From the end, so that what is still to be removed stays where it is.
        wrong.sort();
        let mut removed = false;
        for key in wrong.iter().rev() {
            removed |= layers.remove(key);
        }
        if problems.is_empty() {
            return Ok(config);
        }
        if !removed {
            problems.sort_by_key(|problem| match &problem.place {
                Place::File { line, column, .. } => (0, *line, *column),
                _ => (1, 0, 0),
            });
            return Err(Problems(problems));
        }
    }
}

/// Reads what can be read, noting and removing what can't. None if an error can't be placed.
fn read<'t, T: DeserializeOwned>(
    layers: &mut Layers<'t>,
    defaults: &DeTable<'t>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    loop {
        layers.fill(defaults);
        let error = match T::deserialize(Deserializer::from(layers.table())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let key = layers.locate(&span).unwrap_or_default();
        let message = reword(&key, error.message());
        problems.push(Problem {
            place: layers.place(span),
            key: layers.at_first(&key),
            message,
        });
        let removed = layers.remove(&key);
        if !removed {
            return None;
        }
    }
}

/// One value that can't work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its key, dots between the parts and `[n]` behind lists: `kafka.topics[0].regex`.
    pub key: String,
    /// Why not, and what would do.
    pub message: String,
}

impl Layers<'_> {
    /// The path that a key in text means. Keys may hold dots themselves, so the longest that is
    /// there wins.
    fn resolve(&self, key: &str) -> KeyPath {
        use super::path::Step;
        let mut path = KeyPath::default();
        let mut rest = key;
        while !rest.is_empty() {
            if let Some((index, after)) = rest
                .strip_prefix('[')
                .and_then(|inner| inner.split_once(']'))
                && let Ok(index) = index.parse()
            {
                path = path.join(Step::Index(index));
                rest = after.trim_start_matches('.');
                continue;
            }
            let ends = rest
                .match_indices(['.', '['])
                .map(|(at, _)| at)
                .chain([rest.len()]);
            let there = |end: &usize| self.contains(&path.join(Step::Key(rest[..*end].to_owned())));
            let ends: Vec<usize> = ends.collect();
            let end = ends.iter().rev().copied().find(there).unwrap_or(ends[0]);
            path = path.join(Step::Key(rest[..end].to_owned()));
            rest = rest[end..].trim_start_matches('.');
        }
        path
    }
}

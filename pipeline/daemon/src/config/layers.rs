//! One table made of several layers: the file, above it the environment, above that the flags.
//!
//! Every value remembers where it came from. Values of the file carry their byte range in its
//! text; the others carry a range of one byte behind the text's end, by which their origin is
//! found again. So serde's errors, which name a range, lead back to a place the user can mend.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::path::{KeyPath, Step};
use super::problem::{Place, Problem};

/// The layers merged so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers<'t> {
    file: String,
    text: &'t str,
    root: DeTable<'t>,
    /// Origins of the values that are not of the file, by number.
    others: Vec<Place>,
    /// Items taken out of lists, by where they stood at first.
    gone: BTreeSet<KeyPath>,
}

impl<'t> Layers<'t> {
    /// Begins with a file's text; `name` is how messages call it.
    ///
    /// # Errors
    /// All that is wrong with the text as TOML.
    pub(super) fn parse(name: &str, text: &'t str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let root = table.into_inner();
        let layers = Self {
            file: name.to_owned(),
            text,
            root,
            others: Vec::new(),
            gone: BTreeSet::new(),
        };
        if errors.is_empty() {
            return Ok(layers);
        }
        let problem = |error: toml::de::Error| Problem {
            place: layers.place(error.span().unwrap_or(0..0)),
            key: KeyPath::default(),
            message: format!("not TOML: {}", error.message()),
        };
        Err(errors.into_iter().map(problem).collect())
    }

    /// Sets one value above all earlier layers. Where a layer below has something that is no
    /// table in the way, nothing is set: reading will report that thing.
    pub(super) fn set(&mut self, path: &[String], value: DeValue<'t>, origin: Place) {
        let span = self.text.len() + 1 + self.others.len();
        self.others.push(origin);
        let span = span..span + 1;
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut table = &mut self.root;
        for key in parents {
            if !table.contains_key(key.as_str()) {
                let empty = DeValue::Table(DeTable::new());
                let key = Spanned::new(span.clone(), key.clone().into());
                table.insert(key, Spanned::new(span.clone(), empty));
            }
            let next = table.get_mut(key.as_str()).expect("just looked up");
            let DeValue::Table(inner) = next.get_mut() else {
                return;
            };
            table = inner;
        }
        table.remove(last.as_str());
        table.insert(
            Spanned::new(span.clone(), last.clone().into()),
            moved(value, &span),
        );
    }

    /// Sets what no layer sets yet, at every depth, so that half a table keeps the other half's
    /// defaults.
    pub(super) fn fill(&mut self, defaults: &DeTable<'t>) {
        let mut leaves = Vec::new();
        leaves_of(defaults, &mut Vec::new(), &mut leaves);
        for (path, value) in leaves {
            let known = KeyPath::of(path.iter().map(String::as_str));
            if !self.contains(&known) {
                self.set(&path, value, Place::Nowhere);
            }
        }
    }

    /// Whether some layer sets the value.
    #[must_use]
    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.contains(&KeyPath::of(path.iter().copied()))
    }

    /// Whether some layer sets something at `path`.
    #[must_use]
    pub(super) fn contains(&self, path: &KeyPath) -> bool {
        self.get(path).is_some()
    }

    /// The text that some layer sets at `path`.
    #[must_use]
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.get(&KeyPath::of(path.iter().copied()))?
            .get_ref()
            .as_str()
    }

    /// The merged table, for serde.
    #[must_use]
    pub(super) fn table(&self) -> Spanned<DeTable<'t>> {
        Spanned::new(0..self.text.len(), self.root.clone())
    }

    /// The place of a range that an error names.
    #[must_use]
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        if let Some(other) = span.start.checked_sub(self.text.len() + 1)
            && let Some(place) = self.others.get(other)
        {
            return place.clone();
        }
        if self.file.is_empty() {
            return Place::Nowhere;
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            name: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The path whose key or value has that range, keys first: an unknown key is reported at the
    /// key, a bad value at the value. Failing that, the innermost value around it.
    #[must_use]
    pub(super) fn locate(&self, span: &Range<usize>) -> Option<KeyPath> {
        let mut best: Option<(usize, KeyPath)> = None;
        visit_table(&self.root, &KeyPath::default(), &mut |path, key, value| {
            let exact = key.as_ref() == Some(span) || value == span;
            let around = value.start <= span.start && span.end <= value.end;
            let size = if exact { 0 } else { value.len().max(1) };
            // An equal size further in is the better one: overlays share one range.
            if (exact || around) && best.as_ref().is_none_or(|(least, _)| size <= *least) {
                best = Some((size, path.clone()));
            }
        });
        best.map(|(_, path)| path)
    }

    /// The range of the value at `path`, or of the nearest that is there on the way to it.
    #[must_use]
    pub(super) fn span_of(&self, path: &KeyPath) -> Option<Range<usize>> {
        let steps = &path.0;
        (1..=steps.len())
            .rev()
            .find_map(|taken| self.get(&KeyPath(steps[..taken].to_vec())))
            .map(Spanned::span)
    }

    /// Where the value at `path` stood before any was taken out: lists close up behind those that were.
    #[must_use]
    pub(super) fn at_first(&self, path: &KeyPath) -> KeyPath {
        path.0.iter().fold(KeyPath::default(), |list, step| {
            let Step::Index(index) = step else {
                return list.join(step.clone());
            };
            let items = (0..).map(|index| list.join(Step::Index(index)));
            let mut left = items.filter(|item| !self.gone.contains(item));
            left.nth(*index).expect("indices have no end")
        })
    }

    /// Takes a value out. Returns whether it was there.
    pub(super) fn remove(&mut self, path: &KeyPath) -> bool {
        let at_first = self.at_first(path);
        let removed = self.take_out(path);
        if removed && matches!(path.0.last(), Some(Step::Index(_))) {
            self.gone.insert(at_first);
        }
        removed
    }

    fn take_out(&mut self, path: &KeyPath) -> bool {
        let Some((last, parents)) = path.0.split_last() else {
            return false;
        };
        let Some(first) = parents.first() else {
            return matches!(last, Step::Key(key) if self.root.remove(key.as_str()).is_some());
        };
        let Step::Key(first) = first else {
            return false;
        };
        let Some(mut at) = self.root.get_mut(first.as_str()) else {
            return false;
        };
        for step in &parents[1..] {
            let Some(next) = child_mut(at.get_mut(), step) else {
                return false;
            };
            at = next;
        }
        remove_child(at, last)
    }

    fn get(&self, path: &KeyPath) -> Option<&Spanned<DeValue<'t>>> {
        let (first, rest) = path.0.split_first()?;
        let Step::Key(first) = first else { return None };
        rest.iter()
            .try_fold(self.root.get(first.as_str())?, |at, step| match step {
                Step::Key(key) => at.get_ref().as_table()?.get(key.as_str()),
                Step::Index(index) => at.get_ref().as_array()?.get(*index),
            })
    }
}

fn child_mut<'a, 't>(
    value: &'a mut DeValue<'t>,
    step: &Step,
) -> Option<&'a mut Spanned<DeValue<'t>>> {
    match (value, step) {
        (DeValue::Table(table), Step::Key(key)) => table.get_mut(key.as_str()),
        (DeValue::Array(array), Step::Index(index)) => array.get_mut(*index),
        _ => None,
    }
}

fn remove_child(parent: &mut Spanned<DeValue<'_>>, step: &Step) -> bool {
    match (parent.get_mut(), step) {
        (DeValue::Table(table), Step::Key(key)) => table.remove(key.as_str()).is_some(),
        (DeValue::Array(array), Step::Index(index)) if *index < array.len() => {
            let mut kept = DeArray::new();
            let others = array.iter().enumerate().filter(|(at, _)| at != index);
            others.for_each(|(_, item)| kept.push(item.clone()));
            *array = kept;
            true
        }
        _ => false,
    }
}

/// `value` with that range for every part of it.
fn moved<'t>(value: DeValue<'t>, span: &Range<usize>) -> Spanned<DeValue<'t>> {
    let value = match value {
        DeValue::Array(items) => {
            let mut array = DeArray::new();
            items
                .into_iter()
                .for_each(|item| array.push(moved(item.into_inner(), span)));
            DeValue::Array(array)
        }
        DeValue::Table(entries) => DeValue::Table(
            entries
                .into_iter()
                .map(|(key, item)| {
                    (
                        Spanned::new(span.clone(), key.into_inner()),
                        moved(item.into_inner(), span),
                    )
                })
                .collect(),
        ),
        plain => plain,
    };
    Spanned::new(span.clone(), value)
}

/// Everything in a table that is no table itself.
fn leaves_of<'t>(
    table: &DeTable<'t>,
    path: &mut Vec<String>,
    leaves: &mut Vec<(Vec<String>, DeValue<'t>)>,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => leaves_of(inner, path, leaves),
            leaf => leaves.push((path.clone(), leaf.clone())),
        }
        path.pop();
    }
}

type Visit<'v> = dyn FnMut(&KeyPath, Option<Range<usize>>, &Range<usize>) + 'v;

fn visit_table(table: &DeTable<'_>, path: &KeyPath, visit: &mut Visit<'_>) {
    for (key, value) in table {
        let path = path.join(Step::Key(key.get_ref().to_string()));
        visit(&path, Some(key.span()), &value.span());
        visit_value(value.get_ref(), &path, visit);
    }
}

fn visit_value(value: &DeValue<'_>, path: &KeyPath, visit: &mut Visit<'_>) {
    match value {
        DeValue::Table(table) => visit_table(table, path, visit),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = path.join(Step::Index(index));
                visit(&path, None, &item.span());
                visit_value(item.get_ref(), &path, visit);
            }
        }
        _ => {}
    }
}

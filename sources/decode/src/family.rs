//! Metric families: which series a producer's metadata is about.
//!
//! Remote write sends metadata by family name and apart from samples; a histogram's family `f` has
//! the series `f_bucket`, `f_sum` and `f_count`.

use std::collections::HashMap;
use std::sync::Arc;

use tidegauge_model::{MINUTE_MS, Metadata};

/// Two producers that disagree must not make every message redefine all series of a family.
const CHANGE_EVERY_MS: i64 = 10 * MINUTE_MS;

/// How many families without series are kept: metadata may come before the first sample.
const SPARE_FAMILIES: usize = 10_000;

const SUFFIXES: [&str; 6] = ["_bucket", "_sum", "_count", "_total", "_created", "_info"];

/// Families by name without suffix.
#[derive(Debug, Default)]
pub(crate) struct Families {
    by_base: HashMap<Box<str>, Family>,
    members: usize,
}

#[derive(Debug, Default)]
struct Family {
    words: Vec<Word>,
    /// Where the interner keeps the family's series.
    members: Vec<u32>,
}

/// What was said of one family name.
#[derive(Debug)]
struct Word {
    name: Box<str>,
    metadata: Arc<Metadata>,
    changed_at: i64,
}

/// What a producer's word came to.
pub(crate) enum Told<'a> {
    /// Known already, or changed again too soon.
    Nothing,
    /// It is about these series, if their names belong to the family.
    News {
        /// What was said.
        metadata: Arc<Metadata>,
        /// The candidates.
        members: &'a [u32],
    },
}

impl Families {
    /// Adds a series and returns what is known of its family.
    pub(crate) fn join(&mut self, name: &str, slot: u32) -> Option<Arc<Metadata>> {
        let family = self.family(base(name));
        family.members.push(slot);
        let exact = family.words.iter().find(|word| *word.name == *name);
        let word = exact.or_else(|| family.words.iter().find(|word| belongs(name, &word.name)));
        let metadata = word.map(|word| Arc::clone(&word.metadata));
        self.members += 1;
        metadata
    }

    /// Takes series away again; `slots` ascend.
    pub(crate) fn leave(&mut self, name: &str, slots: &[u32]) {
        let Some(family) = self.by_base.get_mut(base(name)) else {
            return;
        };
        let before = family.members.len();
        family
            .members
            .retain(|slot| slots.binary_search(slot).is_err());
        self.members -= before - family.members.len();
        if family.members.is_empty() {
            self.by_base.remove(base(name));
        }
    }

    /// Takes a producer's word on a family.
    pub(crate) fn tell(&mut self, name: &str, metadata: Metadata, now: i64) -> Told<'_> {
        if self.by_base.len() > self.members + SPARE_FAMILIES {
            self.by_base.retain(|_, family| !family.members.is_empty());
        }
        let family = self.family(base(name));
        if let Some(word) = family.words.iter_mut().find(|word| *word.name == *name) {
            if *word.metadata == metadata || now < word.changed_at + CHANGE_EVERY_MS {
                return Told::Nothing;
            }
            word.metadata = Arc::new(metadata);
            word.changed_at = now;
            return Told::News {
                metadata: Arc::clone(&word.metadata),
                members: &family.members,
            };
        }
        let metadata = Arc::new(metadata);
        let word = Word {
            name: name.into(),
            metadata: Arc::clone(&metadata),
            changed_at: now,
        };
        family.words.push(word);
        Told::News {
            metadata,
            members: &family.members,
        }
    }

    fn family(&mut self, base: &str) -> &mut Family {
        if !self.by_base.contains_key(base) {
            self.by_base.insert(base.into(), Family::default());
        }
        self.by_base.get_mut(base).expect("just put in")
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.by_base.len() * 256 + self.members * size_of::<u32>() * 2
    }
}

/// Whether a series of this name is of the family.
pub(crate) fn belongs(name: &str, family: &str) -> bool {
    let rest = name.strip_prefix(family);
    rest.is_some_and(|rest| rest.is_empty() || SUFFIXES.contains(&rest))
}

fn base(name: &str) -> &str {
    let without = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    without.filter(|base| !base.is_empty()).unwrap_or(name)
}

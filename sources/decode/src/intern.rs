//! Label sets to series numbers: the slow path of every decoder, taken once per new series.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use tidegauge_model::{Definition, Limits, Metadata, RejectReason, Series, SeriesError};

use crate::family::{Families, Told};
use crate::relabel::{Labels, Relabel};
use crate::table::{KeyTable, Target};

/// What keys a table holds; each decoder has its own, so that bytes of one format never stand for
/// another's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// The label fields of a remote-write time series.
    RemoteWrite,
    /// The same where values are deltas.
    RemoteWriteDelta,
    /// The text of a JSON object without its value and timestamp.
    Json,
    /// Measurement and tags of an Influx line.
    InfluxHead,
    /// One field of such a line.
    InfluxField,
    /// Resource, scope and metric of OTLP points.
    OtlpMetric,
    /// One series of such a metric.
    OtlpPoint,
}

/// A piece of context seen for the first time.
#[derive(Debug)]
#[must_use]
pub(crate) struct Fresh {
    keys: Keys,
    place: u32,
    /// How many keys of all kinds there were with it.
    known_keys: usize,
}

const KEYS: usize = Keys::OtlpPoint as usize + 1;

/// One known series.
#[derive(Debug)]
struct Known {
    series: Option<Series>,
    metadata: Arc<Metadata>,
    local: u32,
    delta: bool,
    /// Whether some key still stands for it; set while sweeping.
    used: bool,
}

/// All that is known of one tenant's series in one partition.
///
/// A series costs, besides its keys, 48 B, 5–10 B of index, 4 B in its family and its canonical
/// bytes, which the dataflow shares.
#[derive(Debug)]
pub(crate) struct Interner {
    pub(crate) tenant: Arc<str>,
    tables: [KeyTable; KEYS],
    known: Vec<Known>,
    free: Vec<u32>,
    index: HashTable<u32>,
    families: Families,
    canonical_bytes: usize,
    /// Numbers that stand for a piece of context (an Influx head, an OTLP metric), not a series.
    contexts: u32,
}

impl Interner {
    pub(crate) fn new(tenant: &str) -> Self {
        Self {
            tenant: tenant.into(),
            tables: Default::default(),
            known: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            families: Families::default(),
            canonical_bytes: 0,
            contexts: 0,
        }
    }

    #[inline]
    pub(crate) fn table(&mut self, keys: Keys) -> &mut KeyTable {
        &mut self.tables[keys as usize]
    }

    /// The number of a piece of context; a new one must be [settled](Self::settle) once what it is the
    /// context of has been read.
    #[cold]
    pub(crate) fn context(&mut self, keys: Keys, key: &[u8], tick: u32) -> (u32, Option<Fresh>) {
        if let Some(known) = self.table(keys).find(key, tick) {
            return (known.local, None);
        }
        let local = self.contexts;
        self.contexts = local
            .checked_add(1)
            .expect("fewer than 2^32 contexts in one life");
        let target = Target {
            local,
            slot: u32::MAX,
        };
        let place = self.table(keys).insert(key, target, tick);
        let known_keys = self.keys();
        let fresh = Fresh {
            keys,
            place,
            known_keys,
        };
        (local, Some(fresh))
    }

    /// Forgets a piece of context under which nothing was learnt: broken input must not be kept for an hour.
    /// What was new later is settled before.
    #[cold]
    pub(crate) fn settle(&mut self, fresh: Fresh) {
        if self.keys() == fresh.known_keys {
            self.table(fresh.keys).remove(fresh.place);
            self.contexts -= 1;
        }
    }

    fn keys(&self) -> usize {
        self.tables.iter().map(KeyTable::len).sum()
    }

    /// Gives a label set its number: relabels it, proves it, and defines it if it is new.
    pub(crate) fn intern(
        &mut self,
        mut labels: Labels<'_>,
        metadata: Option<Metadata>,
        delta: bool,
        rules: &Rules<'_>,
        next_local: &mut u32,
        definitions: &mut Vec<Definition>,
    ) -> Result<Target, SeriesError> {
        check_twice(&labels)?;
        if !rules.relabel.is_empty() {
            labels.retain(|label| !label.1.is_empty());
            if !rules.relabel.apply(&mut labels) {
                return Ok(Target::DROPPED);
            }
        }
        let series = prove(&self.tenant, &labels, rules.limits)?;
        let metadata = metadata.map(Arc::new);
        Ok(match self.find(&series, delta) {
            Some(slot) => self.again(slot, metadata, definitions),
            None => self.define(series, metadata, delta, next_local, definitions),
        })
    }

    fn find(&self, series: &Series, delta: bool) -> Option<u32> {
        let same = |&slot: &u32| {
            let known = &self.known[slot as usize];
            known.delta == delta && known.series.as_ref() == Some(series)
        };
        self.index.find(series.id().0, same).copied()
    }

    fn again(
        &mut self,
        slot: u32,
        metadata: Option<Arc<Metadata>>,
        definitions: &mut Vec<Definition>,
    ) -> Target {
        let known = &mut self.known[slot as usize];
        if let Some(metadata) = metadata
            && known.metadata != metadata
        {
            known.metadata = metadata;
            definitions.extend(definition(known));
        }
        Target {
            local: known.local,
            slot,
        }
    }

    fn define(
        &mut self,
        series: Series,
        metadata: Option<Arc<Metadata>>,
        delta: bool,
        next_local: &mut u32,
        definitions: &mut Vec<Definition>,
    ) -> Target {
        let local = *next_local;
        assert!(
            local < u32::MAX - 1,
            "a partition has given out all {local} series numbers"
        );
        *next_local += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.known.len()).expect("known series are fewer than numbers given out")
        });
        let told = self.families.join(series.name(), slot);
        let metadata = metadata.or(told).unwrap_or_default();
        let hash = series.id().0;
        self.canonical_bytes += series.canonical().len();
        let known = Known {
            series: Some(series),
            metadata,
            local,
            delta,
            used: true,
        };
        definitions.extend(definition(&known));
        if let Some(place) = self.known.get_mut(slot as usize) {
            *place = known;
        } else {
            self.known.push(known);
        }
        let all = &self.known;
        self.index
            .insert_unique(hash, slot, |&slot| hash_of(all, slot));
        Target { local, slot }
    }

    /// Takes a producer's word on a metric family, and defines its series anew if that is news.
    pub(crate) fn tell(
        &mut self,
        family: &str,
        metadata: Metadata,
        now: i64,
        definitions: &mut Vec<Definition>,
    ) {
        let Told::News { metadata, members } = self.families.tell(family, metadata, now) else {
            return;
        };
        for &slot in members {
            let known = &mut self.known[slot as usize];
            let Some(series) = &known.series else {
                continue;
            };
            if crate::family::belongs(series.name(), family) && known.metadata != metadata {
                known.metadata = Arc::clone(&metadata);
                definitions.extend(definition(known));
            }
        }
    }

    /// Forgets keys last used before tick `oldest`, and the series that no key stands for any more.
    pub(crate) fn sweep(&mut self, oldest: u32) {
        for known in &mut self.known {
            known.used = false;
        }
        for table in &mut self.tables {
            table.sweep(oldest, |target| {
                if let Some(known) = self.known.get_mut(target.slot as usize) {
                    known.used = true;
                }
            });
        }
        let mut gone: HashMap<String, Vec<u32>> = HashMap::new();
        for (slot, known) in (0u32..).zip(&mut self.known) {
            if known.used {
                continue;
            }
            let Some(series) = known.series.take() else {
                continue;
            };
            if let Ok(found) = self.index.find_entry(series.id().0, |&at| at == slot) {
                found.remove();
            }
            self.canonical_bytes -= series.canonical().len();
            gone.entry(series.name().to_owned()).or_default().push(slot);
            self.free.push(slot);
        }
        for (name, slots) in gone {
            self.families.leave(&name, &slots);
        }
    }

    pub(crate) fn series(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys() == 0 && self.index.is_empty()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.tables.iter().map(KeyTable::heap_bytes).sum::<usize>()
            + self.known.capacity() * size_of::<Known>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.canonical_bytes
            + 32 * self.series()
            + self.families.heap_bytes()
    }
}

/// What a new series must pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) relabel: &'a Relabel,
    pub(crate) limits: &'a Limits,
}

impl Rules<'_> {
    /// As much of a help or unit text as is kept, which is what a label's value may have.
    pub(crate) fn cut<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let mut end = text.len().min(self.limits.value_bytes);
        // A byte that goes on with a character begins with 10.
        while end > 0 && text.get(end).is_some_and(|byte| byte >> 6 == 0b10) {
            end -= 1;
        }
        &text[..end]
    }

    /// The same, as text.
    pub(crate) fn told<'t>(&self, text: &'t [u8]) -> Cow<'t, str> {
        String::from_utf8_lossy(self.cut(text))
    }
}

fn definition(known: &Known) -> Option<Definition> {
    Some(Definition {
        local: known.local,
        series: known.series.clone()?,
        metadata: Arc::clone(&known.metadata),
        delta: known.delta,
    })
}

fn hash_of(known: &[Known], slot: u32) -> u64 {
    known[slot as usize]
        .series
        .as_ref()
        .map_or(0, |series| series.id().0)
}

/// Refuses a name given twice before relabelling could hide it.
fn check_twice(labels: &Labels<'_>) -> Result<(), SeriesError> {
    let mut names: Vec<&str> = labels.iter().map(|label| &*label.0).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(SeriesError {
            reason: RejectReason::DuplicateLabel,
            detail: format!("label `{}` is given twice", pair[0]),
        }),
    }
}

fn prove(tenant: &str, labels: &Labels<'_>, limits: &Limits) -> Result<Series, SeriesError> {
    let is_name = |label: &(Cow<'_, str>, Cow<'_, str>)| label.0 == "__name__";
    let name = labels
        .iter()
        .find(|label| is_name(label))
        .map_or("", |label| &*label.1);
    let mut pairs: Vec<(&str, &str)> = labels
        .iter()
        .filter(|label| !is_name(label))
        .map(|(name, value)| (&**name, &**value))
        .collect();
    Series::new(tenant, name, &mut pairs, limits)
}

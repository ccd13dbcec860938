//! Raw bytes to series numbers, by successor prediction.
//!
//! Producers repeat their series in the same order. For each known key the table keeps which key
//! followed it last time; if the input goes on with that one, nothing is parsed and nothing is
//! hashed. A miss hashes the raw bytes (xxh3) and learns the new successor.
//!
//! A key costs 48 B, its bytes with the allocator's overhead of up to 16 B, and 5–10 B of index.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// The number of a series that relabelling dropped.
pub(crate) const DROPPED: u32 = u32::MAX;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The series' number, or [`DROPPED`].
    pub(crate) local: u32,
    /// Where the interner keeps the series; nothing for a dropped one.
    pub(crate) slot: u32,
}

impl Target {
    /// A series that relabelling dropped.
    pub(crate) const DROPPED: Self = Self {
        local: DROPPED,
        slot: u32::MAX,
    };
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    hash: u64,
    target: Target,
    /// Which entry followed this one last time.
    next: u32,
    /// Tick of the last use.
    seen: u32,
}

/// Known keys of one kind and tenant.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// The entry used last.
    cursor: u32,
    key_bytes: usize,
}

impl KeyTable {
    /// The key expected next, with its place; empty while nothing is known.
    #[inline]
    pub(crate) fn predicted(&self) -> (u32, &[u8]) {
        let Some(last) = self.entries.get(self.cursor as usize) else {
            return (0, &[]);
        };
        match self.entries.get(last.next as usize) {
            Some(entry) => (last.next, &entry.key),
            None => (0, &[]),
        }
    }

    /// Takes the prediction: `place` is where the input went on.
    #[inline]
    pub(crate) fn take(&mut self, place: u32, tick: u32) -> Target {
        self.cursor = place;
        let entry = &mut self.entries[place as usize];
        entry.seen = tick;
        entry.target
    }

    /// Finds a key by hash and learns that it follows the one before.
    pub(crate) fn find(&mut self, key: &[u8], tick: u32) -> Option<Target> {
        let hash = xxh3_64(key);
        let entries = &self.entries;
        let place = *self.index.find(hash, |&at| {
            let entry = &entries[at as usize];
            entry.hash == hash && *entry.key == *key
        })?;
        self.learn(place);
        Some(self.take(place, tick))
    }

    /// Adds a key that [`Self::find`] did not find; returns its place.
    pub(crate) fn insert(&mut self, key: &[u8], target: Target, tick: u32) -> u32 {
        let hash = xxh3_64(key);
        let entry = Entry {
            key: key.into(),
            hash,
            target,
            next: 0,
            seen: tick,
        };
        self.key_bytes += key.len();
        let place = if let Some(place) = self.free.pop() {
            self.entries[place as usize] = entry;
            place
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("a partition's keys are below 2^32")
        };
        let entries = &self.entries;
        self.index
            .insert_unique(hash, place, |&at| entries[at as usize].hash);
        self.learn(place);
        self.cursor = place;
        place
    }

    /// Takes a key out again.
    pub(crate) fn remove(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        let hash = entry.hash;
        // No key of any kind is empty, so a freed place is never predicted right.
        self.key_bytes -= std::mem::take(&mut entry.key).len();
        if let Ok(found) = self.index.find_entry(hash, |&at| at == place) {
            found.remove();
        }
        self.free.push(place);
    }

    fn learn(&mut self, place: u32) {
        if let Some(last) = self.entries.get_mut(self.cursor as usize) {
            last.next = place;
        }
    }

    /// Removes keys last used before `oldest`, and calls `keep` with the target of each other.
    pub(crate) fn sweep(&mut self, oldest: u32, mut keep: impl FnMut(Target)) {
        for place in 0..self.entries.len() {
            let entry = &self.entries[place];
            if entry.key.is_empty() {
                continue;
            }
            if entry.seen >= oldest {
                keep(entry.target);
            } else {
                self.remove(place as u32);
            }
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Memory held, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.key_bytes
            + 16 * self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn target(local: u32) -> Target {
        Target { local, slot: local }
    }

    #[test]
    fn what_followed_last_time_is_expected_again() {
        let mut table = KeyTable::default();
        for (key, local) in [(b"a", 0), (b"b", 1), (b"c", 2)] {
            assert_eq!(table.find(key, 0), None);
            table.insert(key, target(local), 0);
        }
        assert_eq!(table.find(b"a", 0), Some(target(0)));
        for (key, local) in [(b"b", 1), (b"c", 2), (b"a", 0)] {
            let (place, predicted) = table.predicted();
            assert_eq!(predicted, key);
            assert_eq!(table.take(place, 0), target(local));
        }
    }

    #[test]
    fn a_key_not_used_for_long_leaves_and_its_place_is_used_again() {
        let mut table = KeyTable::default();
        table.insert(b"old", target(0), 1);
        table.insert(b"new", target(1), 5);
        let mut kept = Vec::new();
        table.sweep(5, |target| kept.push(target.local));
        assert_eq!((kept, table.len()), (vec![1], 1));
        assert_eq!(table.find(b"old", 6), None);
        table.insert(b"old", target(2), 6);
        assert_eq!(table.entries.len(), 2);
        assert_eq!(table.find(b"old", 6), Some(target(2)));
    }
}

//! What the bucket holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

/// The objects of a bucket by their keys.
#[derive(Default)]
pub(super) struct Objects {
    held: BTreeMap<String, Object>,
    puts: u64,
}

/// An object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) tag: String,
    pub(super) modified: Timestamp,
}

/// A part of a listing.
#[derive(Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) folders: Vec<String>,
    /// Where the next page goes on, if there is one.
    pub(super) next: Option<String>,
}

impl Objects {
    /// Puts an object; with `create` only where there is none. Returns its tag.
    pub(super) fn put(&mut self, key: &str, body: Bytes, create: bool) -> Option<String> {
        if create && self.held.contains_key(key) {
            return None;
        }
        self.puts += 1;
        let tag = format!("\"{:032x}\"", self.puts);
        let object = Object {
            body,
            tag: tag.clone(),
            modified: Timestamp::now(),
        };
        self.held.insert(key.to_owned(), object);
        Some(tag)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.held.get(key)
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.held.remove(key);
    }

    /// Up to `most` keys that begin with `prefix` and come after `after`; those that go on with a
    /// `delimiter` are told as the folder that they lie in.
    pub(super) fn page(&self, prefix: &str, delimiter: &str, after: &str, most: usize) -> Page {
        let mut page = Page::default();
        let mut last = after.to_owned();
        let keys = self.held.range(prefix.to_owned()..);
        for (key, object) in keys.take_while(|(key, _)| key.starts_with(prefix)) {
            let below = &key[prefix.len()..];
            let folder = (!delimiter.is_empty())
                .then(|| below.split_once(delimiter))
                .flatten()
                .map(|(name, _)| format!("{prefix}{name}{delimiter}"));
            let entry = folder.as_ref().unwrap_or(key);
            if *entry <= last {
                continue;
            }
            if page.objects.len() + page.folders.len() == most {
                page.next = Some(last);
                break;
            }
            last.clone_from(entry);
            match folder {
                Some(folder) => page.folders.push(folder),
                None => page.objects.push((key.clone(), object.clone())),
            }
        }
        page
    }
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let mut objects = Objects::default();
    for key in ["a/1", "a/b/1", "a/b/2", "a/c/1", "b"] {
        objects.put(key, Bytes::new(), true);
    }
    let first = objects.page("a/", "/", "", 2);
    assert_eq!(first.objects.len(), 1);
    assert_eq!(first.folders, ["a/b/"]);
    let second = objects.page("a/", "/", &first.next.expect("more"), 2);
    assert_eq!(second.folders, ["a/c/"]);
    assert_eq!(second.next, None);
    assert_eq!(objects.page("a/", "", "", 9).objects.len(), 4);
}

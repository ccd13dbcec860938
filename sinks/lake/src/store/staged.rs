//! Hidden files beside those that they are to become, and what `kill -9` leaves of them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use walkdir::WalkDir;

/// Numbers the hidden files of the process.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// A name beside `path` that listings pass over, as `object_store`'s own staged files have it.
pub(super) fn staging_path(path: &Path) -> PathBuf {
    let number = STAGED.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}{number:06}", std::process::id()));
    name.into()
}

/// Removes from `folder` and those below it the staged files last written to before `before`; returns
/// how many. What can't be looked at is passed over: it is in nobody's way.
pub(super) fn remove_staged(folder: &Path, before: SystemTime) -> usize {
    let removed = |entry: walkdir::DirEntry| -> io::Result<bool> {
        let is_old = entry.metadata()?.modified()? < before;
        if is_old {
            std::fs::remove_file(entry.path())?;
        }
        Ok(is_old)
    };
    WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && is_staged(entry.file_name()))
        .filter_map(|entry| removed(entry).ok())
        .filter(|removed| *removed)
        .count()
}

/// Whether `name` ends in `#` and digits, which no object's name does.
fn is_staged(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.rsplit_once('#'));
    number.is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

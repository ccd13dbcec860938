//! File changes that survive a power cut: a name is on disk only once its directory is forced there.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Forces the names in a directory to disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Puts a file into a directory, whole or not at all, and for good.
pub(crate) fn put(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    fs::write(&temporary, bytes)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(temporary, dir.join(name))?;
    sync_dir(dir)
}

/// When a file was last changed, in milliseconds since the Unix epoch.
pub(crate) fn modified_ms(path: &Path) -> io::Result<i64> {
    let modified = fs::metadata(path)?.modified()?;
    let since = modified.duration_since(UNIX_EPOCH);
    Ok(since.map_or(0, |since| since.as_millis() as i64))
}

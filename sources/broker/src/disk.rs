//! File changes that survive a power cut: a name is on disk only once its directory is forced there.

use std::fs::{self, File};
use std::io;
use std::path::Path;

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

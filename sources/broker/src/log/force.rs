//! Forcing a log to disk, so that what it holds survives a power cut.
//!
//! A record is on disk once its segment's bytes are and once the directory knows the segment's
//! name. The log remembers up to which offset that holds; all that lies behind is forced together.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk;
use crate::log::Log;

/// What is to be forced so that all records before `up_to` are on disk.
pub(crate) struct Unforced {
    up_to: i64,
    files: Vec<Arc<File>>,
    /// The directory, where it holds a segment whose name may not be on disk.
    dir: Option<PathBuf>,
}

impl Unforced {
    fn force(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync_data())?;
        self.dir.as_deref().map_or(Ok(()), disk::sync_dir)
    }
}

impl Log {
    /// What keeps records before `next_offset` from being on disk; none where nothing does.
    pub(crate) fn unforced(&self, next_offset: i64) -> io::Result<Option<Unforced>> {
        if self.forced_up_to >= next_offset || self.deleted {
            return Ok(None);
        }
        let segments = self.segments.iter().rev();
        let behind: Vec<_> = segments
            .take_while(|segment| segment.next_offset > self.forced_up_to)
            .collect();
        // A segment that begins before has been forced once, and its name with it.
        let has_new = behind
            .iter()
            .any(|segment| segment.base_offset >= self.forced_up_to);
        let files = behind.iter().map(|segment| segment.file());
        Ok(Some(Unforced {
            up_to: self.next_offset,
            files: files.collect::<io::Result<_>>()?,
            dir: has_new.then(|| self.dir.clone()),
        }))
    }

    /// Notes that `unforced` has been forced, or that it could not be.
    ///
    /// After a failure the operating system may have dropped the bytes, and will call the same file
    /// sound when asked again. What was not on disk by then is therefore never called so: the broker
    /// must be started again, which reads what is there.
    pub(crate) fn note_forced(
        &mut self,
        unforced: &Unforced,
        done: io::Result<()>,
    ) -> io::Result<()> {
        self.force_failed |= done.is_err();
        done?;
        if self.force_failed {
            return Err(io::Error::other(format!(
                "an earlier write of {} to disk failed: see to the disk, then restart the broker",
                self.dir.display()
            )));
        }
        self.forced_up_to = self.forced_up_to.max(unforced.up_to);
        Ok(())
    }
}

/// Returns once all records before `next_offset` are on disk.
///
/// One caller forces at a time, and for all that has been appended by then: those that waited for it
/// mostly find their records on disk.
pub(crate) fn force(log: &Mutex<Log>, next_offset: i64) -> io::Result<()> {
    let forcing = Arc::clone(&log.lock().forcing);
    let _turn = forcing.lock();
    let unforced = log.lock().unforced(next_offset)?;
    let Some(unforced) = unforced else {
        return Ok(());
    };
    let done = unforced.force();
    log.lock().note_forced(&unforced, done)
}

/// Returns once all that the log holds now is on disk.
pub(crate) fn force_all(log: &Mutex<Log>) -> io::Result<()> {
    let next_offset = log.lock().next_offset;
    force(log, next_offset)
}

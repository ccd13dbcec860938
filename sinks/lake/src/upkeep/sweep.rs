//! Deletes objects that neither the live state nor a running query can need.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tidegauge_tables::Table;

use super::{Upkeep, UpkeepError, UpkeepReport};
use crate::sweep::orphans;

impl Upkeep {
    /// Lists all tables, if it is time to, and deletes what no commit names.
    pub(super) async fn sweep(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        let now = self.clock.now_ms();
        let Some(put_before) = self.put_before(now) else {
            return Ok(());
        };
        for table in Table::ALL {
            let folder = Path::from(table.name());
            let listing: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
            // The state after the listing: what was live while it was taken, and what came since.
            let state = self.committer.state();
            let removed_before = now.saturating_sub(self.settings.grace_ms);
            for path in orphans(&state, table, &listing, put_before, removed_before) {
                match self.store.delete(&path).await {
                    Ok(()) => report.objects_deleted += 1,
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.memory.lock().swept_at = Some(now);
        Ok(())
    }

    /// Before when an object must have been put for no commit still to name it; none if it is not
    /// time for a sweep.
    ///
    /// A store that answers late can hold the stream's commit back for longer than any grace, with
    /// its files put before, and those of the one after it too. So the grace counts from when the stream
    /// was first seen at the commit before its last.
    fn put_before(&self, now: i64) -> Option<i64> {
        let memory = self.memory.lock();
        let due = is_due(memory.swept_at, self.settings.sweep_every_ms, now);
        let [last, before] = memory.epochs;
        let moved_at = before.or(last).map_or(now, |(_, at)| at);
        due.then(|| {
            moved_at
                .min(now)
                .saturating_sub(self.settings.orphan_grace_ms)
        })
    }
}

/// Whether a sweep is due at `now`. The wall clock may have been set back since the last.
fn is_due(swept_at: Option<i64>, every_ms: i64, now: i64) -> bool {
    swept_at.is_none_or(|at| at > now || at.saturating_add(every_ms) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_due_after_its_time_or_once_the_clock_is_set_back() {
        let check = |swept_at, now| is_due(swept_at, 600, now);
        assert!(check(None, 0));
        assert!(!check(Some(1_000), 1_000));
        assert!(!check(Some(1_000), 1_599));
        assert!(check(Some(1_000), 1_600));
        assert!(check(Some(1_000), 999), "set back");
    }
}

//! Upkeep: repairs dirty windows, compacts, removes what has expired, and deletes what no commit
//! names any more.
//!
//! It is one task, so its jobs are serial: what one has read, no other has removed. The stream only
//! ever adds files meanwhile. Each job ends in one commit through the same [`Committer`] as the
//! stream's, so readers see all of it or nothing, and a crash leaves objects that the sweep finds.
//! Encoding costs processor time between awaits: run it on a thread of its own, so that ingest never
//! waits for it.

mod compact;
mod expire;
mod lane;
mod merged;
mod patch;
mod plan;
mod rejects;
mod repair;
mod retention;
mod settings;
mod sweep;
mod trim;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::Mutex;
use thiserror::Error;
use tidegauge_tables::{CommitKind, FileChanges, LakeState, Table};
use uuid::Uuid;

use crate::clock::Clock;
use crate::commit::{CommitError, Committer, Draft};
use crate::encode::{EncodeError, EncodeSettings};
use crate::read::ReadError;
use retention::Retention;
pub use retention::{RetentionRule, RetentionSettings};
pub use settings::UpkeepSettings;

/// Why a pass of upkeep broke off. What it committed before stays; the next pass goes on.
#[derive(Debug, Error)]
pub enum UpkeepError {
    /// A commit did not take place.
    #[error("upkeep could not commit")]
    Commit(#[from] CommitError),
    /// Files could not be read.
    #[error("upkeep could not read what it works on")]
    Read(#[from] ReadError),
    /// A file could not be made.
    #[error("upkeep could not encode a file")]
    Encode(#[from] EncodeError),
    /// A rule of the retention names no regular expression.
    #[error("a rule of upkeep.retention has a bad metric pattern")]
    Pattern(#[from] regex::Error),
    /// The store refused a put, a listing or a delete.
    #[error("upkeep was refused by the store")]
    Store(#[from] object_store::Error),
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpkeepReport {
    /// Dirty minutes repaired.
    pub minutes_repaired: u64,
    /// Rollup rows written by repairs, in all tiers.
    pub rows_repaired: u64,
    /// Merges of files.
    pub merges: u64,
    /// Files that merges took in.
    pub files_merged: u64,
    /// Files that merges wrote.
    pub files_written: u64,
    /// Files removed because all their rows have expired.
    pub files_expired: u64,
    /// Files written anew without the rows of metrics that have expired before others.
    pub files_trimmed: u64,
    /// Objects deleted.
    pub objects_deleted: u64,
}

impl AddAssign for UpkeepReport {
    fn add_assign(&mut self, pass: Self) {
        self.minutes_repaired += pass.minutes_repaired;
        self.rows_repaired += pass.rows_repaired;
        self.merges += pass.merges;
        self.files_merged += pass.files_merged;
        self.files_written += pass.files_written;
        self.files_expired += pass.files_expired;
        self.files_trimmed += pass.files_trimmed;
        self.objects_deleted += pass.objects_deleted;
    }
}

/// What all passes of this process did, also those that broke off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpkeepTotals {
    /// Passes begun.
    pub passes: u64,
    /// Commits.
    pub commits: u64,
    /// How long they took together, milliseconds of the wall clock.
    pub took_ms: i64,
    /// What they did.
    pub done: UpkeepReport,
}

/// The one task that keeps a lake in shape.
#[derive(Debug)]
pub struct Upkeep {
    committer: Committer,
    store: Arc<dyn ObjectStore>,
    settings: UpkeepSettings,
    retention: Retention,
    encode: EncodeSettings,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    totals: Mutex<UpkeepTotals>,
}

/// What a pass remembers for later ones. Losing it costs a delay, nothing else.
#[derive(Debug, Default)]
struct Memory {
    /// The lake's version at the start of past passes, with the wall clock: how old a file is.
    passes: VecDeque<(u64, i64)>,
    /// The stream's last epoch, when it was first seen, and the same of the one before.
    epochs: [Option<(u64, i64)>; 2],
    /// When objects were last listed.
    swept_at: Option<i64>,
    /// Days in which nothing was left to trim.
    trimmed: trim::Looked,
}

impl Upkeep {
    /// Upkeep of the lake that `committer` writes, over the same `store`.
    ///
    /// # Errors
    /// [`UpkeepError::Pattern`].
    pub fn new(
        committer: Committer,
        store: Arc<dyn ObjectStore>,
        settings: UpkeepSettings,
        encode: EncodeSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpkeepError> {
        Ok(Self {
            committer,
            store,
            retention: Retention::new(settings.retention.clone())?,
            settings,
            encode,
            clock,
            memory: Mutex::default(),
            totals: Mutex::default(),
        })
    }

    /// Runs passes for ever, the interval apart. An error is logged and the pass tried again, but
    /// for a newer writer's: then nothing that this one does can count.
    ///
    /// # Errors
    /// [`CommitError::Fenced`].
    pub async fn run(&self) -> Result<(), UpkeepError> {
        let interval = Duration::from_millis(self.settings.interval_ms);
        loop {
            if self.settings.enabled {
                match self.run_once().await {
                    Ok(report) if report == UpkeepReport::default() => {}
                    Ok(report) => tracing::info!(?report, "upkeep"),
                    Err(UpkeepError::Commit(error @ CommitError::Fenced { .. })) => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "upkeep broke off"
                        );
                    }
                }
            }
            self.clock.sleep(interval).await;
        }
    }

    /// One pass: repairs, then expiry, then compaction, then trimming, then the sweep. Repairs come first, as they
    /// need raw samples that expiry would take, and expiry leaves what is not yet repaired.
    ///
    /// # Errors
    /// See [`UpkeepError`]: the first, once all parts have been tried; those after it are logged. A newer
    /// writer's comes at once. What was committed stays.
    pub async fn run_once(&self) -> Result<UpkeepReport, UpkeepError> {
        let began = self.clock.now_ms();
        let mut report = UpkeepReport::default();
        let outcome = self.pass(&mut report).await;
        let mut totals = self.totals.lock();
        totals.passes += 1;
        totals.took_ms += self.clock.now_ms() - began;
        totals.done += report;
        outcome.map(|()| report)
    }

    /// What this process has done so far.
    #[must_use]
    pub fn totals(&self) -> UpkeepTotals {
        *self.totals.lock()
    }

    async fn pass(&self, report: &mut UpkeepReport) -> Result<(), UpkeepError> {
        self.remember();
        // A file that can't be read stops what needs it and nothing else.
        let mut outcome = go_on(Ok(()), self.repair(report).await)?;
        outcome = go_on(outcome, self.expire(report).await)?;
        outcome = go_on(outcome, self.compact(report).await)?;
        outcome = go_on(outcome, self.trim(report).await)?;
        go_on(outcome, self.sweep(report).await)?
    }

    fn remember(&self) {
        let (state, now) = (self.committer.state(), self.clock.now_ms());
        let quiet_since = now.saturating_sub(self.settings.compact_after_ms);
        let mut memory = self.memory.lock();
        if memory.epochs[0].is_none_or(|(epoch, _)| epoch != state.epoch) {
            memory.epochs = [Some((state.epoch, now)), memory.epochs[0]];
        }
        let passes = &mut memory.passes;
        // The wall clock may have been set back.
        passes.retain(|(_, at)| *at <= now);
        passes.push_back((state.version.unwrap_or(0), now));
        // The newest that is old enough is kept, and all that are not.
        while passes.get(1).is_some_and(|(_, at)| *at <= quiet_since) {
            passes.pop_front();
        }
    }

    /// Files of this version and before have not just come; none is known to be so yet.
    fn quiet_version(&self) -> Option<u64> {
        let quiet_since = self
            .clock
            .now_ms()
            .saturating_sub(self.settings.compact_after_ms);
        let memory = self.memory.lock();
        let oldest = memory.passes.front();
        oldest.and_then(|(version, at)| (*at <= quiet_since).then_some(*version))
    }

    fn id(&self) -> Uuid {
        self.committer.nonce()
    }

    /// Commits what was computed from `state`.
    async fn commit(
        &self,
        state: &LakeState,
        repaired: Vec<(i64, i64)>,
        files: BTreeMap<Table, FileChanges>,
    ) -> Result<(), UpkeepError> {
        let as_of = state.version.expect("a claimed lake has a version");
        let kind = CommitKind::Upkeep { as_of, repaired };
        self.committer.commit(Draft { kind, files }).await?;
        self.totals.lock().commits += 1;
        Ok(())
    }
}

/// Both outcomes of one job as one: the first error there was, for the caller to tell of. One after it is
/// logged, else a file that is lost for good would hide it. A newer writer's is the end of the job.
fn go_on(
    before: Result<(), UpkeepError>,
    next: Result<(), UpkeepError>,
) -> Result<Result<(), UpkeepError>, UpkeepError> {
    match (before, next) {
        (_, Err(UpkeepError::Commit(error @ CommitError::Fenced { .. }))) => Err(error.into()),
        (Err(first), Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "upkeep broke off");
            Ok(Err(first))
        }
        (before, next) => Ok(before.and(next)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::Error;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts what is logged.
    #[derive(Default)]
    struct Logged(Arc<AtomicUsize>);

    impl Subscriber for Logged {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn the_first_error_is_returned_and_each_after_it_logged() {
        let failed = |store| {
            Err(UpkeepError::Store(Error::Generic {
                store,
                source: "refused".into(),
            }))
        };
        let logged = Logged::default();
        let count = Arc::clone(&logged.0);
        tracing::subscriber::with_default(logged, || {
            let mut outcome = Ok(());
            let jobs = [Ok(()), failed("first"), Ok(()), failed("second"), Ok(())];
            for (next, so_far) in jobs.into_iter().zip([0, 0, 0, 1, 1]) {
                outcome = go_on(outcome, next).expect("no newer writer");
                assert_eq!(count.load(Ordering::Relaxed), so_far);
            }
            let first = outcome.expect_err("two have failed");
            assert!(matches!(
                first,
                UpkeepError::Store(Error::Generic { store: "first", .. })
            ));
        });
    }
}

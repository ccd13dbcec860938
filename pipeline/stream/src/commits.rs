//! Commits: whole drafts of the dataflow become entries of the lake's log, in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tidegauge_dataflow::Draft;
use tidegauge_lake::{CommitError, Committer};
use tidegauge_model::{PartitionCut, RecordMark};
use tidegauge_tables::{CommitKind, FileChanges, LakeState, Table, spans};
use tokio::runtime::Handle;

use crate::sink::Written;
use crate::status::{LastCommit, Tally};

/// How long to wait before asking again what became of a commit.
const UNSETTLED_WAIT: Duration = Duration::from_secs(1);

/// Commits drafts until the dataflow ends.
pub(crate) struct Commits {
    pub(crate) committer: Committer,
    pub(crate) runtime: Handle,
    pub(crate) drafts: Receiver<Draft<Written>>,
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) tally: Arc<Mutex<Tally>>,
}

impl Commits {
    pub(crate) fn run(self) -> Result<(), CommitError> {
        for draft in &self.drafts {
            let epoch = draft.epoch;
            if let Some((draft, samples)) = wanted(draft, &self.committer.state()) {
                let added = draft.files.values().flat_map(|changes| &changes.add);
                let bytes = added.map(|file| file.bytes).sum();
                let began = Instant::now();
                let state = self.runtime.block_on(self.commit(draft))?;
                let took = began.elapsed();
                tracing::info!(version = state.version, samples, ?took, "committed");
                let commit = LastCommit {
                    version: state.version,
                    at: state.committed_at,
                    samples,
                    took,
                };
                self.tally
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(commit, bytes);
            }
            self.committed.store(epoch, Ordering::Release);
        }
        Ok(())
    }

    /// The committer finds out what became of an unsettled commit with the next call, so the same
    /// draft must not be given again before its state is looked at.
    async fn commit(&self, draft: tidegauge_lake::Draft) -> Result<Arc<LakeState>, CommitError> {
        let CommitKind::Stream { epoch, .. } = draft.kind else {
            unreachable!("the stream commits nothing else")
        };
        loop {
            match self.committer.commit(draft.clone()).await {
                Err(CommitError::Unsettled { version, source }) => {
                    tracing::warn!(version, %source, "commit not settled; the log is asked again");
                    tokio::time::sleep(UNSETTLED_WAIT).await;
                }
                Err(CommitError::Refused(_)) if self.committer.state().epoch == epoch => {
                    return Ok(self.committer.state());
                }
                other => return other,
            }
        }
    }
}

/// The mark that stays where a chunk brought no record: that of its partition's last one, unless the partition
/// has begun anew since.
fn kept_mark(cut: &PartitionCut, state: &LakeState) -> Option<RecordMark> {
    let (_, mark) = state.cuts.get(&cut.partition)?;
    mark.filter(|mark| mark.offset < cut.next.0)
}

/// What is to be committed, and how many samples; none if nothing has changed.
fn wanted(draft: Draft<Written>, state: &LakeState) -> Option<(tidegauge_lake::Draft, u64)> {
    let mut files: BTreeMap<Table, FileChanges> = BTreeMap::new();
    for (table, added) in draft.receipts.into_iter().flat_map(|written| written.files) {
        files.entry(table).or_default().add.extend(added);
    }
    let moved = |cut: &PartitionCut| {
        let known = state.cuts.get(&cut.partition);
        let mark = cut.mark.or(kept_mark(cut, state));
        known.is_none_or(|known| *known != (cut.next, mark))
    };
    let mut cuts: Vec<PartitionCut> = draft.cuts.into_iter().filter(moved).collect();
    if files.is_empty() && cuts.is_empty() && draft.dirty.is_empty() {
        return None;
    }
    for cut in &mut cuts {
        cut.mark = cut.mark.or(kept_mark(cut, state));
    }
    let samples = draft.counts.samples;
    let kind = CommitKind::Stream {
        epoch: draft.epoch,
        watermark: draft.watermark,
        cutoff: draft.cutoff,
        cuts,
        dirty: spans(draft.dirty.iter().copied()),
        counts: draft.counts,
    };
    Some((tidegauge_lake::Draft { kind, files }, samples))
}

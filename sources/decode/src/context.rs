//! What every decoder works with: the record, what is known of its tenant, and where results go.

use std::sync::Arc;

use tidegauge_model::{
    Metadata, Partition, REJECT_BYTES, Reject, RejectReason, SeriesError, normal,
};

use crate::intern::{Interner, Keys, Rules};
use crate::record::{Decoded, Record};
use crate::relabel::Labels;
use crate::table::{DROPPED, Target};

/// Faulty items of one record beyond this many share one reject, so that a record of bad items
/// can't grow a thousandfold.
const REJECTS_PER_RECORD: usize = 1000;

/// Bytes that are not of the format, from which there is no going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    /// Offset into the decompressed record.
    pub(crate) at: usize,
}

/// Why an item is refused: for counts, and in words.
pub(crate) type Refused = (RejectReason, String);

/// How far results had come, to go back there if what follows turns out broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    samples: usize,
    rejects: usize,
    skipped: crate::Skipped,
    rejected: usize,
}

/// One record being decoded.
pub(crate) struct Context<'a> {
    pub(crate) record: &'a Record<'a>,
    pub(crate) partition: &'a Partition,
    pub(crate) interner: &'a mut Interner,
    pub(crate) rules: Rules<'a>,
    pub(crate) next_local: &'a mut u32,
    pub(crate) tick: u32,
    pub(crate) out: &'a mut Decoded,
    /// Rejects of this record so far, folded ones too.
    pub(crate) rejected: usize,
}

impl Context<'_> {
    /// Adds a sample; its time must have passed [`crate::time::valid_time`].
    #[inline]
    pub(crate) fn push(&mut self, target: Target, time: i64, value: f64) {
        if target.local == DROPPED {
            self.out.skipped.relabel_drops += 1;
        } else {
            self.out.samples.push(target.local, time, normal(value));
        }
    }

    /// Gives a key that is not in its table yet its series.
    pub(crate) fn learn(
        &mut self,
        keys: Keys,
        key: &[u8],
        labels: Labels<'_>,
        metadata: Option<Metadata>,
        delta: bool,
    ) -> Result<Target, SeriesError> {
        let definitions = &mut self.out.definitions;
        let target = self.interner.intern(
            labels,
            metadata,
            delta,
            &self.rules,
            self.next_local,
            definitions,
        )?;
        self.interner.table(keys).insert(key, target, self.tick);
        Ok(target)
    }

    pub(crate) fn reject(&mut self, item: Option<usize>, reason: RejectReason, detail: String) {
        self.reject_with(item, reason, || detail);
    }

    /// Words are asked for only where the reject gets a row of its own.
    pub(crate) fn reject_with(
        &mut self,
        item: Option<usize>,
        reason: RejectReason,
        detail: impl FnOnce() -> String,
    ) {
        self.rejected += 1;
        if self.rejected > REJECTS_PER_RECORD {
            self.out.skipped.folded_rejects += 1;
            return;
        }
        let record = self.record;
        self.out.rejects.push(Reject {
            tenant: Arc::clone(&self.interner.tenant),
            partition: self.partition.clone(),
            offset: record.offset,
            time: record.own_time(),
            reason,
            detail: detail(),
            bytes: record.value[..record.value.len().min(REJECT_BYTES)].to_vec(),
        });
        self.out.reject_items.push(item);
    }

    /// Says in one reject how many had none of their own. Comes last for each record.
    pub(crate) fn close(&mut self) {
        let folded = self.rejected.saturating_sub(REJECTS_PER_RECORD);
        if folded > 0 {
            let counted = self.out.skipped.folded_rejects;
            self.rejected = 0;
            let detail = format!("{folded} more faulty items in this record");
            self.reject(None, RejectReason::Malformed, detail);
            self.out.skipped.folded_rejects = counted;
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            samples: self.out.samples.len(),
            rejects: self.out.rejects.len(),
            skipped: self.out.skipped,
            rejected: self.rejected,
        }
    }

    /// Takes back what came since. Definitions stay: their numbers are given out.
    pub(crate) fn rollback(&mut self, mark: Mark) {
        self.truncate_samples(mark.samples);
        self.out.rejects.truncate(mark.rejects);
        self.out.reject_items.truncate(mark.rejects);
        self.out.skipped = mark.skipped;
        self.rejected = mark.rejected;
    }

    pub(crate) fn truncate_samples(&mut self, len: usize) {
        let samples = &mut self.out.samples;
        samples.series.truncate(len);
        samples.time.truncate(len);
        samples.value.truncate(len);
    }

    /// Takes back what came since and rejects it as one.
    pub(crate) fn malformed(&mut self, mark: Mark, item: Option<usize>, fault: Fault) {
        self.rollback(mark);
        let Fault { what, at } = fault;
        self.reject(
            item,
            RejectReason::Malformed,
            format!("{what} at byte {at}"),
        );
    }
}

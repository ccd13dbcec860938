//! `assemble`: worker 0 joins the shares of a seal and the cuts of its epochs into one commit.

use std::collections::BTreeMap;

use crossbeam_channel::Sender;
use tidegauge_model::{Counts, Partition, PartitionCut};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::outlet::{Draft, Receipt, Share};
use crate::report::Report;

/// Sends each commit to the committer once every worker's share of it is there.
pub(crate) fn assemble<'scope, R: Receipt>(
    shares: StreamVec<'scope, u64, Share<R>>,
    reports: StreamVec<'scope, u64, Report>,
    drafts: Option<Sender<Draft<R>>>,
) {
    let scope = shares.scope();
    let mut assembly = Assembly::new(scope.peers());
    let mut builder = OperatorBuilder::new("assemble".to_owned(), scope);
    let mut shares = builder.new_input(shares, Exchange::new(|_: &Share<R>| 0));
    let mut reports = builder.new_input(reports, Exchange::new(|_: &Report| 0));
    builder.build(move |_| {
        move |frontiers| {
            reports.for_each(|_, reports| reports.drain(..).for_each(|it| assembly.report(it)));
            shares.for_each(|_, shares| shares.drain(..).for_each(|it| assembly.share(it)));
            let Some(drafts) = &drafts else { return };
            while let Some(draft) = assembly.next(|epoch| !frontiers[1].less_than(&epoch)) {
                // A committer that has ended, as one that is fenced does, has said why itself.
                let _ = drafts.send(draft);
            }
        }
    });
}

/// Shares and reports by epoch, until a commit is whole.
struct Assembly<R> {
    peers: usize,
    shares: BTreeMap<u64, Vec<Share<R>>>,
    reports: BTreeMap<u64, Vec<Report>>,
}

impl<R> Assembly<R> {
    const fn new(peers: usize) -> Self {
        Self {
            peers,
            shares: BTreeMap::new(),
            reports: BTreeMap::new(),
        }
    }

    fn share(&mut self, share: Share<R>) {
        self.shares.entry(share.open.epoch).or_default().push(share);
    }

    fn report(&mut self, report: Report) {
        self.reports.entry(report.epoch).or_default().push(report);
    }

    /// The next commit in order, if all of it is there. `reported` says whether every report of
    /// epochs before its argument has come.
    fn next(&mut self, reported: impl Fn(u64) -> bool) -> Option<Draft<R>> {
        let first = self.shares.first_entry()?;
        let epoch = *first.key();
        // The oldest seal is whole first: each worker writes its seals' shares in any order, but
        // has begun them all in order, so one with fewer shares is still awaited.
        if first.get().len() < self.peers || !reported(epoch) {
            return None;
        }
        let shares = first.remove();
        let later = self.reports.split_off(&epoch);
        let reports = std::mem::replace(&mut self.reports, later)
            .into_values()
            .flatten();
        let open = shares[0].open;
        let mut draft = Draft {
            epoch,
            watermark: open.watermark,
            cutoff: open.reach,
            cuts: Vec::new(),
            dirty: Vec::new(),
            counts: Counts::default(),
            receipts: Vec::with_capacity(shares.len()),
        };
        let mut cuts: BTreeMap<Partition, PartitionCut> = BTreeMap::new();
        for report in reports {
            draft.counts += report.counts;
            for cut in report.cuts {
                let mark = cuts.get(&cut.partition).and_then(|before| before.mark);
                // A partition that has begun anew since has none of the old one's records.
                let mark = mark.filter(|mark| mark.offset < cut.next.0);
                let cut = PartitionCut {
                    mark: cut.mark.or(mark),
                    ..cut
                };
                cuts.insert(cut.partition.clone(), cut);
            }
        }
        draft.cuts = cuts.into_values().collect();
        for share in shares {
            draft.counts += share.note.counts;
            draft.dirty.extend(share.note.dirty);
            draft.receipts.push(share.receipt);
        }
        draft.dirty.sort_unstable();
        draft.dirty.dedup();
        Some(draft)
    }
}

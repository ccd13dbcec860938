//! `windows`: hands batches to [`Windows`] epoch by epoch, and seals when an opening says so and
//! everything before it has arrived.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::batch::Batch;
use crate::open::Open;
use crate::outlet::{Outlet, Receipt, Share};
use crate::stats::{Board, by_worker};
use crate::windows::{SealNote, Windows};

/// Folds batches into windows and hands each seal to the outlet; what the sink returns for it goes
/// on as a share of the commit.
pub(crate) fn windows<'scope, R: Receipt>(
    batches: StreamVec<'scope, u64, Batch>,
    opens: StreamVec<'scope, u64, Open>,
    mut windows: Windows,
    outlet: Outlet<R>,
    board: Board,
) -> StreamVec<'scope, u64, Share<R>> {
    let scope = batches.scope();
    let worker = scope.index();
    let mut builder = OperatorBuilder::new("windows".to_owned(), scope);
    outlet.bell.hang(
        scope
            .worker()
            .sync_activator_for(builder.operator_info().address.to_vec()),
    );
    let mut batches = builder.new_input(batches, Exchange::new(|batch: &Batch| batch.target));
    let mut opens = builder.new_input(opens, Pipeline);
    let (shares, stream) = builder.new_output::<Vec<Share<R>>>();
    let mut shares = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(shares);
    builder.build(move |_| {
        let mut waiting: BTreeMap<u64, Vec<Batch>> = BTreeMap::new();
        let mut begun = BTreeMap::new();
        let mut sealed: BTreeMap<u64, (_, SealNote, Open)> = BTreeMap::new();
        move |frontiers| {
            batches.for_each(|capability, batches| {
                let epoch = *capability.least().expect("batches have a time");
                waiting.entry(epoch).or_default().append(batches);
            });
            opens.for_each(|capability, opens| {
                for open in opens.drain(..) {
                    let held = capability.retain_least(0).expect("openings have a time");
                    begun.insert(open.epoch, (open, held));
                }
            });
            // Openings are acted on in order; one that seals waits for all before it.
            while let Some(first) = begun.first_entry() {
                let (epoch, seals) = (*first.key(), first.get().0.seal);
                if seals {
                    if frontiers[0].less_than(&epoch) {
                        break;
                    }
                    absorb(&mut windows, &mut waiting, epoch);
                    let (open, held) = first.remove();
                    let (rows, note) = windows.seal(open.watermark);
                    board.write(|stats| {
                        stats.duplicate += note.counts.duplicate;
                        stats.rejected += note.counts.rejected;
                        by_worker(&mut stats.open_samples, worker, note.open_samples);
                        by_worker(&mut stats.series, worker, note.series);
                    });
                    // A sink that has ended has said why itself; nothing is committed any more.
                    let _ = outlet.seals.send((epoch, rows));
                    sealed.insert(epoch, (held, note, open));
                } else {
                    absorb(&mut windows, &mut waiting, epoch);
                    first.remove();
                }
                absorb_open(&mut windows, &mut waiting, epoch);
            }
            let mut output = shares.activate();
            for (epoch, receipt) in outlet.receipts.try_iter() {
                let (held, note, open) = sealed.remove(&epoch).expect("a receipt for a seal");
                output.session(&held).give(Share {
                    open,
                    note,
                    receipt,
                });
            }
        }
    });
    stream
}

/// Takes what came in epochs before `epoch`.
fn absorb(windows: &mut Windows, waiting: &mut BTreeMap<u64, Vec<Batch>>, epoch: u64) {
    let later = waiting.split_off(&epoch);
    for batch in std::mem::replace(waiting, later).into_values().flatten() {
        windows.absorb(batch);
    }
}

/// Takes what came in `epoch` itself, which no seal awaits any more.
fn absorb_open(windows: &mut Windows, waiting: &mut BTreeMap<u64, Vec<Batch>>, epoch: u64) {
    for batch in waiting.remove(&epoch).into_iter().flatten() {
        windows.absorb(batch);
    }
}

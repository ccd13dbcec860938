//! `sources`: cuts the chunks of this worker's partitions into epochs.
//!
//! Whatever has come when the next epoch opens belongs to the epoch that ends; no barrier, no
//! agreement between workers. The cut is in the report, and so in the commit.

use std::rc::Rc;

use crossbeam_channel::Receiver;
use tidegauge_model::SourceEvent;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

use crate::batch::Batch;
use crate::intake::Intake;
use crate::open::Open;
use crate::report::Report;
use crate::wake::Bell;

/// How many chunks one turn takes before other operators have theirs.
const CHUNKS_A_TURN: usize = 16;

/// Cuts events into batches of the open epoch, and reports when it ends.
pub(crate) fn sources<'scope>(
    scope: Scope<'scope, u64>,
    opens: StreamVec<'scope, u64, Open>,
    events: Receiver<SourceEvent>,
    bell: &Bell,
    mut intake: Intake,
) -> (
    StreamVec<'scope, u64, Batch>,
    StreamVec<'scope, u64, Report>,
) {
    let mut builder = OperatorBuilder::new("sources".to_owned(), scope);
    let info = builder.operator_info();
    let activator = scope.worker().activator_for(Rc::clone(&info.address));
    bell.hang(scope.worker().sync_activator_for(info.address.to_vec()));
    // No output follows from the input: the loop through the minter must not be a progress cycle.
    let mut opens = builder.new_input_connection(opens, Pipeline, []);
    let (batches, batch_stream) = builder.new_output_connection::<Vec<Batch>, _>([]);
    let (reports, report_stream) = builder.new_output_connection::<Vec<Report>, _>([]);
    let mut batches = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(batches);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(reports);
    builder.build(move |capabilities| {
        let mut capabilities = Some(capabilities);
        move |_| {
            let mut begun = Vec::new();
            opens.for_each(|_, opens| begun.append(opens));
            let Some(held) = &mut capabilities else {
                return;
            };
            for open in begun {
                let report = intake.begin(open);
                reports.activate().session(&held[1]).give(report);
                if open.stop {
                    capabilities = None;
                    return;
                }
                for capability in held.iter_mut() {
                    capability.downgrade(&open.epoch);
                }
            }
            if !intake.is_open() {
                return;
            }
            let mut output = batches.activate();
            let mut session = output.session(&held[0]);
            for taken in 0.. {
                if taken == CHUNKS_A_TURN {
                    activator.activate();
                    break;
                }
                // A full intake is woken by the next opening, which tells what is committed.
                let Some(event) = intake.has_room().then(|| events.try_recv().ok()).flatten()
                else {
                    break;
                };
                intake.take(event, |batch| session.give(batch));
            }
        }
    });
    (batch_stream, report_stream)
}

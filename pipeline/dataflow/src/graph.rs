//! The graph, as one reads the way of the data.

use crossbeam_channel::{Receiver, Sender};
use tidegauge_model::{SourceControl, SourceEvent};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{ConnectLoop, Feedback};
use timely::worker::Worker;

use crate::intake::{Bounds, Intake};
use crate::operators::assemble::assemble;
use crate::operators::mint::{Mint, MintEnds, mint};
use crate::operators::sources::sources;
use crate::operators::windows::windows;
use crate::outlet::{Draft, Outlet, Receipt};
use crate::recovered::Recovered;
use crate::settings::Settings;
use crate::stats::Board;
use crate::wake::Bell;
use crate::windows::Windows;

/// Everything one worker stands between.
pub(crate) struct Ends<R> {
    pub(crate) events: Receiver<SourceEvent>,
    pub(crate) events_bell: Bell,
    pub(crate) controls: Sender<SourceControl>,
    pub(crate) recovered: Recovered,
    pub(crate) outlet: Outlet<R>,
    /// On worker 0 only.
    pub(crate) mint: Option<MintEnds>,
    /// On worker 0 only.
    pub(crate) drafts: Option<Sender<Draft<R>>>,
    pub(crate) board: Board,
}

/// Builds the dataflow in one worker.
pub(crate) fn build<R: Receipt>(worker: &mut Worker, settings: &Settings, ends: Ends<R>) {
    let (index, peers) = (worker.index(), worker.peers());
    let Ends {
        events,
        events_bell,
        controls,
        recovered,
        outlet,
        mint: mint_ends,
        drafts,
        board,
    } = ends;
    let bounds = Bounds {
        in_flight: settings.in_flight_bytes,
        open_windows: settings.open_window_bytes,
    };
    let intake = Intake::new(index, peers, bounds, controls, board.clone());
    let first = Mint::new(
        settings.clone(),
        peers,
        recovered.epoch,
        recovered.watermark,
    );
    let state = Windows::new(settings, recovered);
    worker.dataflow::<u64, _, _>(|scope| {
        let (handle, opens) = scope.feedback(1);
        let (batches, reports) = sources(scope, opens.clone(), events, &events_bell, intake);
        let shares = windows(batches, opens, state, outlet, board);
        assemble(shares, reports.clone(), drafts);
        mint(reports, first, mint_ends)
            .broadcast()
            .connect_loop(handle);
    });
}

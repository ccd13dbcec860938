//! The ticker: the wall clock of the dataflow.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tidegauge_dataflow::{Bell, Tick};
use tidegauge_lake::Clock;

/// What the ticker is told besides passing time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Commit now.
    Seal,
    /// Commit and end.
    Stop,
}

/// Ticks each epoch until it is told to stop.
pub(crate) fn run(
    every: Duration,
    clock: &Arc<dyn Clock>,
    asks: &Receiver<Ask>,
    ticks: &Sender<Tick>,
    bell: &Bell,
) {
    loop {
        let (seal, stop) = match asks.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => (false, false),
            Ok(Ask::Seal) => (true, false),
            Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => (true, true),
        };
        let sent = ticks.send(Tick {
            now: clock.now_ms(),
            seal,
            stop,
        });
        bell.ring();
        if stop || sent.is_err() {
            return;
        }
    }
}

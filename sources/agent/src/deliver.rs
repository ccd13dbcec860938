//! The thread that empties the spool.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::counters::add;
use crate::outlet::{Outcome, Outlet};
use crate::shared::Shared;
use crate::spool::Entry;

/// How much is under way at once.
const ENTRIES_MOST: usize = 64;
const BYTES_MOST: usize = 1 << 20;

/// The longest wait that the other side may ask for: a proxy that is down for maintenance says hours,
/// and by then the buffer has lost what could have been delivered.
const ASKED_WAIT_MOST: Duration = Duration::from_secs(300);

/// Delivers what is in the spool until told to stop; then what it still can within the time given.
pub(crate) async fn run(shared: Arc<Shared>, mut outlet: Outlet, mut rng: SmallRng) {
    let mut stop = shared.stop.subscribe();
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let entries = shared.spool().peek(ENTRIES_MOST, BYTES_MOST);
        if entries.is_empty() {
            if shared.scraper_is_done() {
                return;
            }
            shared.wake.notified().await;
            continue;
        }
        let outcome = tokio::select! {
            outcome = outlet.deliver(&entries) => outcome,
            () = out_of_time(stop.clone()) => return,
        };
        settle(&shared, &entries, &outcome);
        let Some(failure) = outcome.failure else {
            if failing {
                tracing::info!("delivering again");
            }
            failing = false;
            backoff.reset();
            continue;
        };
        add(&shared.counters.delivery_failures, 1);
        if !failing {
            tracing::warn!(reason = failure.reason, "can't deliver; buffering on disk");
        }
        failing = true;
        if stop.borrow().is_some() {
            return;
        }
        let wait = wait(backoff.fail(&mut rng), failure.retry_after);
        // Told to stop while waiting, one more attempt is made at once.
        let _ = tokio::time::timeout(wait, stop.wait_for(Option::is_some)).await;
    }
}

fn wait(own: Duration, asked: Option<Duration>) -> Duration {
    own.max(asked.unwrap_or_default().min(ASKED_WAIT_MOST))
}

fn settle(shared: &Shared, entries: &[Entry], outcome: &Outcome) {
    let settled = &entries[..outcome.settled];
    let Some(last) = settled.last() else { return };
    let samples: u64 = settled.iter().map(|entry| u64::from(entry.samples)).sum();
    add(
        &shared.counters.delivered_samples,
        samples - outcome.refused_samples.min(samples),
    );
    add(&shared.counters.refused_samples, outcome.refused_samples);
    shared.spool().acknowledge(last.seq + 1);
}

/// Returns when we were told to stop and the time for that has run out.
async fn out_of_time(mut stop: watch::Receiver<Option<Instant>>) {
    let until = stop
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|until| *until);
    if let Some(until) = until {
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_is_waited_for_as_it_asks_but_not_for_ever() {
        let own = Duration::from_secs(2);
        let second = Duration::from_secs(1);
        for (asked, waited) in [
            (None, own),
            (Some(second), own),
            (Some(60 * second), 60 * second),
            (Some(Duration::from_secs(u64::MAX)), ASKED_WAIT_MOST),
        ] {
            assert_eq!(wait(own, asked), waited, "{asked:?}");
        }
    }
}

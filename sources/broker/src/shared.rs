//! What connections and background tasks share, and the signal that ends them.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::coordinator::Coordinator;
use crate::identity::Identity;
use crate::settings::Settings;
use crate::topics::Topics;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) topics: Topics,
    pub(crate) coordinator: Coordinator,
}

/// Ends when the broker is told to stop, or is dropped.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

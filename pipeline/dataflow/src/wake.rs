//! Waking a worker from another thread.

use std::sync::{Arc, Mutex, PoisonError};

use timely::scheduling::SyncActivator;

/// A bell that stands outside the dataflow and, once the dataflow is built, wakes one operator.
/// Rung before that it does nothing: an operator's first run looks at everything anyway.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Mutex<Option<SyncActivator>>>);

impl Bell {
    /// Wakes the operator and its worker.
    pub fn ring(&self) {
        if let Some(activator) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It fails only once the worker is gone, and then there is nothing to wake.
            let _ = activator.activate();
        }
    }

    pub(crate) fn hang(&self, activator: SyncActivator) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(activator);
    }
}

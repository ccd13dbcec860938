//! The stream's threads: when one ends in an error or a panic, the stream has failed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::error::StreamError;

/// The first error of any thread.
pub(crate) type Report = Arc<watch::Sender<Option<Arc<StreamError>>>>;

/// Runs `body` in a thread of its own; the first error of any is why the stream has failed. A panic
/// is one too: the others would wait for that thread for ever, with nothing committed.
pub(crate) fn spawn(
    name: &'static str,
    report: &Report,
    body: impl FnOnce() -> Result<(), StreamError> + Send + 'static,
) -> Result<JoinHandle<()>, StreamError> {
    let report = Arc::clone(report);
    let thread = move || {
        // What the body held goes with it.
        let ended = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
            let message = message(&*panic);
            Err(StreamError::Panicked { name, message })
        });
        let Err(error) = ended else { return };
        tracing::error!(
            thread = name,
            error = &error as &dyn std::error::Error,
            "the stream stops"
        );
        let error = Arc::new(error);
        report.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(error);
            is_first
        });
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(thread)
        .map_err(|source| StreamError::Thread { name, source })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_of_the_stream() {
        let report: Report = Arc::new(watch::channel(None).0);
        let thread = spawn("sink", &report, || panic!("row {}", 7)).expect("a thread");
        thread.join().expect("the panic goes no further");
        let failure = report.borrow().clone().expect("a failure");
        assert!(
            matches!(&*failure, StreamError::Panicked { name: "sink", message } if message == "row 7"),
            "{failure}"
        );
    }
}

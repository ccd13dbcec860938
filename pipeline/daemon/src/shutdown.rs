//! How the program ends: the first Ctrl-C or SIGTERM asks, the second makes it so.
//!
//! A sudden end loses nothing: what is not committed is read again from Kafka. So asking may take
//! [`GRACE`] and no longer.

use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long an orderly end may take.
pub const GRACE: Duration = Duration::from_secs(5);

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Listens for signals on a thread of its own. The token is cancelled by the first.
///
/// # Errors
/// If signals can't be listened for.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let token = CancellationToken::new();
    let asked = token.clone();
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let listen = async move {
        next(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping: committing what was taken; once more to stop at once");
        asked.cancel();
        tokio::select! {
            () = next(&mut interrupt, &mut terminate) => {}
            () = tokio::time::sleep(GRACE) => {
                tracing::warn!(
                    after_s = GRACE.as_secs(),
                    "stopping without the last commit; what it lacks is read again from Kafka"
                );
            }
        }
        crate::status::clear();
        std::process::exit(INTERRUPTED);
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(listen))?;
    Ok(token)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

//! Runs the broker alone, for trying clients against it:
//! `cargo run -p tidegauge-broker -- DIR [ADDR] [SETTINGS-JSON]`.
//!
//! The tests run this program too, and kill it.

use std::io::Read;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegauge_broker::{Broker, Settings};

// The program is the place where the clock is wired.
#[expect(clippy::disallowed_methods)]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("usage: tidegauge-broker DIR [ADDR] [SETTINGS-JSON]")?;
    let listen = args.next();
    let mut settings: Settings = match args.next() {
        Some(json) => serde_json::from_str(&json)?,
        None => Settings::default(),
    };
    settings.dir = dir.into();
    if let Some(listen) = listen {
        settings.listen = listen.parse()?;
    }
    let broker = Broker::start(settings, Arc::new(now_ms)).await?;
    println!("{}", broker.local_addr());
    // Ends when whoever started it closes its standard input.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    broker.shutdown().await;
    Ok(())
}

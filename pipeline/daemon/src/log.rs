//! Where our log goes: to standard error, one line an event, fields as `key=value`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets up logging for the life of the process. `RUST_LOG` goes above `filter`; colour is used on
/// a terminal only, unless `NO_COLOR` is set.
///
/// # Errors
/// If the filter can't be read, or logging has been set up before.
pub fn init(filter: &str) -> anyhow::Result<()> {
    let from_env = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let (name, text) = match &from_env {
        Some(text) => ("RUST_LOG", text.as_str()),
        None => ("log", filter),
    };
    let filter = EnvFilter::builder().parse(text).map_err(|error| {
        anyhow::anyhow!(
            "reading {name} {text:?}: {error}; give a level such as info, or target=level,…"
        )
    })?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_writer(crate::status::writer)
        .try_init()
        .map_err(|error| anyhow::anyhow!("setting up the log: {error}"))
}

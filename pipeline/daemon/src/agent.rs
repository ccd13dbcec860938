//! `tidegauge agent`: the host agent alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_agent::{Agent, AgentSettings};
use tidegauge_lake::{Clock, SystemClock};

use crate::config::Config;
use crate::shutdown;

/// Runs the agent until it is asked to stop. Its buffer lies apart from the one that `up` uses
/// unless it is set, since only one agent can use one.
///
/// # Errors
/// If the agent can't start.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let mut settings = config.agent.clone();
    if settings.buffer_dir == Config::default().agent.buffer_dir {
        settings.buffer_dir = AgentSettings::default().buffer_dir;
    }
    let end = shutdown::on_signals()?;
    let seed = SystemClock.now_ms().unsigned_abs() ^ u64::from(std::process::id());
    let (to, buffer) = (settings.to.clone(), settings.buffer_dir.clone());
    let agent = Agent::start(
        settings,
        Arc::new(|| SystemClock.now_ms()),
        SmallRng::seed_from_u64(seed),
    )
    .context("starting the host agent")?;
    tracing::info!(to = %crate::config::mask_url(&to), buffer = %Path::new(&buffer).display(), "the host agent runs");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(end.cancelled());
    let stats = agent.stop();
    tracing::info!(?stats, "the host agent has stopped");
    Ok(())
}

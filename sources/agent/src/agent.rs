//! The running agent: one thread looks at the machine, one delivers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::collect::{self, Collectors, Machine};
use crate::counters::{self, AgentStats, add};
use crate::deliver;
use crate::encode::{Body, encode};
use crate::error::AgentError;
use crate::outlet::Outlet;
use crate::scrape::Scrape;
use crate::settings::AgentSettings;
use crate::shared::Shared;
use crate::spool::Spool;

/// The wall clock in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How long stopping goes on delivering.
const FLUSH: Duration = Duration::from_millis(1500);

/// Fast and small; scrapes look alike, so more effort brings little.
const ZSTD_LEVEL: i32 = 1;

/// A running host agent. Dropping it stops it as [`Agent::stop`] does.
pub struct Agent {
    shared: Arc<Shared>,
    scraper: Option<JoinHandle<()>>,
    deliverer: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts to look at this machine and to deliver what is seen, beginning with what an earlier
    /// agent left in the buffer. `clock` stamps samples; `rng` spreads retries.
    ///
    /// # Errors
    /// If the settings make no sense or the buffer can't be used; not if the destination is away.
    pub fn start(settings: AgentSettings, clock: Clock, rng: SmallRng) -> Result<Self, AgentError> {
        settings.check()?;
        let instance = settings.instance.clone().unwrap_or_else(collect::hostname);
        let outlet = Outlet::open(&settings, &instance)?;
        let spool = Spool::open(&settings.buffer_dir, settings.buffer_bytes)?;
        let shared = Arc::new(Shared::new(spool));
        let mut agent = Self {
            shared: Arc::clone(&shared),
            scraper: None,
            deliverer: None,
        };
        let scraper = Scraper {
            shared: Arc::clone(&shared),
            collectors: Collectors::new(settings.collectors()?, Machine::this()),
            interval: Duration::from_millis(settings.interval_ms),
            common: common_labels(&settings, instance),
            clock,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        agent.deliverer = Some(thread("agent-deliver", move || {
            runtime.block_on(deliver::run(shared, outlet, rng));
        })?);
        agent.scraper = Some(thread("agent-scrape", move || scraper.run())?);
        Ok(agent)
    }

    /// Stops looking at once, goes on delivering for at most two seconds, and leaves the rest in
    /// the buffer for the next start. Blocks until then.
    pub fn stop(mut self) -> AgentStats {
        self.finish();
        self.stats()
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> AgentStats {
        self.shared.counters.stats(&self.shared.spool())
    }

    fn finish(&mut self) {
        self.shared.stop.send_replace(Some(Instant::now() + FLUSH));
        if let Some(scraper) = self.scraper.take() {
            scraper.thread().unpark();
            join(scraper);
        }
        // Only now an empty spool stays empty.
        self.shared.end_of_scraping();
        self.shared.wake.notify_one();
        if let Some(deliverer) = self.deliverer.take() {
            join(deliverer);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.finish();
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the agent panicked");
    }
}

fn common_labels(settings: &AgentSettings, instance: String) -> BTreeMap<String, String> {
    let mut labels = settings.labels.clone();
    labels.insert("instance".into(), instance);
    labels.insert("job".into(), settings.job.clone());
    labels
}

struct Scraper {
    shared: Arc<Shared>,
    collectors: Collectors,
    interval: Duration,
    common: BTreeMap<String, String>,
    clock: Clock,
}

impl Scraper {
    fn run(mut self) {
        let mut due = std::time::Instant::now();
        while self.wait_until(due) {
            self.scrape();
            due += self.interval;
            let late = due.elapsed();
            if late >= self.interval {
                let missed = u32::try_from(late.as_nanos() / self.interval.as_nanos());
                let missed = missed.unwrap_or(u32::MAX);
                add(&self.shared.counters.missed_scrapes, u64::from(missed));
                due += self.interval * missed;
            }
        }
    }

    /// False if it is time to stop.
    fn wait_until(&self, due: std::time::Instant) -> bool {
        loop {
            if self.shared.stop.borrow().is_some() {
                return false;
            }
            let left = due.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left);
        }
    }

    fn scrape(&mut self) {
        let now = (self.clock)();
        let mut scrape = Scrape::default();
        self.collectors.scrape(now, &mut scrape);
        add(&self.shared.counters.scrapes, 1);
        let stats = self.shared.counters.stats(&self.shared.spool());
        counters::samples(&stats, &mut scrape);
        for Body { json, samples } in encode(&scrape, now, &self.common) {
            match zstd::encode_all(json.as_bytes(), ZSTD_LEVEL) {
                Ok(payload) => self.shared.spool().append(samples, payload),
                Err(error) => tracing::error!(%error, "compressing a scrape"),
            }
        }
        self.shared.wake.notify_one();
    }
}

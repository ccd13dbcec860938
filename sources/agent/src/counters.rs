//! The agent's own metrics: samples like all others, and numbers for whoever runs it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::scrape::{Family, Scrape};
use crate::spool::Spool;

/// What an agent has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStats {
    /// Looks at the machine.
    pub scrapes: u64,
    /// Looks left out because the one before took too long.
    pub missed_scrapes: u64,
    /// Samples that the broker or gateway has acknowledged.
    pub delivered_samples: u64,
    /// Samples that it refused for good.
    pub refused_samples: u64,
    /// Samples given up because the buffer was full or could not be read back.
    pub dropped_samples: u64,
    /// Attempts that failed and are repeated.
    pub delivery_failures: u64,
    /// Samples that wait in the buffer.
    pub buffered_samples: u64,
    /// Bytes that the buffer takes.
    pub buffered_bytes: u64,
}

/// Those of the numbers that are counted where they happen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) scrapes: AtomicU64,
    pub(crate) missed_scrapes: AtomicU64,
    pub(crate) delivered_samples: AtomicU64,
    pub(crate) refused_samples: AtomicU64,
    pub(crate) delivery_failures: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self, spool: &Spool) -> AgentStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AgentStats {
            scrapes: read(&self.scrapes),
            missed_scrapes: read(&self.missed_scrapes),
            delivered_samples: read(&self.delivered_samples),
            refused_samples: read(&self.refused_samples),
            dropped_samples: spool.dropped().samples,
            delivery_failures: read(&self.delivery_failures),
            buffered_samples: spool.samples(),
            buffered_bytes: spool.bytes(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

macro_rules! families {
    ($($constructor:ident $field:ident $name:literal $help:literal),+ $(,)?) => {
        /// Adds the numbers as samples.
        pub(crate) fn samples(stats: &AgentStats, out: &mut Scrape) {
            $(out.push(&Family::$constructor($name, $help), &[], stats.$field as f64);)+
        }
    };
}

families! {
    counter scrapes "tidegauge_agent_scrapes_total" "Looks at the machine.",
    counter missed_scrapes "tidegauge_agent_missed_scrapes_total"
        "Looks left out because the one before took too long.",
    counter delivered_samples "tidegauge_agent_delivered_samples_total"
        "Samples acknowledged by the broker or gateway.",
    counter refused_samples "tidegauge_agent_refused_samples_total"
        "Samples refused for good by the broker or gateway.",
    counter dropped_samples "tidegauge_agent_dropped_samples_total"
        "Samples given up because the buffer was full or could not be read back.",
    counter delivery_failures "tidegauge_agent_delivery_failures_total"
        "Attempts to deliver that failed and are repeated.",
    gauge buffered_samples "tidegauge_agent_buffered_samples" "Samples that wait in the buffer.",
    gauge buffered_bytes "tidegauge_agent_buffered_bytes" "Bytes that the buffer takes.",
}

//! A load in real time: 100 hosts' scrapes each second, 50,700 samples, a tenth each 100 ms.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegauge_model::Series;

use crate::formats::Wire;
use crate::kafka::Producer;
use crate::load::{PARTITIONS, labelled, remote_write, series};
use crate::machine::now_ms;
use crate::recording::Recording;

/// Scrapes, and so records, a second.
pub(crate) const HOSTS: u32 = 100;

const TICK: Duration = Duration::from_millis(100);

/// A live load and how far it is.
pub(crate) struct Live {
    hosts: Vec<Vec<Series>>,
    /// Records handed to the producer.
    pub(crate) records: AtomicU64,
    /// Told to end.
    pub(crate) end: AtomicBool,
}

impl Live {
    pub(crate) fn new(recording: &Recording) -> Self {
        let host = |host| labelled(recording, host).iter().map(series).collect();
        Self {
            hosts: (0..HOSTS).map(host).collect(),
            records: AtomicU64::new(0),
            end: AtomicBool::new(false),
        }
    }

    /// Samples a second.
    pub(crate) fn rate(recording: &Recording) -> u64 {
        u64::from(HOSTS) * recording.series.len() as u64
    }

    /// Produces until told to end. With `marker` each tick also sends one sample of that name, whose
    /// value is the number of the tick; returned is when each was produced.
    pub(crate) fn produce(
        &self,
        brokers: &str,
        topic: &str,
        recording: &Recording,
        marker: Option<&str>,
    ) -> Vec<Instant> {
        let producer = Producer::new(brokers, 2);
        let began = Instant::now();
        let mut marked = Vec::new();
        for tick in 0_u32.. {
            if self.end.load(Ordering::Relaxed) {
                break;
            }
            let scrape = (tick / 10) as usize % recording.scrapes.len();
            let values = &recording.scrapes[scrape].1;
            for host in (tick % 10..HOSTS).step_by(10) {
                let body = remote_write(&self.hosts[host as usize], now_ms(), values);
                let partition = i32::try_from(host % PARTITIONS).expect("few partitions");
                producer.send(topic, partition, Wire::RemoteWrite.content_type(), &body);
                self.records.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(name) = marker {
                let time = now_ms();
                let body = format!(r#"{{"name":"{name}","timestamp":{time},"value":{tick}}}"#);
                marked.push(Instant::now());
                producer.send(topic, 0, Wire::Json.content_type(), body.as_bytes());
                self.records.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep((TICK * (tick + 1)).saturating_sub(began.elapsed()));
        }
        producer.flush();
        marked
    }
}

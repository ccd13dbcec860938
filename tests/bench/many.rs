//! Very many series, a sample each ten seconds: the memory they take, whether they are kept up with,
//! what a query for one of them takes, and how soon a start after `kill -9` is live again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegauge_model::Series;

use crate::formats::Wire;
use crate::kafka::Producer;
use crate::load::{PARTITIONS, remote_write, series};
use crate::machine::now_ms;
use crate::program::{Bench, table_of};
use crate::restart;
use crate::table::{Table, mib, number, whole};

/// Series of a host, which are scraped together.
const METRICS: u32 = 500;
/// Between two scrapes of a host.
const SCRAPE: Duration = Duration::from_secs(10);
/// A scrape interval has so many ticks, and hosts take turns.
const TICKS: u32 = 100;

pub(crate) fn measure(bench: &Bench<'_>) -> Table {
    let hosts = bench.options.series.div_ceil(METRICS);
    let load = Many::new(hosts);
    let topic = bench.topic("series");
    let data = bench.folder("series");
    let mut table = Table::new(
        &format!(
            "{} series, a sample each 10 s as remote write, for {} s",
            whole(f64::from(hosts * METRICS)),
            bench.options.series_s
        ),
        &[
            "samples/s",
            "CPU %",
            "peak MiB",
            "B/series",
            "behind s",
            "files",
            "B/sample",
            "query ms",
        ],
    );
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| load.produce(&bench.brokers, &topic));
        let mut program = bench.program(&data, &topic, &[]);
        program.wait("readiness", |http| http.get("/ready"));
        let (began, before) = (Instant::now(), program.usage());
        std::thread::sleep(Duration::from_secs(bench.options.series_s.into()));
        let (watched_s, usage) = (began.elapsed().as_secs_f64(), program.usage());
        let rate = number(load.records.load(Ordering::Relaxed)) * f64::from(METRICS)
            / load.began.elapsed().as_secs_f64();
        let behind = program.wait("lags", |http| {
            let read = restart::next(&http.json("/api/v1/stats/queue")?);
            Some(load.records.load(Ordering::Relaxed).saturating_sub(read))
        });
        let behind_s = number(behind) * f64::from(METRICS) / rate;
        let (rows, bytes, files) = table_of(&program.stats(), "samples");
        let query = "SELECT count(*) FROM raw.metric_007 WHERE host = 'host-00003'";
        let times: Vec<f64> = (0..5)
            .map(|_| {
                let asked = Instant::now();
                program.wait("an answer", |http| http.sql(query));
                asked.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        table.row(vec![
            whole(rate),
            format!("{:.1}", (usage.cpu_s - before.cpu_s) * 100.0 / watched_s),
            mib(usage.peak_rss_bytes),
            whole(number(usage.peak_rss_bytes) / f64::from(hosts * METRICS)),
            format!("{behind_s:.2}"),
            files.to_string(),
            format!("{:.2}", number(bytes) / number(rows)),
            format!("{:.0}", times.iter().copied().fold(f64::MAX, f64::min)),
        ]);
        program.kill();
        program = bench.program(&data, &topic, &[]);
        let second = u64::from(hosts).div_ceil(SCRAPE.as_secs());
        let live = restart::watch(&mut program, &load.records, second);
        let [ready, moves, caught_up, commit] = live.map(|s| format!("{s:.2}"));
        table.note(format!(
            "query: one series by label, the best of five. After kill -9: ready {ready} s, watermark moves {moves} s, \
             caught up {caught_up} s, first commit {commit} s"
        ));
        load.end.store(true, Ordering::Relaxed);
        producing.join().expect("the producer");
        program.stop();
    });
    table
}

struct Many {
    hosts: Vec<Vec<Series>>,
    began: Instant,
    /// Records handed to the producer: scrapes.
    records: AtomicU64,
    end: AtomicBool,
}

impl Many {
    fn new(hosts: u32) -> Self {
        let host = |host: u32| {
            let labels = vec![
                ("host".to_owned(), format!("host-{host:05}")),
                ("region".to_owned(), format!("region-{}", host % 7)),
            ];
            (0..METRICS)
                .map(|metric| series(&(format!("metric_{metric:03}"), labels.clone())))
                .collect()
        };
        Self {
            hosts: (0..hosts).map(host).collect(),
            began: Instant::now(),
            records: AtomicU64::new(0),
            end: AtomicBool::new(false),
        }
    }

    fn produce(&self, brokers: &str, topic: &str) {
        let producer = Producer::new(brokers, 5);
        let hosts = u32::try_from(self.hosts.len()).expect("hosts are numbered by 32 bits");
        let began = Instant::now();
        for tick in 0_u32.. {
            if self.end.load(Ordering::Relaxed) {
                break;
            }
            for host in (tick % TICKS..hosts).step_by(TICKS as usize) {
                let value =
                    |metric| f64::from((tick * 7 + host * 13 + metric * 31) % 10_000) / 10.0;
                let values: Vec<f64> = (0..METRICS).map(value).collect();
                let body = remote_write(&self.hosts[host as usize], now_ms(), &values);
                let partition = i32::try_from(host % PARTITIONS).expect("few partitions");
                producer.send(topic, partition, Wire::RemoteWrite.content_type(), &body);
                self.records.fetch_add(1, Ordering::Relaxed);
            }
            let due = SCRAPE / TICKS * (tick + 1);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        producer.flush();
    }
}

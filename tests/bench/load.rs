//! What is produced: the recorded hour for some hosts, or noise.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_decode::{SeriesSamples, encode_remote_write};
use tidegauge_model::{DAY_MS, HOUR_MS, Limits, MINUTE_MS, Series, floor};

use crate::formats::{Row, Wire};
use crate::machine::now_ms;
use crate::recording::{Labelled, Recording};

/// Partitions of each topic.
pub(crate) const PARTITIONS: u32 = 4;

/// Between the scrapes of two hosts.
const HOST_APART_MS: i64 = 37;

/// Records in the order in which they are produced.
pub(crate) struct Load {
    pub(crate) wire: Wire,
    /// The partition and the message.
    pub(crate) records: Vec<(i32, Vec<u8>)>,
    pub(crate) samples: u64,
    pub(crate) series: u64,
    /// Days it spans.
    pub(crate) days: u64,
    /// Rows that the 1-minute tier must have in the end.
    pub(crate) minutes: u64,
}

impl Load {
    pub(crate) fn bytes(&self) -> u64 {
        self.records
            .iter()
            .map(|record| record.1.len() as u64)
            .sum()
    }
}

/// The labels of a host's series.
pub(crate) fn labelled(recording: &Recording, host: u32) -> Vec<Labelled> {
    let instance = ("instance".to_owned(), format!("host-{host:03}:9100"));
    let job = ("job".to_owned(), "node".to_owned());
    let series = recording.series.iter().cloned();
    series
        .map(|(name, mut labels)| {
            labels.extend([instance.clone(), job.clone()]);
            (name, labels)
        })
        .collect()
}

/// A series as the program knows it.
pub(crate) fn series((name, labels): &Labelled) -> Series {
    let mut labels = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Series::new("default", name, &mut labels, &Limits::default()).expect("a recorded series")
}

/// A host's scrape as one remote-write request.
pub(crate) fn remote_write(series: &[Series], time: i64, values: &[f64]) -> Vec<u8> {
    let points: Vec<[(i64, f64); 1]> = values.iter().map(|value| [(time, *value)]).collect();
    let groups: Vec<SeriesSamples<'_>> = std::iter::zip(series, &points)
        .map(|(series, samples)| SeriesSamples {
            series,
            samples,
            metadata: None,
        })
        .collect();
    encode_remote_write(&groups)
}

/// The recorded hour for some hosts, shifted into a clock hour that is over: so it is near now, and
/// upkeep may compact it.
pub(crate) fn node(recording: &Recording, wire: Wire, hosts: u32) -> Load {
    let last = i64::from(hosts) * HOST_APART_MS;
    let span = recording.scrapes[recording.scrapes.len() - 1].0 - recording.scrapes[0].0 + last;
    let start = floor(now_ms() - 2 * MINUTE_MS, HOUR_MS) - HOUR_MS;
    let shift = start + (HOUR_MS - span).max(0) / 2 - recording.scrapes[0].0;
    let mut encoders: Vec<Encode> = (0..hosts)
        .map(|host| encoder(wire, &labelled(recording, host)))
        .collect();
    let mut load = Load {
        wire,
        records: Vec::new(),
        samples: 0,
        series: u64::from(hosts) * recording.series.len() as u64,
        days: 1,
        minutes: 0,
    };
    let mut minutes = BTreeSet::new();
    for (time, values) in &recording.scrapes {
        for (host, encode) in (0..).zip(&mut encoders) {
            let time = time + shift + i64::from(host) * HOST_APART_MS;
            let partition = i32::try_from(host % PARTITIONS).expect("few partitions");
            let bodies = encode(time, values).into_iter();
            load.records.extend(bodies.map(|body| (partition, body)));
            load.samples += values.len() as u64;
            minutes.insert((host, floor(time, MINUTE_MS)));
        }
    }
    load.minutes = minutes.len() as u64 * recording.series.len() as u64;
    load
}

/// Makes the messages of a host's scrape from its time and values.
type Encode = Box<dyn FnMut(i64, &[f64]) -> Vec<Vec<u8>>>;

fn encoder(wire: Wire, labelled: &[Labelled]) -> Encode {
    if wire == Wire::RemoteWrite {
        let series: Vec<Series> = labelled.iter().map(series).collect();
        return Box::new(move |time, values| vec![remote_write(&series, time, values)]);
    }
    let row = |(name, labels): &Labelled| Row {
        name: name.clone(),
        labels: labels.clone(),
        time: 0,
        value: 0.0,
    };
    let mut rows: Vec<Row> = labelled.iter().map(row).collect();
    Box::new(move |time, values| {
        for (row, value) in rows.iter_mut().zip(values) {
            (row.time, row.value) = (time, *value);
        }
        wire.encode(&rows)
    })
}

/// 50 gauges (uniform within 2 of their middle, two decimals) and 50 counters (rising by 0 to 99),
/// a sample a minute, up to the last midnight; an hour a request.
pub(crate) fn noise(days: u32) -> Load {
    let mut rng = SmallRng::seed_from_u64(7);
    let end = floor(now_ms(), DAY_MS);
    let start = end - i64::from(days) * DAY_MS;
    let name = |kind: &str, i: u32| {
        let labels = vec![("i".to_owned(), i.to_string())];
        series(&(format!("noise_{kind}"), labels))
    };
    let gauges = (0..50).map(|i| name("gauge", i));
    let counters = (0..50).map(|i| name("counter", i));
    let all: Vec<Series> = gauges.chain(counters).collect();
    let mut totals: Vec<f64> = (0..50)
        .map(|_| f64::from(rng.random_range(0..50_000_000)))
        .collect();
    let mut load = Load {
        wire: Wire::RemoteWrite,
        records: Vec::new(),
        samples: 0,
        series: 100,
        days: days.into(),
        minutes: 0,
    };
    for hour in 0..i64::from(days) * 24 {
        let mut points = vec![Vec::new(); 100];
        for minute in 0..60 {
            let time = start + hour * HOUR_MS + minute * MINUTE_MS;
            for i in 0..50_u32 {
                let gauge = f64::from(2_000 + i * 100 + rng.random_range(0..401)) - 200.0;
                points[i as usize].push((time, gauge / 100.0));
                let total = &mut totals[i as usize];
                *total += f64::from(rng.random_range(0..100));
                points[50 + i as usize].push((time, *total));
            }
        }
        let groups: Vec<SeriesSamples<'_>> = std::iter::zip(&all, &points)
            .map(|(series, samples)| SeriesSamples {
                series,
                samples,
                metadata: None,
            })
            .collect();
        load.records.push((0, encode_remote_write(&groups)));
        load.samples += 6_000;
    }
    load.minutes = load.samples;
    load
}

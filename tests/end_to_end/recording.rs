//! The recorded hour of a node_exporter: 507 series, each second.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tidegauge_model::{DAY_MS, floor};

use crate::node::now_ms;

/// How many samples the recording holds.
pub(crate) const SAMPLES: u64 = 1_825_200;

/// The recording.
pub(crate) struct Recording {
    /// Names and labels.
    pub(crate) series: Vec<(String, Vec<(String, String)>)>,
    pub(crate) scrapes: Vec<Scrape>,
}

/// What one second brought.
pub(crate) struct Scrape {
    pub(crate) time: i64,
    pub(crate) points: Vec<Point>,
}

/// A value of a series, by its place in [`Recording::series`].
pub(crate) struct Point {
    pub(crate) series: usize,
    pub(crate) text: Box<str>,
    pub(crate) value: f64,
}

/// Where it lies.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/node_exporter_1h_1s.txt.zst")
}

impl Recording {
    /// Reads it and moves it by whole days to the day before yesterday: neither does it expire, nor
    /// is its day still open. Also returns by how many milliseconds.
    pub(crate) fn of_the_day_before_yesterday() -> (Self, i64) {
        let mut recording = Self::read();
        let recorded = recording.scrapes.first().expect("scrapes").time;
        let by = floor(now_ms(), DAY_MS) - 2 * DAY_MS - floor(recorded, DAY_MS);
        for scrape in &mut recording.scrapes {
            scrape.time += by;
        }
        (recording, by)
    }

    /// A line `#T <ms>` opens a scrape, the rest is Prometheus' text format.
    fn read() -> Self {
        let packed = std::fs::read(path()).expect("the recording");
        let text = String::from_utf8(zstd::decode_all(&*packed).expect("zstd")).expect("text");
        let (mut series, mut scrapes) = (Vec::new(), Vec::<Scrape>::new());
        let mut known = HashMap::new();
        for line in text.lines() {
            if let Some(time) = line.strip_prefix("#T ") {
                scrapes.push(Scrape {
                    time: time.parse().expect("milliseconds"),
                    points: Vec::new(),
                });
            } else if !line.starts_with('#') && !line.is_empty() {
                let (head, value) = line.rsplit_once(' ').expect("a value");
                let place = *known.entry(head).or_insert_with(|| {
                    series.push(name_and_labels(head));
                    series.len() - 1
                });
                scrapes
                    .last_mut()
                    .expect("a scrape is open")
                    .points
                    .push(Point {
                        series: place,
                        text: value.into(),
                        value: value.parse().expect("a number"),
                    });
            }
        }
        Self { series, scrapes }
    }
}

fn name_and_labels(head: &str) -> (String, Vec<(String, String)>) {
    let Some((name, labels)) = head.split_once('{') else {
        return (head.to_owned(), Vec::new());
    };
    let mut rest = labels.strip_suffix('}').expect("closed labels");
    let mut labels = Vec::new();
    while let Some((label, tail)) = rest.split_once("=\"") {
        let (text, tail) = unquote(tail);
        labels.push((label.trim_start_matches(',').to_owned(), text));
        rest = tail;
    }
    (name.to_owned(), labels)
}

/// The text up to the closing quote, unescaped, and what follows.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match chars.next().expect("an escaped character").1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    panic!("no closing quote in {quoted}");
}

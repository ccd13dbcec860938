//! The recorded hour of a node_exporter.

use std::path::Path;

/// A series' name and its labels.
pub(crate) type Labelled = (String, Vec<(String, String)>);

/// Scrapes of the same series at some 3,600 times.
pub(crate) struct Recording {
    pub(crate) series: Vec<Labelled>,
    /// Each scrape's time in milliseconds and its values, one a series.
    pub(crate) scrapes: Vec<(i64, Vec<f64>)>,
}

impl Recording {
    /// Reads the project's test data: a line `#T <ms>` opens a scrape, the rest is Prometheus' text
    /// format. Each scrape has the same series in the same order.
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/data/node_exporter_1h_1s.txt.zst");
        let packed = std::fs::read(path).expect("the recording is in the repository");
        let text = zstd::decode_all(&*packed).expect("the recording is zstd");
        let text = String::from_utf8(text).expect("the recording is text");
        let mut series = Vec::new();
        let mut scrapes: Vec<(i64, Vec<f64>)> = Vec::new();
        for line in text.lines() {
            if let Some(time) = line.strip_prefix("#T ") {
                scrapes.push((time.parse().expect("milliseconds"), Vec::new()));
            } else if let Some((labelled, value)) = line.rsplit_once(' ') {
                if scrapes.len() == 1 {
                    series.push(parse(labelled));
                }
                let (_, values) = scrapes.last_mut().expect("a scrape is open");
                values.push(value.parse().expect("a number"));
            }
        }
        let whole = scrapes.iter().all(|scrape| scrape.1.len() == series.len());
        assert!(whole, "each scrape has the same series");
        Self { series, scrapes }
    }
}

/// No label value of the recording holds a quote or a comma.
fn parse(labelled: &str) -> Labelled {
    let (name, labels) = labelled.split_once('{').unwrap_or((labelled, "}"));
    let labels = labels
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|label| label.split_once("=\""))
        .map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect();
    (name.to_owned(), labels)
}

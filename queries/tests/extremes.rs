//! `min` and `max` where NaN comes before the numbers.

mod common;

use common::{DAY, Lake, Sample, rows, series};
use tidegauge_model::DAY_MS;
use tidegauge_queries::{Engine, EngineSettings};
use tidegauge_tables::FileKind;

/// NaN in the first file, numbers in the others.
async fn engine() -> Engine {
    let mut lake = Lake::default();
    let sample = |host, day: i64, value| Sample {
        series: series("default", "cpu.load", &[("host", host)]),
        time: DAY + day * DAY_MS,
        value,
    };
    for (day, a, b) in [(0, f64::NAN, f64::NAN), (1, 1.0, 7.0), (2, 5.0, f64::NAN)] {
        let rows = vec![
            sample("a", day, a),
            sample("b", day, b),
            sample("c", day, f64::NAN),
        ];
        lake.samples(FileKind::Main, day as u64 + 1, rows).await;
    }
    let seen = |host| {
        let series = series("default", "cpu.load", &[("host", host)]);
        (series, DAY, DAY + 2 * DAY_MS)
    };
    lake.series(FileKind::Main, 1, vec![seen("a"), seen("b"), seen("c")])
        .await;
    // One thread, so that files are read one after another.
    lake.engine(EngineSettings {
        threads: 1,
        ..EngineSettings::default()
    })
}

async fn check(engine: &Engine, query: &str, wanted: &[&[&str]]) {
    let got = rows(engine, query).await;
    let got: Vec<Vec<&str>> = got
        .iter()
        .map(|row| {
            row.iter()
                .map(|text| text.split('/').next().unwrap_or(""))
                .collect()
        })
        .collect();
    assert_eq!(got, wanted, "{query}");
}

#[tokio::test]
async fn numbers_of_later_files_count() {
    let engine = engine().await;
    for table in ["samples", "raw.\"cpu.load\""] {
        check(
            &engine,
            &format!("select max(value) from {table}"),
            &[&["7.0"]],
        )
        .await;
        check(
            &engine,
            &format!("select min(value) from {table}"),
            &[&["1.0"]],
        )
        .await;
    }
}

#[tokio::test]
async fn groups_are_ranked_by_their_numbers() {
    let engine = engine().await;
    let ranked = "select host, max(value) as top from raw.\"cpu.load\" where host <> 'c' group by host \
                  order by top desc nulls last limit 2";
    check(&engine, ranked, &[&["b", "7.0"], &["a", "5.0"]]).await;
    let ranked = "select host, min(value) as least from raw.\"cpu.load\" group by host \
                  order by least limit 1";
    check(&engine, ranked, &[&["a", "1.0"]]).await;
}

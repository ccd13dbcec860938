//! Filters keep files, row groups and pages from being read, as `EXPLAIN ANALYZE` tells.

mod common;

use common::{DAY, Lake, Sample, rows, series};
use tidegauge_model::{HOUR_MS, Series};
use tidegauge_queries::{Engine, EngineSettings};
use tidegauge_tables::FileKind;

const HOURS: i64 = 4;
const NAMES: [&str; 5] = ["cpu.load", "disk.free", "mem.free", "net.in", "net.out"];

fn all_series() -> Vec<Series> {
    let hosts: Vec<String> = (0..40).map(|i| format!("web-{i:02}")).collect();
    let of = |name| {
        hosts
            .iter()
            .map(move |host| series("default", name, &[("host", host)]))
    };
    NAMES.into_iter().flat_map(of).collect()
}

/// Four files of an hour each: 5 metrics of 40 series, a sample every 30 s.
async fn lake() -> Lake {
    let mut lake = Lake {
        page_rows: 500,
        group_rows: 5_000,
        ..Lake::default()
    };
    for hour in 0..HOURS {
        let mut rows = Vec::new();
        for series in all_series() {
            for i in 0..120 {
                let time = DAY + hour * HOUR_MS + i * 30_000;
                rows.push(Sample {
                    series: series.clone(),
                    time,
                    value: i as f64,
                });
            }
        }
        lake.samples(FileKind::Main, hour as u64 + 1, rows).await;
    }
    let seen = all_series()
        .into_iter()
        .map(|s| (s, DAY, DAY + HOURS * HOUR_MS));
    lake.series(FileKind::Main, 1, seen.collect()).await;
    lake
}

async fn engine() -> Engine {
    let settings = EngineSettings {
        threads: 2,
        ..EngineSettings::default()
    };
    lake().await.engine(settings)
}

async fn explain(engine: &Engine, query: &str) -> String {
    let rows = rows(engine, &format!("explain analyze {query}")).await;
    rows.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The number that stands behind `name=` in a plan, or before a word of that metric.
fn metric(plan: &str, name: &str) -> f64 {
    let at = plan
        .find(&format!("{name}="))
        .unwrap_or_else(|| panic!("no {name} in {plan}"));
    let text = &plan[at + name.len() + 1..];
    let number: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let unit = text[number.len()..].trim_start();
    let scale = match unit {
        unit if unit.starts_with('K') => 1e3,
        unit if unit.starts_with('M') => 1e6,
        _ => 1.0,
    };
    number
        .parse::<f64>()
        .unwrap_or_else(|e| panic!("{name} in {plan}: {e}"))
        * scale
}

#[tokio::test]
async fn a_label_and_a_time_leave_little_to_read() {
    let engine = engine().await;
    let (from, to) = (DAY + HOUR_MS, DAY + 2 * HOUR_MS);
    let query = format!(
        "select sum(value) from raw.\"disk.free\" where host = 'web-07' and time >= to_timestamp_millis({from}) and time < to_timestamp_millis({to})"
    );
    let some = explain(&engine, &query).await;
    assert_eq!(metric(&some, "files_in_table"), 4.0, "{some}");
    assert_eq!(metric(&some, "files_pruned_by_log"), 3.0, "{some}");
    // The file has 24,000 rows in 5 groups of 10 pages; the series has 120 rows in 1 or 2 of them.
    assert!(
        some.contains("row_groups_pruned_statistics=5 total → 1 matched")
            || some.contains("row_groups_pruned_statistics=5 total → 2 matched"),
        "{some}"
    );
    // In the groups left, pages of 500 rows; a run of 120 rows lies in at most two of them, and so
    // does its neighbour in the other group.
    assert!(
        some.contains("page_index_rows_pruned=10.00 K total → 2.00 K matched")
            || some.contains("page_index_rows_pruned=10.00 K total → 1.50 K matched")
            || some.contains("page_index_rows_pruned=10.00 K total → 1.00 K matched"),
        "{some}"
    );
    let every_column = "select count(distinct name), count(distinct series_id), max(time), sum(value) from samples";
    let all = explain(&engine, every_column).await;
    assert!(
        metric(&some, "bytes_scanned") * 5.0 < metric(&all, "bytes_scanned"),
        "{some}\n{all}"
    );
    let sum = rows(
        &engine,
        &query.replace("sum(value)", "cast(sum(value) as bigint)"),
    )
    .await;
    assert_eq!(sum, [[(0..120).sum::<i64>().to_string()]]);
}

#[tokio::test]
async fn label_filters_of_every_kind_choose_series() {
    let engine = engine().await;
    for (filter, hosts) in [
        ("host = 'web-07'", 1),
        ("host != 'web-07'", 39),
        ("host like 'web-0%'", 10),
        ("host in ('web-01', 'web-02', 'db-1')", 2),
        ("host ~ '^web-[12]5$'", 2),
        ("host !~ '0$'", 36),
        ("host is null", 0),
        ("host = 'web-07' or host = 'web-08'", 2),
        ("upper(host) = 'WEB-39'", 1),
        ("host like 'web-0%' and value < 60", 10),
    ] {
        let query = format!("select count(distinct host) from raw.\"cpu.load\" where {filter}");
        assert_eq!(
            rows(&engine, &query).await,
            [[hosts.to_string()]],
            "{filter}"
        );
    }
    let none = explain(
        &engine,
        "select * from raw.\"cpu.load\" where host = 'db-1'",
    )
    .await;
    assert!(none.contains("EmptyExec"), "{none}");
}

#[tokio::test]
async fn counts_and_bounds_need_no_data() {
    let engine = engine().await;
    let plan = explain(&engine, "select count(*), max(time) from samples").await;
    assert!(!plan.contains("DataSourceExec: file_groups"), "{plan}");
    let counted = rows(&engine, "select count(*) from samples").await;
    assert_eq!(counted, [["96000"]]);
}

#[tokio::test]
async fn the_newest_rows_come_by_order_and_limit() {
    let engine = engine().await;
    let query =
        "select time, value from raw.\"net.out\" where host = 'web-01' order by time desc limit 2";
    let last = DAY + HOURS * HOUR_MS - 30_000;
    let newest = rows(&engine, query).await;
    assert_eq!(newest[0][0], last.to_string());
    assert_eq!(newest.len(), 2);
}

#[tokio::test]
async fn tables_are_listed_and_described() {
    let engine = engine().await;
    let tables = rows(&engine, "show tables").await;
    let has =
        |schema: &str, table: &str| tables.iter().any(|row| row[1] == schema && row[2] == table);
    assert!(
        has("lake", "samples") && has("raw", "net.in") && has("rollup_1h", "cpu.load"),
        "{tables:?}"
    );
    assert!(!has("lake", "rollup_5m"), "it is not configured");
    let columns = rows(&engine, "describe rollup_1m.\"cpu.load\"").await;
    let names: Vec<&str> = columns.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        names,
        [
            "time", "count", "sum", "min", "max", "avg", "first", "last", "increase", "rate",
            "host"
        ]
    );
    let labels = rows(
        &engine,
        "select labels['host'] from series where name = 'cpu.load' order by 1 limit 1",
    )
    .await;
    assert_eq!(labels, [["web-00"]]);
}

#[tokio::test]
async fn a_long_chain_of_conditions_is_planned() {
    let engine = engine().await;
    let conditions: Vec<String> = (0..1000).map(|i| format!("value = {i}.5")).collect();
    let query = format!(
        "select count(*) from samples where {}",
        conditions.join(" or ")
    );
    assert_eq!(rows(&engine, &query).await, [["0"]]);
}

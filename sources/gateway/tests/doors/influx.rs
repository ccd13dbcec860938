//! The doors of InfluxDB, and what they pass over.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::house::{JsonBody, NOW, answer, house};

#[tokio::test]
async fn influx_lines_are_taken_and_bad_ones_told_in_its_words() {
    let house = house().await;
    let (status, _) = answer(
        house
            .post("/write?db=x&precision=s")
            .body("cpu,host=a load=0.5 1700000000\n"),
    )
    .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let body = "cpu,host=b load=0.5 1700000000000\nbroken\n";
    let (status, told) = answer(house.post("/write?precision=ms").body(body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let text = told["error"].as_str().expect("an error");
    assert!(
        text.starts_with("partial write: line 2: ") && text.ends_with("dropped=1"),
        "{text}"
    );
    let v2 = house
        .post("/api/v2/write?org=o&bucket=b")
        .body("mem used=7i 1700000000000000000\nbroken");
    let (status, told) = answer(v2).await;
    assert_eq!(
        (status, &told["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid")),
        "{told}"
    );
    let rows = house.rows();
    assert!(rows.iter().all(|row| row.time == NOW), "{rows:?}");
    let series: Vec<_> = rows.into_iter().map(|row| row.series).collect();
    assert_eq!(
        series,
        [
            r#"default:cpu_load{"host": "a"}"#,
            r#"default:cpu_load{"host": "b"}"#,
            "default:mem_used{}"
        ]
    );
    let empty = answer(house.post("/write").body("")).await;
    assert_eq!(empty.0, StatusCode::NO_CONTENT, "a batch of no lines");
    let (status, _) = answer(house.post("/write?precision=fortnight").body("a b=1")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let ping = house.client.get(format!("{}/ping", house.url));
    assert_eq!(answer(ping).await.0, StatusCode::NO_CONTENT);
    let ask = |query: &str| house.post(&format!("/query?q={query}"));
    let (status, made) = answer(ask("CREATE+DATABASE+%22telegraf%22")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(made, json!({"results": [{"statement_id": 0}]}));
    let (status, told) = answer(ask("SELECT+1")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        told["error"]
            .as_str()
            .is_some_and(|it| it.contains("/api/v1/sql")),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_passed_over_is_counted() {
    let house = house().await;
    let body = "cpu state=\"idle\",load=1\ncpu state=\"busy\"\n";
    let (status, _) = answer(house.post("/write").body(body)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let faulty: Value = (0..1007).map(|_| json!({"name": "", "value": 1})).collect();
    let (_, told) = answer(house.post("/api/v1/metrics").body_json(&faulty)).await;
    assert_eq!(told["rejected"], json!(1007), "{told}");
    let doors = house.gateway.stats().doors;
    let skipped = |name: &str| {
        let mut doors = doors.iter();
        doors
            .find(|door| door.door == name)
            .expect("a door")
            .skipped
    };
    assert_eq!(skipped("influx").string_fields, 2);
    assert_eq!(skipped("json").folded_rejects, 7);
}

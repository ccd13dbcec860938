//! The door of JSON.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::house::{JsonBody, NOW, PARTITIONS, answer, house, sample};

#[tokio::test]
async fn json_is_taken_and_faults_are_told_by_index() {
    let house = house().await;
    let body = json!([sample("cpu.load", "a", 0.5), {"name": "", "value": 1}, sample("cpu.load", "b", 1.0)]);
    let (status, told) = answer(house.post("/api/v1/metrics").body_json(&body)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        (&told["status"], &told["accepted"]),
        (&json!("partial"), &json!(2)),
        "{told}"
    );
    assert_eq!(
        (&told["rejected"], &told["errors"][0]["index"]),
        (&json!(1), &json!(1)),
        "{told}"
    );
    let rows = house.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0].series, r#"default:cpu.load{"host": "a"}"#);
    assert_eq!((rows[0].time, rows[0].value.as_str()), (NOW, "0.5"));
}

#[tokio::test]
async fn what_is_no_json_is_400() {
    let house = house().await;
    for body in ["", "cpu 1", "{\"name\":", "[1, 2"] {
        let (status, told) = answer(house.post("/api/v1/metrics").body(body)).await;
        assert_eq!(
            (status, &told["status"]),
            (StatusCode::BAD_REQUEST, &json!("error")),
            "{body:?} {told}"
        );
        let errors = told["errors"].as_array().map(Vec::len);
        assert_eq!(told["rejected"].as_u64(), errors.map(|it| it as u64));
        assert_ne!(told["rejected"], json!(0), "{body:?} {told}");
    }
    let (status, told) = answer(house.post("/api/v1/metrics").body("[]")).await;
    assert_eq!(
        (status, &told["accepted"]),
        (StatusCode::ACCEPTED, &json!(0)),
        "{told}"
    );
    assert_eq!(house.rows(), []);
}

#[tokio::test]
async fn a_series_lies_in_one_partition_and_all_are_used() {
    let house = house().await;
    for round in 0..3 {
        let body: Value = (0..50)
            .map(|host| sample("m", &format!("h{host}"), f64::from(round)))
            .collect();
        let (status, _) = answer(house.post("/api/v1/metrics").body_json(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    let places: BTreeSet<_> = house
        .rows()
        .into_iter()
        .map(|row| (row.series, row.partition))
        .collect();
    assert_eq!(places.len(), 50);
    let used: BTreeSet<_> = places.iter().map(|place| place.1).collect();
    assert_eq!(used.len(), PARTITIONS as usize);
}

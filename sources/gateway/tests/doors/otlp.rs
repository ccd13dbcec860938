//! The door of OTLP.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::house::{JsonBody, answer, house};

pub(crate) fn otlp(temporality: u8) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [{"name": "orders", "sum": {
            "aggregationTemporality": temporality, "isMonotonic": true,
            "dataPoints": [{"asDouble": 3, "timeUnixNano": "1700000000000000000",
                            "startTimeUnixNano": "1699999990000000000"}],
        }}]}],
    }]})
}

#[tokio::test]
async fn otlp_answers_in_the_encoding_of_the_request() {
    let house = house().await;
    for temporality in [1, 2] {
        let response = house
            .post("/v1/metrics")
            .body_json(&otlp(temporality))
            .send()
            .await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.expect("a body"), "{}");
    }
    let rows = house.rows();
    let orders: Vec<_> = rows
        .iter()
        .filter(|row| row.series.contains("orders"))
        .collect();
    let deltas: BTreeSet<_> = orders.iter().map(|row| row.delta).collect();
    assert_eq!((orders.len(), deltas.len()), (2, 2), "{rows:?}");

    let post = |body: &'static [u8]| {
        house
            .post("/v1/metrics")
            .header("content-type", "application/x-protobuf")
            .body(body)
    };
    let broken = post(b"\x0a\x05nonsense").send().await.expect("an answer");
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(broken.headers()["content-type"], "application/x-protobuf");
    let status = broken.bytes().await.expect("a body");
    assert_eq!(status[..3], [0x08, 3, 0x12], "code 3, then the message");
    let empty = post(b"").send().await.expect("an answer");
    assert_eq!(empty.status(), StatusCode::OK, "a request may hold nothing");
    let text = house
        .post("/v1/metrics")
        .header("content-type", "text/plain")
        .body("x");
    assert_eq!(answer(text).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn otlp_tells_partial_success() {
    let house = house().await;
    let mut body = otlp(2);
    let metrics = &mut body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    metrics.as_array_mut().expect("an array").push(json!({"name": "lat", "exponentialHistogram": {
        "aggregationTemporality": 2,
        "dataPoints": [{"count": "1", "sum": 1, "scale": 0, "timeUnixNano": "1700000000000000000"}],
    }}));
    let (status, told) = answer(house.post("/v1/metrics").body_json(&body)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        told["partialSuccess"]["rejectedDataPoints"],
        json!("1"),
        "{told}"
    );
    assert!(
        house
            .series()
            .iter()
            .any(|series| series.contains("orders"))
    );
}

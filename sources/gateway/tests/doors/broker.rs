//! What becomes of a push when Kafka is away, comes back, or will not take it.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tidegauge_gateway::GatewaySettings;

use crate::house::{JsonBody, NOW, answer, house_with, sample, serve};
use crate::otlp::otlp;
use crate::remote_write::write_request;

#[tokio::test]
async fn without_a_broker_it_is_503_with_retry_after() {
    // A port that was free a moment ago.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let brokers = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let settings = GatewaySettings {
        delivery_timeout_ms: 300,
        retry_after_s: 7,
        ..GatewaySettings::default()
    };
    let (gateway, url) = serve(&brokers, settings).await;
    let request = |path: &str| Client::new().post(format!("{url}{path}"));
    let requests = [
        request("/api/v1/metrics").body_json(&sample("m", "a", 1.0)),
        request("/api/v1/write").body(write_request("up", 1.0, NOW)),
        request("/write").body("m v=1"),
        request("/v1/metrics").body_json(&otlp(2)),
    ];
    for request in requests {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "7");
    }
    let stats = gateway.stats();
    assert!(
        stats
            .doors
            .iter()
            .all(|door| (door.requests, door.unavailable) == (1, 1)),
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_broker_that_comes_back_is_used_again() {
    let settings = GatewaySettings {
        delivery_timeout_ms: 1000,
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    let push = |host: &str| {
        house
            .post("/api/v1/metrics")
            .body_json(&sample("m", host, 1.0))
    };
    assert_eq!(answer(push("before")).await.0, StatusCode::ACCEPTED);
    house.cluster.broker_down(1).expect("a broker");
    assert_eq!(
        answer(push("away")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    house.cluster.broker_up(1).expect("a broker");
    let mut tries = 0;
    while answer(push("after")).await.0 != StatusCode::ACCEPTED {
        tries += 1;
        assert!(tries < 30, "it never came back");
    }
    let series: BTreeSet<_> = house.series().into_iter().collect();
    assert!(
        series.contains(r#"default:m{"host": "before"}"#),
        "{series:?}"
    );
    assert!(
        series.contains(r#"default:m{"host": "after"}"#),
        "{series:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_for_kafka_is_413_and_the_rest_is_taken() {
    let settings = GatewaySettings {
        record_bytes: 16 << 10,
        kafka: [("message.max.bytes".into(), "4000".into())].into(),
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    let mut rng = SmallRng::seed_from_u64(1);
    let mut noise = || -> String { (0..3000).map(|_| rng.random_range('a'..='z')).collect() };
    let large = json!({"name": "large", "labels": {"a": noise(), "b": noise()}, "value": 1});
    let around = (0..30).map(|host| sample("small", &format!("h{host}"), 1.0));
    let large: Value = around.chain([large]).collect();
    let post = |body: &Value| answer(house.post("/api/v1/metrics").body_json(body));
    let (status, told) = post(&large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{told}");
    let text = told["errors"][0]["error"].as_str().expect("an error");
    assert!(text.contains("larger than Kafka takes"), "{text}");

    let series = house.series();
    let small = |series: &String| series.contains("small");
    assert!(!series.is_empty() && series.iter().all(small), "{series:?}");

    // What the broker itself finds too large.
    let small = sample("small", "a", 1.0);
    assert_eq!(post(&small).await.0, StatusCode::ACCEPTED);
    let refusal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    house
        .cluster
        .request_errors(RDKafkaApiKey::Produce, &refusal);
    assert_eq!(post(&small).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post(&small).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn large_bodies_become_several_records() {
    let settings = GatewaySettings {
        record_bytes: 16 << 10,
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    let body: Value = (0..2000)
        .map(|host| sample("m", &format!("h{host}"), 1.0))
        .collect();
    let (status, told) = answer(house.post("/api/v1/metrics").body_json(&body)).await;
    assert_eq!(
        (status, &told["accepted"]),
        (StatusCode::ACCEPTED, &json!(2000)),
        "{told}"
    );
    let series: BTreeSet<_> = house.series().into_iter().collect();
    assert_eq!(series.len(), 2000);
    let json = house.gateway.stats().doors[0].clone();
    assert_eq!((json.door, json.requests, json.accepted), ("json", 1, 2000));
}

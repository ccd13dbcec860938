//! Bodies that are long, stall, or are many at once.

use std::time::Duration;

use reqwest::StatusCode;
use tidegauge_gateway::GatewaySettings;
use tidegauge_model::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{JsonBody, answer, gzip, house_with, sample};

#[tokio::test]
async fn long_bodies_are_413_packed_or_not() {
    let settings = GatewaySettings {
        body_bytes: 100_000,
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    for path in [
        "/api/v1/metrics",
        "/api/v1/write",
        "/write",
        "/api/v2/write",
    ] {
        let (status, _) = answer(house.post(path).body(vec![b' '; 100_001])).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    let bomb = gzip(&vec![b' '; Limits::default().record_bytes + 1]);
    let request = house
        .post("/api/v1/metrics")
        .header("content-encoding", "gzip")
        .body(bomb);
    assert_eq!(answer(request).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Sends the head and the first bytes of a body, and no more.
async fn stalled(url: &str, length: &str, begun: &[u8]) -> TcpStream {
    let address = url.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let head = format!("POST /api/v1/metrics HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.write_all(begun).await.expect("sent");
    socket
}

async fn first_line(socket: &mut TcpStream) -> String {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn uploads_that_stall_hold_nobody_up_and_are_given_up() {
    let settings = GatewaySettings {
        body_idle_ms: 2000,
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    let chunked = ("transfer-encoding: chunked", &b"1\r\n[\r\n"[..]);
    let announced = ("content-length: 16777216", &b"["[..]);
    let mut sockets = Vec::new();
    for (length, begun) in [chunked, announced].repeat(4) {
        sockets.push(stalled(&house.url, length, begun).await);
    }
    // All have been heard of before the others come.
    while house.gateway.stats().doors[0].requests < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let push = house
        .post("/api/v1/metrics")
        .body_json(&sample("m", "a", 1.0));
    assert_eq!(answer(push).await.0, StatusCode::ACCEPTED);
    for socket in &mut sockets {
        assert_eq!(first_line(socket).await, "HTTP/1.1 408 Request Timeout");
    }
}

#[tokio::test]
async fn bytes_under_way_are_bounded_and_given_back() {
    let settings = GatewaySettings {
        body_bytes: 100 << 10,
        inflight_bytes: 100 << 10,
        body_idle_ms: 2000,
        ..GatewaySettings::default()
    };
    let house = house_with(settings).await;
    let blank = vec![b' '; 90 << 10];
    let mut socket = stalled(&house.url, "content-length: 100000", &blank).await;
    let padded = [&vec![b' '; 20 << 10], &b"[]"[..]].concat();
    let push = || answer(house.post("/api/v1/metrics").body(padded.clone()));
    while push().await.0 != StatusCode::SERVICE_UNAVAILABLE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        first_line(&mut socket).await,
        "HTTP/1.1 408 Request Timeout"
    );
    assert_eq!(push().await.0, StatusCode::ACCEPTED);
}

//! The answers over a real socket.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let (head, body) = request(address, "GET", path).await;
    let status = head.split(' ').nth(1);
    let status = status.and_then(|status| status.parse().ok());
    (status.expect("a status"), body)
}

/// The answer's head and body.
async fn request(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

fn source(change: impl Fn(&mut Stats) + Send + Sync + 'static) -> StatsSource {
    Arc::new(move || {
        let mut stats = Stats {
            now: 5_000,
            started_at: 1_000,
            ..Stats::default()
        };
        change(&mut stats);
        stats
    })
}

async fn started(stats: StatsSource) -> (SocketAddr, CancellationToken) {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let end = CancellationToken::new();
    let part = Router::new().route("/part", get(|| async { "the part's" }));
    tokio::spawn(serve(
        listener,
        router(stats, &Http::default(), vec![part]),
        end.clone(),
    ));
    (address, end)
}

#[tokio::test]
async fn every_route_answers() {
    let (address, _end) = started(source(|stats| {
        stats.stream.watermark = Some(4_000);
        stats.skipped = [("exemplars", 3)].into();
    }))
    .await;
    for path in ["/health", "/api/v1/health"] {
        let (status, body) = ask(address, path).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"uptime_s\":4"), "{body}");
    }
    assert_eq!(
        ask(address, "/ready").await,
        (200, "{\"status\":\"ready\"}".into())
    );
    assert_eq!(ask(address, "/part").await.1, "the part's");
    let (_, stream) = ask(address, "/api/v1/stats/stream").await;
    let stream: serde_json::Value = serde_json::from_str(&stream).expect("JSON");
    assert_eq!(
        (&stream["watermark"], &stream["watermark_lag_ms"]),
        (&4000.into(), &1000.into())
    );
    assert_eq!(stream["skipped"], json!({"exemplars": 3}));
    let (_, queue) = ask(address, "/api/v1/stats/queue").await;
    assert!(queue.contains("\"lag\":0"), "{queue}");
    assert!(
        ask(address, "/metrics")
            .await
            .1
            .contains("\ntidegauge_samples_total 0\n")
    );
    assert_eq!(ask(address, "/nowhere").await.0, 404);
}

#[tokio::test]
async fn a_wrong_method_is_told_in_an_object_at_every_route() {
    let (address, _end) = started(source(|_| {})).await;
    for path in ["/health", "/part"] {
        let (head, body) = request(address, "DELETE", path).await;
        assert!(head.starts_with("http/1.1 405 "), "{head}");
        assert!(head.contains("allow: get"), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn not_ready_is_503_with_reasons() {
    let (address, _end) = started(source(|stats| stats.not_ready.push("recovering".into()))).await;
    let (status, body) = ask(address, "/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("recovering"), "{body}");
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a free port");
    let address = taken.local_addr().expect("it has one");
    let said = bind(address).await.expect_err("taken").to_string();
    assert!(
        said.contains(&address.to_string()) && said.contains("--listen"),
        "{said}"
    );
}

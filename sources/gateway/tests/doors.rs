//! Every door over real HTTP, against a Kafka cluster made up by librdkafka.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
use tidegauge_gateway::{Gateway, GatewaySettings, router};
use tidegauge_model::{Limits, Partition};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PARTITIONS: i32 = 3;
const NOW: i64 = 1_700_000_000_000;

/// A body as JSON; reqwest's own way is behind a feature that nothing else needs.
trait JsonBody {
    fn body_json(self, body: &impl serde::Serialize) -> Self;
}

impl JsonBody for RequestBuilder {
    fn body_json(self, body: &impl serde::Serialize) -> Self {
        self.header("content-type", "application/json")
            .body(serde_json::to_string(body).expect("plain data"))
    }
}

struct House {
    cluster: MockCluster<'static, DefaultProducerContext>,
    gateway: Gateway,
    url: String,
    client: Client,
}

/// A sample as a consumer of the topic sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    tenant: String,
    series: String,
    time: i64,
    value: String,
    delta: bool,
    partition: i32,
}

async fn house() -> House {
    house_with(GatewaySettings::default()).await
}

async fn house_with(settings: GatewaySettings) -> House {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster
        .create_topic("metrics", PARTITIONS, 1)
        .expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let (gateway, url) = serve(&brokers, settings).await;
    House {
        cluster,
        gateway,
        url,
        client: Client::new(),
    }
}

async fn serve(brokers: &str, settings: GatewaySettings) -> (Gateway, String) {
    let clock = Arc::new(|| NOW);
    let gateway = Gateway::new(brokers, settings, Limits::default(), clock).expect("a gateway");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let app = router(gateway.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (gateway, url)
}

impl House {
    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// All that lies in the topic, sorted.
    fn rows(&self) -> Vec<Row> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "test");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        let mut left = 0;
        for partition in 0..PARTITIONS {
            let ends = consumer.fetch_watermarks("metrics", partition, Duration::from_secs(20));
            left += ends.expect("the ends of the partition").1;
            let added = assignment.add_partition_offset("metrics", partition, Offset::Beginning);
            added.expect("an offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        let mut rows = Vec::new();
        while left > 0 {
            let message = consumer
                .poll(Duration::from_secs(20))
                .expect("a record in time");
            rows.extend(read(&message.expect("a record")));
            left -= 1;
        }
        rows.sort();
        rows
    }

    fn series(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.series).collect()
    }
}

fn read(message: &impl Message) -> Vec<Row> {
    let headers = message.headers().expect("headers");
    let header = |name: &str| {
        let mut named = headers.iter().filter(|header| header.key == name);
        let value = named.next().and_then(|header| header.value);
        value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
    };
    let delta = header("tidegauge-temporality").as_deref() == Some("delta");
    let (tenant, kind) = (header("tenant").expect("a tenant"), header("content-type"));
    let encoding = header("content-encoding");
    let partition = Partition {
        topic: "metrics".into(),
        index: message.partition(),
    };
    let mut decoder = Decoder::new(
        partition,
        Format::Auto,
        Limits::default(),
        Relabel::default(),
    );
    let mut out = Decoded::default();
    let record = Record {
        tenant: &tenant,
        content_type: kind.as_deref(),
        content_encoding: encoding.as_deref(),
        delta,
        timestamp: -1,
        received_at: NOW,
        offset: message.offset(),
        value: message.payload().expect("a value"),
    };
    decoder.decode(&record, &mut out);
    assert_eq!(out.rejects, []);
    let mut names = std::collections::BTreeMap::new();
    for definition in out.definitions {
        names.insert(definition.local, format!("{:?}", definition.series));
    }
    let row = |at: usize| Row {
        tenant: tenant.clone(),
        series: names[&out.samples.series[at]].clone(),
        time: out.samples.time[at],
        value: out.samples.value[at].to_string(),
        delta,
        partition: message.partition(),
    };
    (0..out.samples.len()).map(row).collect()
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

fn sample(name: &str, host: &str, value: f64) -> Value {
    json!({"name": name, "labels": {"host": host}, "timestamp": NOW / 1000, "value": value})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// A length-delimited protobuf field; fields below 16 and parts below 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128, "one length byte");
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn write_request(name: &str, value: f64, time: i64) -> Vec<u8> {
    let label = |name: &str, value: &str| {
        field(
            1,
            &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    let mut left = time as u64;
    while left >= 0x80 {
        sample.push(left as u8 | 0x80);
        left >>= 7;
    }
    sample.push(left as u8);
    let series = [
        label("__name__", name),
        label("host", "a"),
        field(2, &sample),
    ]
    .concat();
    snap::raw::Encoder::new()
        .compress_vec(&field(1, &series))
        .expect("small")
}

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

#[tokio::test]
async fn encodings_and_tenants_are_understood() {
    let house = house().await;
    let body = |host: &str| serde_json::to_vec(&sample("m", host, 1.0)).expect("JSON");
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&body("deflate")).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let packed = [
        ("gzip", gzip(&body("gzip"))),
        (
            "zstd",
            zstd::encode_all(&*body("zstd"), 1).expect("in memory"),
        ),
        (
            "snappy",
            snap::raw::Encoder::new()
                .compress_vec(&body("snappy"))
                .expect("in memory"),
        ),
        ("deflate", zlib),
        ("identity", body("identity")),
    ];
    for (encoding, bytes) in packed {
        let header = if encoding == "gzip" {
            "X-Scope-OrgID"
        } else {
            "tenant"
        };
        let request = house
            .post("/api/v1/metrics")
            .header("content-encoding", encoding)
            .header(header, "acme")
            .body(bytes);
        let (status, told) = answer(request).await;
        assert_eq!(
            (status, &told["accepted"]),
            (StatusCode::ACCEPTED, &json!(1)),
            "{encoding} {told}"
        );
    }
    let rows = house.rows();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.tenant == "acme"), "{rows:?}");
    let brotli = house
        .post("/api/v1/metrics")
        .header("content-encoding", "br")
        .body("x");
    assert_eq!(answer(brotli).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let nobody = house
        .post("/api/v1/metrics")
        .header("tenant", " ")
        .body_json(&json!([]));
    let (status, told) = answer(nobody).await;
    assert_eq!(
        (status, &told["rejected"]),
        (StatusCode::BAD_REQUEST, &json!(0)),
        "nothing was looked at: {told}"
    );
}

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

#[tokio::test]
async fn remote_write_is_204_and_what_must_not_come_again_400() {
    let house = house().await;
    let post = |kind: &'static str, body: Vec<u8>| {
        house
            .post("/api/v1/write")
            .header("content-type", kind)
            .body(body)
    };
    let v1 = "application/x-protobuf";
    let good = post(v1, write_request("up", 1.0, NOW)).header("content-encoding", "snappy");
    assert_eq!(answer(good).await.0, StatusCode::NO_CONTENT);
    let plain = post(v1, write_request("up", 2.0, NOW + 1));
    assert_eq!(answer(plain).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        answer(post(v1, b"nonsense".to_vec())).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        answer(post(v1, write_request("", 2.0, NOW))).await.0,
        StatusCode::BAD_REQUEST
    );
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let refused = answer(post(v2, write_request("up", 1.0, NOW))).await;
    assert_eq!(refused.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = answer(post("text/plain", write_request("up", 1.0, NOW))).await;
    assert_eq!(text.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(house.series(), [r#"default:up{"host": "a"}"#; 2]);
}

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

fn otlp(temporality: u8) -> Value {
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

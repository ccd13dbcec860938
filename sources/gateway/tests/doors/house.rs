//! A gateway over real HTTP, before a Kafka cluster made up by librdkafka.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
use tidegauge_gateway::{Gateway, GatewaySettings, router};
use tidegauge_model::{Limits, Partition};

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const NOW: i64 = 1_700_000_000_000;

/// A body as JSON; reqwest's own way is behind a feature that nothing else needs.
pub(crate) trait JsonBody {
    fn body_json(self, body: &impl serde::Serialize) -> Self;
}

impl JsonBody for RequestBuilder {
    fn body_json(self, body: &impl serde::Serialize) -> Self {
        self.header("content-type", "application/json")
            .body(serde_json::to_string(body).expect("plain data"))
    }
}

pub(crate) struct House {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) gateway: Gateway,
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// A sample as a consumer of the topic sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) tenant: String,
    pub(crate) series: String,
    pub(crate) time: i64,
    pub(crate) value: String,
    pub(crate) delta: bool,
    pub(crate) partition: i32,
}

pub(crate) async fn house() -> House {
    house_with(GatewaySettings::default()).await
}

pub(crate) async fn house_with(settings: GatewaySettings) -> House {
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

pub(crate) async fn serve(brokers: &str, settings: GatewaySettings) -> (Gateway, String) {
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
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// All that lies in the topic, sorted.
    pub(crate) fn rows(&self) -> Vec<Row> {
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

    pub(crate) fn series(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.series).collect()
    }
}

pub(crate) fn read(message: &impl Message) -> Vec<Row> {
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

pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

pub(crate) fn sample(name: &str, host: &str, value: f64) -> Value {
    json!({"name": name, "labels": {"host": host}, "timestamp": NOW / 1000, "value": value})
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

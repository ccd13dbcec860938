//! Requests to the program and to the peer.

use reqwest::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

/// A client that is waited for.
pub(crate) struct Http<'a> {
    runtime: &'a Runtime,
    client: Client,
    base: String,
}

impl<'a> Http<'a> {
    pub(crate) fn new(runtime: &'a Runtime, address: std::net::SocketAddr) -> Self {
        Self {
            runtime,
            client: Client::new(),
            base: format!("http://{address}"),
        }
    }

    /// The text at `path`, if it is answered well.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        self.runtime.block_on(async {
            let answer = self.client.get(format!("{}{path}", self.base)).send().await;
            let answer = answer.ok()?.error_for_status().ok()?;
            answer.text().await.ok()
        })
    }

    /// The JSON at `path`, if it is answered well.
    pub(crate) fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(path)?).ok()
    }

    /// The first value of the first row that `query` answers.
    pub(crate) fn sql(&self, query: &str) -> Option<Value> {
        self.runtime.block_on(async {
            let url = format!("{}/api/v1/sql", self.base);
            let answer = self.client.post(url).body(query.to_owned()).send().await;
            let text = answer.ok()?.error_for_status().ok()?.text().await.ok()?;
            let rows: Value = serde_json::from_str(&text).ok()?;
            rows.get(0)?.as_object()?.values().next().cloned()
        })
    }

    /// Sends a remote-write request.
    pub(crate) fn write(&self, body: Vec<u8>) {
        let sent = self.runtime.block_on(async {
            let url = format!("{}/api/v1/write", self.base);
            let request = self.client.post(url).body(body);
            let request = request
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0");
            request.send().await?.error_for_status()
        });
        sent.unwrap_or_else(|error| panic!("remote write to {}: {error}", self.base));
    }
}

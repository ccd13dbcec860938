//! Values of the right kind that can't work, each with its key and what would do.

use tidegauge_agent::SettingsError;
use tidegauge_decode::Relabel;
use tidegauge_kafka::{SourceError, TopicSettings};
use tidegauge_lake::Profile;
use tracing_subscriber::EnvFilter;

use super::Config;
use super::load::Fault;

/// Collects faults.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault {
            key: key.into(),
            message: message.into(),
        });
    }

    /// Adds a fault unless the value lies within bounds, both included.
    fn within<N: PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        value: N,
        least: N,
        most: N,
    ) {
        if value < least || value > most {
            self.add(key, format!("{value} can't be; give {least} to {most}"));
        }
    }
}

impl Config {
    /// Everything that can be known to be impossible without touching disk or network.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        self.own(&mut faults);
        self.kafka(&mut faults);
        self.broker(&mut faults);
        self.gateway(&mut faults);
        self.agent(&mut faults);
        self.stream(&mut faults);
        self.cluster(&mut faults);
        self.lake(&mut faults);
        self.sql(&mut faults);
        faults.0
    }

    fn own(&self, faults: &mut Faults) {
        if self.data.as_os_str().is_empty() {
            faults.add("data", "an empty path; name a directory");
        }
        if let Err(error) = EnvFilter::builder().parse(&self.log) {
            faults.add(
                "log",
                format!("{error}; give error, warn, info, debug, trace or target=level,…"),
            );
        }
    }

    fn kafka(&self, faults: &mut Faults) {
        let before = faults.0.len();
        for (index, broker) in self.kafka.brokers.iter().enumerate() {
            host_port(faults, &format!("kafka.brokers[{index}]"), broker);
        }
        for (index, topic) in self.kafka.topics.iter().enumerate() {
            topic_faults(faults, &format!("kafka.topics[{index}]"), topic);
        }
        let limits = &self.kafka.limits;
        faults.within(
            "kafka.limits.labels_per_series",
            limits.labels_per_series,
            1,
            1024,
        );
        faults.within("kafka.limits.name_bytes", limits.name_bytes, 1, 1 << 16);
        faults.within("kafka.limits.value_bytes", limits.value_bytes, 1, 1 << 20);
        faults.within(
            "kafka.limits.record_bytes",
            limits.record_bytes,
            1 << 10,
            1 << 30,
        );
        faults.within(
            "kafka.request_timeout_ms",
            self.kafka.request_timeout_ms,
            10,
            600_000,
        );
        if faults.0.len() > before {
            return;
        }
        let mut settings = self.kafka.clone();
        if self.embeds_broker() {
            settings.brokers = vec!["embedded:9092".into()];
        }
        match settings.check() {
            Ok(()) => {}
            Err(SourceError::Setting { setting, reason }) => {
                faults.add(format!("kafka.{setting}"), reason);
            }
            Err(SourceError::Property { key, reason }) => {
                faults.add(format!("kafka.librdkafka.{key}"), reason);
            }
            Err(error) => faults.add("kafka", error.to_string()),
        }
    }

    fn broker(&self, faults: &mut Faults) {
        let broker = &self.broker;
        faults.within(
            "broker.default_partitions",
            broker.default_partitions,
            1,
            4096,
        );
        for (topic, &partitions) in &broker.topic_partitions {
            faults.within(
                &format!("broker.topic_partitions.{topic}"),
                partitions,
                1,
                4096,
            );
        }
        faults.within("broker.retention_ms", broker.retention_ms, -1, i64::MAX);
        faults.within(
            "broker.retention_bytes",
            broker.retention_bytes,
            -1,
            i64::MAX,
        );
        faults.within(
            "broker.segment_bytes",
            broker.segment_bytes,
            1 << 14,
            1 << 30,
        );
        faults.within("broker.segment_ms", broker.segment_ms, 1, i64::MAX);
        faults.within(
            "broker.max_request_bytes",
            broker.max_request_bytes,
            1 << 12,
            1 << 30,
        );
        let most = broker.max_request_bytes;
        faults.within(
            "broker.max_message_bytes",
            broker.max_message_bytes,
            1 << 10,
            most,
        );
        faults.within(
            "broker.max_connections",
            broker.max_connections,
            1,
            1_000_000,
        );
        faults.within(
            "broker.connection_idle_ms",
            broker.connection_idle_ms,
            1,
            u64::MAX,
        );
        faults.within(
            "broker.upkeep_interval_ms",
            broker.upkeep_interval_ms,
            1,
            86_400_000,
        );
        if self.broker.listen == self.http.listen && self.http.listen.port() != 0 {
            faults.add(
                "broker.listen",
                format!("{} is http.listen too; give another port", broker.listen),
            );
        }
    }

    fn gateway(&self, faults: &mut Faults) {
        let gateway = &self.gateway;
        if gateway.topic.is_empty() {
            faults.add(
                "gateway.topic",
                "an empty topic; give a name such as \"metrics\"",
            );
        }
        if gateway.tenant.is_empty() {
            faults.add(
                "gateway.tenant",
                "an empty tenant; give a name such as \"default\"",
            );
        }
        faults.within(
            "gateway.record_bytes",
            gateway.record_bytes,
            16 << 10,
            1 << 30,
        );
        faults.within("gateway.body_bytes", gateway.body_bytes, 1, 1 << 30);
        faults.within("gateway.body_idle_ms", gateway.body_idle_ms, 1, 600_000);
        faults.within(
            "gateway.inflight_bytes",
            gateway.inflight_bytes,
            gateway.body_bytes,
            1 << 40,
        );
        faults.within("gateway.decoders", gateway.decoders, 1, 1024);
        faults.within(
            "gateway.delivery_timeout_ms",
            gateway.delivery_timeout_ms,
            1,
            600_000,
        );
    }

    fn agent(&self, faults: &mut Faults) {
        match self.agent.check() {
            Ok(()) => {}
            Err(error) => {
                let key = match &error {
                    SettingsError::Destination { .. } => "to",
                    SettingsError::Collector { .. } => "collectors",
                    SettingsError::TooSmall { key, .. } => *key,
                };
                faults.add(format!("agent.{key}"), error.to_string());
            }
        }
    }

    fn stream(&self, faults: &mut Faults) {
        let stream = &self.stream;
        faults.within("stream.epoch_ms", stream.epoch_ms, 10, 60_000);
        faults.within(
            "stream.commit_interval_ms",
            stream.commit_interval_ms,
            100,
            600_000,
        );
        if stream.commit_interval_ms < stream.epoch_ms {
            let epoch = stream.epoch_ms;
            faults.add(
                "stream.commit_interval_ms",
                format!("less than an epoch; give {epoch} or more"),
            );
        }
        faults.within("stream.commit_bytes", stream.commit_bytes, 1 << 16, 1 << 34);
        faults.within("stream.future_ms", stream.future_ms, 0, 365 * 86_400_000);
        faults.within(
            "stream.blocked_after_ms",
            stream.blocked_after_ms,
            1_000,
            86_400_000,
        );
        faults.within(
            "stream.silence_ms",
            stream.silence_ms,
            60_000,
            365 * 86_400_000,
        );
        faults.within(
            "stream.open_window_bytes",
            stream.open_window_bytes,
            1 << 20,
            1 << 44,
        );
        if stream.in_flight_bytes < stream.commit_bytes {
            let least = stream.commit_bytes;
            faults.add(
                "stream.in_flight_bytes",
                format!("less than one commit; give {least} or more"),
            );
        }
    }

    fn cluster(&self, faults: &mut Faults) {
        let cluster = &self.cluster;
        faults.within("cluster.workers", cluster.workers, 1, 256);
        for (index, host) in cluster.hosts.iter().enumerate() {
            host_port(faults, &format!("cluster.hosts[{index}]"), host);
        }
        let processes = cluster.hosts.len().max(1);
        faults.within("cluster.process", cluster.process, 0, processes - 1);
        if processes > 1 && self.embeds_broker() {
            faults.add(
                "kafka.brokers",
                "empty, and each process of a cluster would have a broker of its own; name one that all can reach",
            );
        }
    }

    fn lake(&self, faults: &mut Faults) {
        let store = &self.store;
        let known = ["file", "s3"];
        if let Some((scheme, rest)) = store.url.split_once("://") {
            if !known.contains(&scheme) {
                faults.add("store.url", format!("`{scheme}` is not a kind of store; give file:///folder or s3://bucket/prefix"));
            } else if scheme == "s3" && rest.trim_start_matches('/').len() < rest.len().max(1) {
                faults.add("store.url", "it names no bucket; give s3://bucket/prefix");
            } else if scheme == "file" && !rest.starts_with('/') {
                faults.add(
                    "store.url",
                    "not an absolute folder; give file:///folder, or a plain path",
                );
            }
        }
        if let Some(endpoint) = &store.endpoint {
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                faults.add("store.endpoint", "not an address; give https://host:port");
            } else if endpoint.starts_with("http://") && !store.allow_http {
                faults.add(
                    "store.endpoint",
                    "http:// is open to eavesdropping; use https:// or set store.allow_http = true",
                );
            }
        }
        faults.within(
            "store.connect_timeout_ms",
            store.connect_timeout_ms,
            1,
            600_000,
        );
        faults.within(
            "store.retry.attempt_timeout_ms",
            store.retry.attempt_timeout_ms,
            1,
            3_600_000,
        );
        faults.within("lake_log.state_every", self.lake_log.state_every, 1, 10_000);
        faults.within(
            "lake_log.checkpoint_every",
            self.lake_log.checkpoint_every,
            1,
            10_000,
        );
        faults.within(
            "lake_log.log_grace_ms",
            self.lake_log.log_grace_ms,
            0,
            30 * 86_400_000,
        );
        let kept = &self.upkeep.retention;
        for (key, kept_ms) in [
            ("raw_ms", kept.raw_ms),
            ("m1_ms", kept.m1_ms),
            ("m5_ms", kept.m5_ms),
            ("h1_ms", kept.h1_ms),
        ] {
            faults.within(
                &format!("upkeep.retention.{key}"),
                kept_ms,
                60_000,
                i64::MAX,
            );
        }
        for (index, rule) in self.upkeep.retention.rules.iter().enumerate() {
            for (key, kept_ms) in [
                ("raw_ms", rule.raw_ms),
                ("m1_ms", rule.m1_ms),
                ("m5_ms", rule.m5_ms),
                ("h1_ms", rule.h1_ms),
            ] {
                let key = format!("upkeep.retention.rules[{index}].{key}");
                faults.within(&key, kept_ms.unwrap_or(60_000), 60_000, i64::MAX);
            }
            if let Err(error) = rule.pattern() {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or("no regular expression");
                faults.add(format!("upkeep.retention.rules[{index}].metric"), reason);
            }
        }
        profile(faults, "encode.commit", &self.encode.commit);
        profile(faults, "encode.compaction", &self.encode.compaction);
    }

    fn sql(&self, faults: &mut Faults) {
        let sql = &self.sql;
        faults.within("sql.concurrent", sql.concurrent, 1, 10_000);
        faults.within("sql.timeout_ms", sql.timeout_ms, 1, 86_400_000);
        faults.within("sql.max_rows", sql.max_rows, 1, u64::MAX);
        faults.within("sql.memory_bytes", sql.memory_bytes, 1 << 20, usize::MAX);
        if sql.tenant.is_empty() {
            faults.add(
                "sql.tenant",
                "an empty tenant; give a name such as \"default\"",
            );
        }
    }
}

fn profile(faults: &mut Faults, key: &str, profile: &Profile) {
    faults.within(&format!("{key}.zstd_level"), profile.zstd_level, 1, 22);
    faults.within(&format!("{key}.page_rows"), profile.page_rows, 100, 1 << 24);
    faults.within(
        &format!("{key}.time_page_rows"),
        profile.time_page_rows,
        100,
        1 << 24,
    );
    let least = profile.page_rows.min(1 << 24);
    faults.within(
        &format!("{key}.row_group_rows"),
        profile.row_group_rows,
        least,
        1 << 26,
    );
}

fn topic_faults(faults: &mut Faults, key: &str, topic: &TopicSettings) {
    match (&topic.name, &topic.regex) {
        (Some(_), Some(_)) => faults.add(
            format!("{key}.regex"),
            "name and regex exclude each other; leave one",
        ),
        (None, None) => faults.add(key, "a topic needs `name` or `regex`"),
        (Some(name), None) if name.is_empty() => faults.add(format!("{key}.name"), "an empty name"),
        (Some(_), None) => {}
        (None, Some(regex)) => {
            if let Err(error) = regex::Regex::new(regex) {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default();
                faults.add(format!("{key}.regex"), last.trim_start_matches("error: "));
            }
        }
    }
    if topic.tenant.is_empty() {
        faults.add(
            format!("{key}.tenant"),
            "an empty tenant; give a name such as \"default\"",
        );
    }
    faults.within(
        &format!("{key}.lateness_ms"),
        topic.lateness_ms,
        0,
        86_400_000,
    );
    for (index, rule) in topic.relabel.iter().enumerate() {
        if let Err(error) = Relabel::new(std::slice::from_ref(rule)) {
            let error = error.to_string();
            let reason = error.trim_start_matches("relabel rule 1: ");
            let reason = reason
                .lines()
                .last()
                .unwrap_or(reason)
                .trim_start_matches("error: ");
            faults.add(format!("{key}.relabel[{index}]"), reason);
        }
    }
}

fn host_port(faults: &mut Faults, key: &str, text: &str) {
    let parts = text.rsplit_once(':').filter(|(host, port)| {
        !host.is_empty() && !host.contains("://") && port.parse::<u16>().is_ok()
    });
    if parts.is_none() {
        faults.add(
            key,
            format!("{:?} is not `host:port`", super::mask_url(text)),
        );
    }
}

//! The same samples in each wire format, by encoders that share nothing with the decoders.

use std::fmt::Write;

use prost::Message;

/// One sample with its series' name and labels.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) time: i64,
    pub(crate) value: f64,
}

/// Messages of Prometheus remote write 1.0.
pub(crate) mod prometheus {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub(crate) timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) metadata: Vec<MetricMetadata>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub(crate) labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) histograms: Vec<Histogram>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub(crate) value: f64,
        #[prost(int64, tag = "2")]
        pub(crate) timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Exemplar {
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Histogram {
        #[prost(double, tag = "3")]
        pub(crate) sum: f64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct MetricMetadata {
        #[prost(uint32, tag = "1")]
        pub(crate) metric_type: u32,
        #[prost(string, tag = "2")]
        pub(crate) metric_family_name: String,
        #[prost(string, tag = "4")]
        pub(crate) help: String,
        #[prost(string, tag = "5")]
        pub(crate) unit: String,
    }
}

/// Messages of OTLP metrics.
pub(crate) mod otlp {
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(crate) resource_metrics: Vec<ResourceMetrics>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        pub(crate) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) scope_metrics: Vec<ScopeMetrics>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(crate) attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(crate) key: String,
        #[prost(message, optional, tag = "2")]
        pub(crate) value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
        pub(crate) value: Option<Any>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(crate) enum Any {
        #[prost(string, tag = "1")]
        String(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        Array(Values),
        #[prost(message, tag = "6")]
        Map(Resource),
        #[prost(bytes, tag = "7")]
        Bytes(Vec<u8>),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Values {
        #[prost(message, repeated, tag = "1")]
        pub(crate) values: Vec<AnyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct ScopeMetrics {
        #[prost(message, repeated, tag = "2")]
        pub(crate) metrics: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Metric {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) description: String,
        #[prost(string, tag = "3")]
        pub(crate) unit: String,
        #[prost(oneof = "Data", tags = "5, 7, 9, 10, 11")]
        pub(crate) data: Option<Data>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(crate) enum Data {
        #[prost(message, tag = "5")]
        Gauge(Numbers),
        #[prost(message, tag = "7")]
        Sum(Numbers),
        #[prost(message, tag = "9")]
        Histogram(Histogram),
        #[prost(message, tag = "10")]
        Exponential(Exponential),
        #[prost(message, tag = "11")]
        Summary(Summary),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Numbers {
        #[prost(message, repeated, tag = "1")]
        pub(crate) points: Vec<Number>,
        #[prost(int32, tag = "2")]
        pub(crate) temporality: i32,
        #[prost(bool, tag = "3")]
        pub(crate) monotonic: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Number {
        #[prost(fixed64, tag = "2")]
        pub(crate) start: u64,
        #[prost(fixed64, tag = "3")]
        pub(crate) time: u64,
        #[prost(double, optional, tag = "4")]
        pub(crate) double: Option<f64>,
        #[prost(sfixed64, optional, tag = "6")]
        pub(crate) int: Option<i64>,
        #[prost(message, repeated, tag = "7")]
        pub(crate) attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "8")]
        pub(crate) flags: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Histogram {
        #[prost(message, repeated, tag = "1")]
        pub(crate) points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")]
        pub(crate) temporality: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct HistogramPoint {
        #[prost(fixed64, tag = "3")]
        pub(crate) time: u64,
        #[prost(fixed64, tag = "4")]
        pub(crate) count: u64,
        #[prost(double, optional, tag = "5")]
        pub(crate) sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")]
        pub(crate) counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")]
        pub(crate) bounds: Vec<f64>,
        #[prost(message, repeated, tag = "9")]
        pub(crate) attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "10")]
        pub(crate) flags: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Exponential {
        #[prost(message, repeated, tag = "1")]
        pub(crate) points: Vec<ExponentialPoint>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct ExponentialPoint {
        #[prost(message, repeated, tag = "1")]
        pub(crate) attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")]
        pub(crate) time: u64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Summary {
        #[prost(message, repeated, tag = "1")]
        pub(crate) points: Vec<SummaryPoint>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct SummaryPoint {
        #[prost(fixed64, tag = "3")]
        pub(crate) time: u64,
        #[prost(fixed64, tag = "4")]
        pub(crate) count: u64,
        #[prost(double, tag = "5")]
        pub(crate) sum: f64,
        #[prost(message, repeated, tag = "6")]
        pub(crate) quantiles: Vec<Quantile>,
        #[prost(message, repeated, tag = "7")]
        pub(crate) attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "8")]
        pub(crate) flags: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Quantile {
        #[prost(double, tag = "1")]
        pub(crate) quantile: f64,
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
    }

    pub(crate) fn text(key: &str, value: &str) -> KeyValue {
        attribute(key, Any::String(value.into()))
    }

    pub(crate) fn attribute(key: &str, value: Any) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }

    /// A request of one resource with these metrics.
    pub(crate) fn request(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> Vec<u8> {
        let resource = Some(Resource {
            attributes: resource,
        });
        let scope_metrics = vec![ScopeMetrics { metrics }];
        let resource_metrics = vec![ResourceMetrics {
            resource,
            scope_metrics,
        }];
        Request { resource_metrics }.encode_to_vec()
    }
}

/// One object.
pub(crate) fn json(row: &Row) -> String {
    let labels: Vec<String> = row
        .labels
        .iter()
        .map(|(name, value)| format!("{name:?}:{value:?}"))
        .collect();
    let value = match row.value {
        value if value.is_nan() => "\"NaN\"".into(),
        f64::INFINITY => "\"+Inf\"".into(),
        f64::NEG_INFINITY => "\"-Inf\"".into(),
        value => format!("{value:?}"),
    };
    format!(
        "{{\"name\":{:?},\"labels\":{{{}}},\"timestamp\":{},\"value\":{value}}}",
        row.name,
        labels.join(","),
        row.time,
    )
}

/// One object a line.
pub(crate) fn json_lines(rows: &[Row]) -> Vec<u8> {
    rows.iter()
        .flat_map(|row| (json(row) + "\n").into_bytes())
        .collect()
}

/// A line for each run of samples with one measurement, label set and time; the name up to its
/// last underscore is the measurement.
pub(crate) fn influx(rows: &[Row]) -> Vec<u8> {
    let parts = |row: &Row| {
        let (measurement, field) = row.name.rsplit_once('_').expect("a name of two parts");
        let mut head = measurement.to_owned();
        for (name, value) in &row.labels {
            let [name, value] = [name, value].map(|text| escape(text));
            if !value.is_empty() {
                _ = write!(head, ",{name}={value}");
            }
        }
        (head, field.to_owned())
    };
    let mut out = String::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let (head, _) = parts(first);
        let same = |row: &&Row| parts(row).0 == head && row.time == first.time;
        let run = rest.iter().take_while(same).count();
        let fields: Vec<String> = rest[..run]
            .iter()
            .map(|row| format!("{}={:?}", parts(row).1, row.value))
            .collect();
        _ = writeln!(
            out,
            "{head} {} {}",
            fields.join(","),
            i128::from(first.time) * 1_000_000
        );
        rest = &rest[run..];
    }
    out.into_bytes()
}

fn escape(text: &str) -> String {
    text.replace(',', "\\,")
        .replace('=', "\\=")
        .replace(' ', "\\ ")
}

/// The protobuf of a request; runs of one series' samples go together.
pub(crate) fn write_request(rows: &[Row]) -> Vec<u8> {
    let mut request = prometheus::WriteRequest::default();
    for row in rows {
        let mut labels = vec![prometheus::Label {
            name: "__name__".into(),
            value: row.name.clone(),
        }];
        for (name, value) in &row.labels {
            labels.push(prometheus::Label {
                name: name.clone(),
                value: value.clone(),
            });
        }
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let sample = prometheus::Sample {
            value: row.value,
            timestamp: row.time,
        };
        match request.timeseries.last_mut() {
            Some(last) if last.labels == labels => last.samples.push(sample),
            _ => request.timeseries.push(prometheus::TimeSeries {
                labels,
                samples: vec![sample],
                ..Default::default()
            }),
        }
    }
    request.encode_to_vec()
}

pub(crate) fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(bytes)
        .expect("small enough")
}

/// A request of gauges; runs of one name go together.
pub(crate) fn otlp_gauges(rows: &[Row]) -> Vec<u8> {
    let mut metrics: Vec<otlp::Metric> = Vec::new();
    for row in rows {
        let attributes = row
            .labels
            .iter()
            .map(|(name, value)| otlp::text(name, value))
            .collect();
        let point = otlp::Number {
            time: u64::try_from(row.time * 1_000_000).expect("after 1970"),
            double: Some(row.value),
            attributes,
            ..Default::default()
        };
        match metrics.last_mut() {
            Some(otlp::Metric {
                name,
                data: Some(otlp::Data::Gauge(gauge)),
                ..
            }) if *name == row.name => {
                gauge.points.push(point);
            }
            _ => metrics.push(otlp::Metric {
                name: row.name.clone(),
                data: Some(otlp::Data::Gauge(otlp::Numbers {
                    points: vec![point],
                    ..Default::default()
                })),
                ..Default::default()
            }),
        }
    }
    otlp::request(Vec::new(), metrics)
}

//! OTLP, by table.

mod common;

use common::encode::otlp::{
    Any, AnyValue, Data, Exponential, ExponentialPoint, Histogram, HistogramPoint, KeyValue,
    Metric, Number, Numbers, Quantile, Resource, Summary, SummaryPoint, Values, attribute, request,
    text,
};
use common::{decode, decoder, definitions, in_time, one, record, rows};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_decode::{Decoded, Format};
use tidegauge_model::{MetricType, RejectReason as R, is_stale};

const NS: u64 = 1_000_000;

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        description: "help".into(),
        data: Some(data),
    }
}

fn number(double: f64, attributes: Vec<KeyValue>) -> Number {
    Number {
        time: 5 * NS,
        double: Some(double),
        attributes,
        ..Number::default()
    }
}

fn gauge(points: Vec<Number>) -> Data {
    Data::Gauge(Numbers {
        points,
        ..Numbers::default()
    })
}

fn sum(temporality: i32, monotonic: bool, points: Vec<Number>) -> Data {
    Data::Sum(Numbers {
        points,
        temporality,
        monotonic,
    })
}

/// Decodes twice with one decoder; both must bring the same.
fn twice(body: &[u8]) -> Decoded {
    for format in [Format::Otlp, Format::Auto] {
        let out = decode(format, &[record(body), record(body)]);
        let rows = rows(&out);
        assert_eq!(rows[..rows.len() / 2], rows[rows.len() / 2..]);
    }
    decode(Format::Otlp, &[record(body)])
}

fn check(resource: Vec<KeyValue>, metrics: Vec<Metric>, expected: &[&str]) -> Decoded {
    let body = request(resource, metrics);
    let out = twice(&body);
    assert_eq!(one(Format::Otlp, &body).0, expected);
    out
}

#[test]
fn gauges_and_sums_with_their_suffixes_and_types() {
    let int = Number {
        int: Some(-7),
        double: None,
        ..number(0.0, vec![])
    };
    let out = check(
        vec![],
        vec![
            metric(
                "cpu.utilization",
                "1",
                gauge(vec![number(0.5, vec![text("cpu.id", "0")])]),
            ),
            metric(
                "http.requests",
                "{request}",
                sum(2, true, vec![number(3.0, vec![])]),
            ),
            metric("sent", "By", sum(1, true, vec![number(4.0, vec![])])),
            metric("queue.length", "1", sum(2, false, vec![int])),
        ],
        &[
            "cpu_utilization_ratio{cpu_id=\"0\"} @5 0.5",
            "http_requests_total{} @5 3",
            "sent_bytes_total{} @5 4",
            "queue_length{} @5 -7",
        ],
    );
    let told: Vec<_> = out
        .definitions
        .iter()
        .map(|d| {
            (
                d.delta,
                d.metadata.metric_type,
                d.metadata.unit.as_str(),
                d.metadata.help.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (false, MetricType::Gauge, "", "help"),
            (false, MetricType::Counter, "", "help"),
            (true, MetricType::Counter, "bytes", "help"),
            (false, MetricType::Gauge, "", "help"),
        ],
    );
}

#[test]
fn resources_become_job_instance_and_target_info() {
    let resource = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
        text("host.name", "web-01"),
    ];
    check(
        resource,
        vec![metric(
            "load",
            "",
            gauge(vec![number(1.0, vec![text("job", "mine"), text("a", "b")])]),
        )],
        &[
            "load{a=\"b\",instance=\"i-1\",job=\"eu/shop\"} @5 1",
            "target_info{host_name=\"web-01\",instance=\"i-1\",job=\"eu/shop\"} @5 1",
        ],
    );
    check(
        vec![text("service.name", "shop")],
        vec![metric("load", "", gauge(vec![number(1.0, vec![])]))],
        &["load{job=\"shop\"} @5 1"],
    );
    check(
        vec![text("host.name", "web-01")],
        vec![metric("load", "", gauge(vec![number(1.0, vec![])]))],
        &["load{} @5 1"],
    );
}

#[test]
fn histograms_become_buckets_sum_and_count() {
    let point = HistogramPoint {
        time: 5 * NS,
        count: 10,
        sum: Some(12.5),
        counts: vec![1, 2, 7],
        bounds: vec![0.005, 5.0],
        ..HistogramPoint::default()
    };
    let gone = HistogramPoint {
        flags: 1,
        ..point.clone()
    };
    let histogram = |temporality, points| {
        Data::Histogram(Histogram {
            points,
            temporality,
        })
    };
    for temporality in [1, 2] {
        let out = check(
            vec![],
            vec![metric(
                "lag",
                "s",
                histogram(temporality, vec![point.clone()]),
            )],
            &[
                "lag_seconds_bucket{le=\"0.005\"} @5 1",
                "lag_seconds_bucket{le=\"5\"} @5 3",
                "lag_seconds_bucket{le=\"+Inf\"} @5 10",
                "lag_seconds_sum{} @5 12.5",
                "lag_seconds_count{} @5 10",
            ],
        );
        for definition in &out.definitions {
            assert_eq!(definition.delta, temporality == 1);
            assert_eq!(definition.metadata.metric_type, MetricType::Histogram);
        }
    }
    let out = decode(
        Format::Otlp,
        &[record(&request(
            vec![],
            vec![metric("lag", "s", histogram(2, vec![gone]))],
        ))],
    );
    assert_eq!(out.samples.len(), 5);
    assert!(out.samples.value.iter().copied().all(is_stale));
    let bare = HistogramPoint {
        counts: vec![],
        bounds: vec![],
        sum: None,
        ..point
    };
    check(
        vec![],
        vec![metric("lag", "", histogram(2, vec![bare]))],
        &["lag_bucket{le=\"+Inf\"} @5 10", "lag_count{} @5 10"],
    );
}

#[test]
fn summaries_become_quantiles_sum_and_count() {
    let point = SummaryPoint {
        time: 5 * NS,
        count: 4,
        sum: 9.0,
        quantiles: vec![
            Quantile {
                quantile: 0.5,
                value: 2.0,
            },
            Quantile {
                quantile: 1.0,
                value: 3.0,
            },
        ],
        attributes: vec![text("x", "y")],
        flags: 0,
    };
    check(
        vec![],
        vec![metric(
            "lag",
            "ms",
            Data::Summary(Summary {
                points: vec![point],
            }),
        )],
        &[
            "lag_milliseconds{quantile=\"0.5\",x=\"y\"} @5 2",
            "lag_milliseconds{quantile=\"1\",x=\"y\"} @5 3",
            "lag_milliseconds_sum{x=\"y\"} @5 9",
            "lag_milliseconds_count{x=\"y\"} @5 4",
        ],
    );
}

#[test]
fn attributes_of_every_kind_become_text() {
    let value = |any| AnyValue { value: Some(any) };
    let map = Any::Map(Resource {
        attributes: vec![text("k", "v\""), attribute("i", Any::Int(1))],
    });
    let list = Values {
        values: vec![
            value(Any::Int(1)),
            value(Any::String("x".into())),
            value(map),
        ],
    };
    let attributes = vec![
        attribute("list", Any::Array(list)),
        attribute("flag", Any::Bool(true)),
        attribute("int", Any::Int(-5)),
        attribute("double", Any::Double(1.5e-9)),
        attribute("bytes", Any::Bytes(b"hell".to_vec())),
        text("a.b", "second"),
        text("a-b", "first"),
        text("1st", "digit"),
        text("empty", ""),
    ];
    check(
        vec![],
        vec![metric("m", "", gauge(vec![number(1.0, attributes)]))],
        &[
            "m{a_b=\"first;second\",bytes=\"aGVsbA==\",double=\"1.5e-9\",flag=\"true\",int=\"-5\",key_1st=\"digit\",list=\"[1,\\\"x\\\",{\\\"i\\\":1,\\\"k\\\":\\\"v\\\\\\\"\\\"}]\"} @5 1",
        ],
    );
}

#[test]
fn a_bad_point_leaves_its_neighbours() {
    let ok = || number(1.0, vec![text("n", "1")]);
    let twice_named = number(1.0, vec![text("x", "1"), text("x", "2")]);
    let empty = Number {
        double: None,
        ..ok()
    };
    let uneven = HistogramPoint {
        counts: vec![1],
        bounds: vec![1.0, 2.0],
        ..HistogramPoint::default()
    };
    for (bad, reason) in [
        (metric("m", "", gauge(vec![twice_named])), R::DuplicateLabel),
        (metric("m", "", gauge(vec![empty])), R::BadValue),
        (metric("...", "", gauge(vec![ok()])), R::BadName),
        (
            metric("m", "", gauge(vec![number(1.0, vec![text("", "x")])])),
            R::BadLabel,
        ),
        (metric("m", "", sum(0, true, vec![ok()])), R::BadValue),
        (
            metric(
                "m",
                "",
                Data::Histogram(Histogram {
                    points: vec![uneven],
                    temporality: 2,
                }),
            ),
            R::BadValue,
        ),
        (
            metric(
                "m",
                "",
                Data::Exponential(Exponential {
                    points: vec![ExponentialPoint::default()],
                }),
            ),
            R::NativeHistogram,
        ),
    ] {
        let good = || metric("ok", "", gauge(vec![ok()]));
        let body = request(vec![], vec![good(), bad, good()]);
        let (lines, rejects) = one(Format::Otlp, &body);
        assert_eq!(lines, ["ok{n=\"1\"} @5 1"; 2]);
        assert_eq!(rejects, [(reason, Some(1))]);
    }
}

#[test]
fn no_recorded_value_is_a_stale_marker_and_no_time_the_records() {
    let gone = Number {
        double: None,
        flags: 1,
        ..number(0.0, vec![])
    };
    let timeless = Number {
        time: 0,
        ..number(1.0, vec![])
    };
    let out = twice(&request(
        vec![],
        vec![metric("m", "", gauge(vec![gone, timeless]))],
    ));
    assert!(is_stale(out.samples.value[0]));
    assert_eq!(out.samples.time[1], 1_000_000);
}

#[test]
fn json_means_what_protobuf_means() {
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"shop"}},{"key":"n","value":{"intValue":"12"}}]},
      "scopeMetrics":[{"scope":{"name":"s"},"metrics":[
        {"name":"load","unit":"1","description":"d","gauge":{"dataPoints":[
          {"timeUnixNano":"5000000","asDouble":0.5,"attributes":[{"key":"a","value":{"boolValue":true}}]},
          {"timeUnixNano":6000000,"asInt":"7"},{"timeUnixNano":"7000000","asDouble":"NaN"},
          {"timeUnixNano":"8000000","asDouble":"high"}]}},
        {"name":"sent","unit":"By","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[
          {"timeUnixNano":"5000000","asInt":3,"exemplars":[{}]}]}},
        {"name":"lag","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[
          {"timeUnixNano":"5000000","count":"3","sum":1.5,"bucketCounts":["1","2"],"explicitBounds":[0.1]}]}},
        {"name":"q","summary":{"dataPoints":[{"timeUnixNano":"5000000","count":2,"sum":1,
          "quantileValues":[{"quantile":0.9,"value":4}]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{}]}}]}]}]}"#;
    for format in [Format::Otlp, Format::Auto] {
        let (lines, rejects) = one(format, json.as_bytes());
        assert_eq!(
            lines,
            [
                "load_ratio{a=\"true\",job=\"shop\"} @5 0.5",
                "load_ratio{job=\"shop\"} @6 7",
                "load_ratio{job=\"shop\"} @7 NaN",
                "sent_bytes_total{job=\"shop\"} @5 3",
                "lag_bucket{job=\"shop\",le=\"0.1\"} @5 1",
                "lag_bucket{job=\"shop\",le=\"+Inf\"} @5 3",
                "lag_sum{job=\"shop\"} @5 1.5",
                "lag_count{job=\"shop\"} @5 3",
                "q{job=\"shop\",quantile=\"0.9\"} @5 4",
                "q_sum{job=\"shop\"} @5 1",
                "q_count{job=\"shop\"} @5 2",
                "target_info{job=\"shop\",n=\"12\"} @7 1",
            ],
        );
        assert_eq!(
            rejects,
            [(R::BadValue, Some(3)), (R::NativeHistogram, Some(7))]
        );
        let out = decode(format, &[record(json.as_bytes())]);
        assert!(
            definitions(&out)
                .values()
                .any(|d| d.delta && d.series.name() == "sent_bytes_total")
        );
        assert_eq!(out.skipped.exemplars, 1);
    }
    for broken in [
        "{\"resourceMetrics\":",
        "{\"resourceMetrics\":7}",
        "{\"resourceMetrics\":[7]}",
    ] {
        assert_eq!(
            one(Format::Auto, broken.as_bytes()),
            (vec![], vec![(R::Malformed, None)])
        );
    }
}

/// A JSON request with one gauge `m` of these points.
fn json_gauge(points: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{points}]}}}}]}}]}}]}}"#
    )
}

#[test]
fn what_cannot_be_read_in_json_refuses_its_point_alone() {
    let ok = r#"{"timeUnixNano":"5000000","asDouble":1}"#;
    for (bad, reason, why) in [
        (
            r#"{"asInt":1,"attributes":[{"key":"a","value":{"stringValue":7}}]}"#,
            R::BadLabel,
            "attribute `a`: `stringValue` can't be 7",
        ),
        (
            r#"{"asInt":1,"attributes":7}"#,
            R::BadLabel,
            "`attributes` can't be 7",
        ),
        (
            r#"{"asInt":"high"}"#,
            R::BadValue,
            "`asInt` can't be \"high\"",
        ),
        (
            r#"{"timeUnixNano":"soon","asInt":1}"#,
            R::BadTimestamp,
            "`timeUnixNano` can't be \"soon\"",
        ),
        ("7", R::Malformed, "`dataPoints` can't be 7"),
    ] {
        let text = json_gauge(&format!("{ok},{bad},{ok}"));
        let out = decode(Format::Otlp, &[record(text.as_bytes())]);
        assert_eq!(out.samples.time, [5, 5], "{bad}");
        let [reject] = &out.rejects[..] else {
            panic!("{bad}: {:?}", out.rejects)
        };
        assert_eq!(
            (reject.reason, &*reject.detail, out.reject_items[0]),
            (reason, &*format!("data point 1 of `m`: {why}"), Some(1))
        );
    }
}

#[test]
fn null_is_as_good_as_absent_in_json() {
    let text = r#"{"resource_metrics":null,"resourceMetrics":[null,{"resource":null,"schemaUrl":null,
      "scopeMetrics":[null,{"scope":null,"metrics":[
        {"name":"m","unit":null,"description":null,"sum":null,"gauge":{"dataPoints":[null,
          {"timeUnixNano":"5000000","asDouble":null,"asInt":1,"flags":null,"exemplars":null,
           "attributes":[null,{"key":"a","value":null},{"key":"b","value":{"stringValue":null,"intValue":2}}]}]}},
        {"name":"h","gauge":null,"histogram":{"aggregationTemporality":2,"isMonotonic":null,"dataPoints":[
          {"timeUnixNano":"5000000","count":1,"sum":null,"bucketCounts":null,"explicitBounds":null}]}}]}]}]}"#;
    assert_eq!(
        one(Format::Otlp, text.as_bytes()),
        (
            vec![
                "m{b=\"2\"} @5 1".into(),
                "h_bucket{le=\"+Inf\"} @5 1".into(),
                "h_count{} @5 1".into()
            ],
            vec![]
        )
    );
}

#[test]
fn what_refuses_a_json_request_is_told_with_its_place() {
    let metric = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","unit":7}]}]}]}"#;
    for (text, detail) in [
        (metric, "metric `m`: `unit` can't be 7"),
        // Columns are those of what was sent.
        (
            r#"{"resourceMetrics":[1.5,2.5 3]}"#,
            "not OTLP JSON: expected `,` or `]` at line 1 column 29",
        ),
    ] {
        let out = decode(Format::Otlp, &[record(text.as_bytes())]);
        assert_eq!(out.rejects[0].detail, detail);
    }
}

#[test]
fn more_attributes_than_labels_are_refused_before_they_are_merged() {
    // Names that become one label.
    let many = |n| (0..n).map(|i| text(&"-".repeat(i + 1), "x")).collect();
    let body = |n| {
        request(
            vec![],
            vec![metric("m", "", gauge(vec![number(1.0, many(n))]))],
        )
    };
    let out = decode(Format::Otlp, &[record(&body(65))]);
    assert_eq!(out.rejects[0].reason, R::TooManyLabels);
    assert_eq!(
        out.rejects[0].detail,
        "data point 0 of `m`: 65 attributes; the limit is 64"
    );
}

#[test]
fn a_resource_is_read_once_for_all_its_new_series() {
    in_time(|| {
        let resource = (0..200_000).map(|i| text(&format!("k{i}"), "x")).collect();
        let points = (0..20_000)
            .map(|i| number(1.0, vec![text("n", &i.to_string())]))
            .collect();
        let body = request(resource, vec![metric("m", "", gauge(points))]);
        let out = decode(Format::Otlp, &[record(&body)]);
        assert_eq!(out.samples.len(), 20_000);
    });
}

#[test]
fn metrics_whose_points_are_all_refused_are_not_kept() {
    let bad = |round: u32| {
        let metrics = (0..1000).map(|i| {
            let point = Number {
                double: None,
                ..number(0.0, vec![])
            };
            metric(&format!("m{round}_{i}"), "", gauge(vec![point]))
        });
        request(
            vec![text("host.name", &round.to_string())],
            metrics.collect(),
        )
    };
    let good = request(
        vec![],
        vec![metric("ok", "", gauge(vec![number(1.0, vec![])]))],
    );
    let (mut decoder, mut out) = (decoder(Format::Otlp), Decoded::default());
    for round in 0..20 {
        decoder.decode(&record(&bad(round)), &mut out);
        decoder.decode(&record(&good), &mut out);
    }
    assert_eq!(out.rejects.len(), 20_000);
    assert_eq!(out.samples.series, [0; 20]);
    assert!(decoder.heap_bytes() < 10_000, "{}", decoder.heap_bytes());
}

#[test]
fn help_is_kept_as_far_as_a_label_would_be() {
    let point = || gauge(vec![number(1.0, vec![])]);
    let help = |end: &str| Metric {
        description: format!("{}{end}", "ä".repeat(4000)),
        ..metric("m", "", point())
    };
    let out = twice(&request(vec![], vec![help("1"), help("2")]));
    let [definition] = &out.definitions[..] else {
        panic!("the texts differ where neither is kept")
    };
    assert_eq!(definition.metadata.help, "ä".repeat(2048));
}

#[test]
fn json_numbers_are_read_to_the_last_bit() {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut values = vec![
        "157.26500000000001".to_owned(),
        "-0.0".into(),
        "1e-320".into(),
        "9007199254740993".into(),
        "123456789012345678901234567890".into(),
    ];
    let any = std::iter::repeat_with(|| f64::from_bits(rng.random()));
    let any = any.filter(|value| value.is_finite()).take(2_000);
    values.extend(any.map(|value| format!("{value:e}")));
    let point = |value: &String| format!(r#"{{"timeUnixNano":"1000000000","asDouble":{value}}}"#);
    let points: Vec<String> = values.iter().map(point).collect();
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"a \" 1.5","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    );
    let out = decode(Format::Auto, &[record(json.as_bytes())]);
    let read = rows(&out).into_iter().map(|row| row.2);
    for ((value, bits), place) in values.iter().zip(read).zip(0..) {
        let wanted: f64 = value.parse().expect("a number");
        assert_eq!(bits, wanted.to_bits(), "value {place}, {value}");
    }
    assert_eq!(out.samples.len(), values.len());
}

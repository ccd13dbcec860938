//! What becomes of each kind of point, with its resource and attributes.

use tidegauge_decode::Format;
use tidegauge_model::{MetricType, RejectReason as R, is_stale};

use crate::common::encode::otlp::{
    Any, AnyValue, Data, Exponential, ExponentialPoint, Histogram, HistogramPoint, Number,
    Quantile, Resource, Summary, SummaryPoint, Values, attribute, request, text,
};
use crate::common::{decode, one, record};
use crate::make::{NS, check, gauge, metric, number, sum, twice};

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

/// A tag and a length of 123 look like a line's end and a brace.
#[test]
fn a_request_of_any_length_is_protobuf() {
    for pad in 0..200 {
        let resource = vec![text("pad", &"x".repeat(pad))];
        let body = request(
            resource,
            vec![metric("m", "", gauge(vec![number(1.0, vec![])]))],
        );
        let (lines, rejects) = one(Format::Otlp, &body);
        assert_eq!((lines.len(), rejects), (1, vec![]), "padded with {pad}");
    }
}

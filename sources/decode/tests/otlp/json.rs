//! The JSON form.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_decode::Format;
use tidegauge_model::RejectReason as R;

use crate::common::{decode, definitions, one, record, rows};

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

/// Protobuf's JSON mapping lets integers have an exponent, and fractions of zeros.
#[test]
fn integers_in_json_may_be_written_as_doubles() {
    let points = r#"{"timeUnixNano":1.7e+18,"asInt":1e3},
        {"timeUnixNano":"1700000000000000000","asInt":"5.0"},
        {"timeUnixNano":1700000000000000000.0,"asInt":-0.0},
        {"timeUnixNano":1.7e+18,"asInt":1.5},{"timeUnixNano":1.7e+18,"asInt":1e400}"#;
    let out = decode(Format::Otlp, &[record(json_gauge(points).as_bytes())]);
    assert_eq!(out.samples.time, [1_700_000_000_000; 3]);
    assert_eq!(out.samples.value, [1_000.0, 5.0, 0.0]);
    assert_eq!(out.rejects.len(), 2, "{:?}", out.rejects);
}

//! Remote write, by table.

mod common;

use common::encode::prometheus::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};
use common::encode::snappy;
use common::{decode, decoder, record, rows};
use prost::Message;
use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel, RelabelAction, RelabelRule};
use tidegauge_model::{Limits, MetricType, RejectReason as R, STALE};

fn time_series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    let sample = |&(timestamp, value): &(i64, f64)| Sample { value, timestamp };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn request(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    WriteRequest {
        timeseries,
        ..WriteRequest::default()
    }
    .encode_to_vec()
}

fn named(name: &str) -> TimeSeries {
    time_series(&[("__name__", name), ("job", "j")], &[(5000, 1.0)])
}

/// Decodes a request twice over with one decoder.
fn twice(body: &[u8]) -> Decoded {
    let out = decode(Format::RemoteWrite, &[record(body), record(body)]);
    let half = out.samples.len() / 2;
    let rows = rows(&out);
    assert_eq!(rows[..half], rows[half..]);
    out
}

#[test]
fn stale_markers_keep_their_bits_and_other_nans_become_one() {
    let values = [
        f64::from_bits(STALE),
        f64::from_bits(0xfff8_0000_0000_0123),
        f64::NEG_INFINITY,
    ];
    let samples: Vec<_> = (1..).zip(values).collect();
    let out = twice(&request(vec![time_series(&[("__name__", "a")], &samples)]));
    let bits: Vec<_> = out.samples.value[..3]
        .iter()
        .map(|value| value.to_bits())
        .collect();
    assert_eq!(
        bits,
        [STALE, 0x7ff8_0000_0000_0000, f64::NEG_INFINITY.to_bits()]
    );
}

#[test]
fn a_bad_series_leaves_its_neighbours() {
    let long = "x".repeat(5000);
    let labels: Vec<String> = (0..70).map(|number| format!("l{number}")).collect();
    let mut many = vec![("__name__", "a")];
    many.extend(labels.iter().map(|label| (label.as_str(), "v")));
    for (bad, reason) in [
        (time_series(&[("job", "j")], &[(1, 1.0)]), R::BadName),
        (time_series(&[("__name__", "")], &[(1, 1.0)]), R::BadName),
        (
            time_series(&[("__name__", "a\nb")], &[(1, 1.0)]),
            R::BadName,
        ),
        (
            time_series(&[("__name__", "a"), ("x", "1"), ("x", "1")], &[(1, 1.0)]),
            R::DuplicateLabel,
        ),
        (
            time_series(&[("__name__", "a"), ("", "1")], &[(1, 1.0)]),
            R::BadLabel,
        ),
        (
            time_series(&[("__name__", "a"), ("x", &long)], &[(1, 1.0)]),
            R::BadLabel,
        ),
        (time_series(&many, &[(1, 1.0)]), R::TooManyLabels),
        (
            time_series(&[("__name__", "a")], &[(i64::MAX, 1.0)]),
            R::BadTimestamp,
        ),
        (
            TimeSeries {
                samples: vec![],
                histograms: vec![Histogram { sum: 1.0 }],
                ..named("a")
            },
            R::NativeHistogram,
        ),
    ] {
        let out = twice(&request(vec![named("before"), bad, named("after")]));
        let names: Vec<_> = rows(&out).into_iter().map(|row| row.0).collect();
        assert_eq!(
            names[..2],
            ["before{job=\"j\"}", "after{job=\"j\"}"],
            "{reason:?}"
        );
        assert_eq!(names.len(), 4);
        assert_eq!(
            out.rejects
                .iter()
                .map(|reject| reject.reason)
                .collect::<Vec<_>>(),
            [reason; 2]
        );
        assert_eq!(out.reject_items, [Some(1); 2]);
    }
}

#[test]
fn a_bad_sample_or_a_histogram_leaves_the_other_samples_of_its_series() {
    let mut series = time_series(&[("__name__", "a")], &[(1, 1.0), (i64::MIN, 2.0), (3, 3.0)]);
    series.histograms.push(Histogram { sum: 1.0 });
    series.exemplars.push(Exemplar { value: 1.0 });
    let out = twice(&request(vec![series]));
    assert_eq!(out.samples.time, [1, 3, 1, 3]);
    assert_eq!(out.rejects.len(), 4);
    assert_eq!(out.skipped.exemplars, 2);
}

#[test]
fn a_broken_request_gives_nothing() {
    let mut body = request(vec![named("a"), named("b")]);
    body.pop();
    let out = decode(Format::RemoteWrite, &[record(&body)]);
    assert_eq!((out.samples.len(), out.rejects.len()), (0, 1));
    assert_eq!(
        (out.rejects[0].reason, out.reject_items[0]),
        (R::Malformed, None)
    );
}

#[test]
fn labels_behind_or_among_samples_count_too() {
    let plain = request(vec![named("a")]);
    let [first, second] =
        [("__name__", "a"), ("job", "j")].map(|label| time_series(&[label], &[]).encode_to_vec());
    let sample = time_series(&[], &[(5000, 1.0)]).encode_to_vec();
    for parts in [[&first, &sample, &second], [&sample, &first, &second]] {
        let message = parts
            .iter()
            .flat_map(|part| part.iter().copied())
            .collect::<Vec<_>>();
        let mut body = vec![0x0a, u8::try_from(message.len()).expect("short")];
        body.extend(message);
        // Expected as the labels alone would have it, then as it is.
        let short = request(vec![time_series(&[("__name__", "a")], &[(1, 1.0)])]);
        let records = [&short, &plain, &short, &body, &short, &body].map(|body| record(body));
        let out = decode(Format::RemoteWrite, &records);
        assert_eq!(out.rejects, []);
        let names: Vec<_> = rows(&out).into_iter().map(|row| row.0).collect();
        assert_eq!(names[1], "a{job=\"j\"}");
        assert_eq!((&names[3], &names[5]), (&names[1], &names[1]));
        assert_eq!(out.definitions.len(), 2);
    }
}

#[test]
fn zero_values_and_times_are_left_out_on_the_wire() {
    let out = twice(&request(vec![time_series(
        &[("__name__", "a")],
        &[(0, 0.0), (7, 0.0), (0, 7.0)],
    )]));
    assert_eq!(
        (&out.samples.time[..3], &out.samples.value[..3]),
        (&[0, 7, 0][..], &[0.0, 0.0, 7.0][..])
    );
}

#[test]
fn metadata_reaches_the_series_of_its_family_before_and_after() {
    let metadata = |family: &str, metric_type, help: &str| MetricMetadata {
        metric_type,
        metric_family_name: family.into(),
        help: help.into(),
        unit: String::new(),
    };
    let names = ["lag_bucket", "lag_sum", "lag", "lagging", "up"];
    let first = request(names.iter().map(|name| named(name)).collect());
    let told = WriteRequest {
        timeseries: vec![],
        metadata: vec![
            metadata("lag", 3, "how late"),
            metadata("next_total", 1, ""),
        ],
    };
    let then = request(vec![named("next_total"), named("lag_count")]);
    let told = told.encode_to_vec();
    let out = decode(
        Format::RemoteWrite,
        &[&first, &told, &told, &then].map(|body| record(body)),
    );
    let defined: Vec<_> = out.definitions[names.len()..]
        .iter()
        .map(|definition| (definition.series.name(), definition.metadata.metric_type))
        .collect();
    assert_eq!(
        defined,
        [
            ("lag_bucket", MetricType::Histogram),
            ("lag_sum", MetricType::Histogram),
            ("lag", MetricType::Histogram),
            ("next_total", MetricType::Counter),
            ("lag_count", MetricType::Histogram),
        ],
    );
}

#[test]
fn version_two_is_recognised_and_refused() {
    let header = Some("application/x-protobuf;proto=io.prometheus.write.v2.Request");
    for format in [Format::Auto, Format::RemoteWrite] {
        let out = decode(
            format,
            &[Record {
                content_type: header,
                ..record(b"\x22\x00")
            }],
        );
        assert_eq!(out.rejects[0].reason, R::UnknownFormat);
        assert!(
            out.rejects[0].detail.contains("2.0"),
            "{}",
            out.rejects[0].detail
        );
    }
    let out = decode(Format::RemoteWrite, &[record(b"\x22\x00\x2a\x00")]);
    assert!(
        out.rejects[0].detail.contains("2.0"),
        "{}",
        out.rejects[0].detail
    );
}

#[test]
fn each_encoding_by_header_and_without() {
    let plain = request(vec![named("a")]);
    let snappy = snappy(&plain);
    let zstd = zstd::encode_all(&*plain, 1).expect("memory");
    for (header, body) in [
        (None, &plain),
        (Some("identity"), &plain),
        (None, &snappy),
        (Some("snappy"), &snappy),
        (None, &zstd),
        (Some("ZSTD"), &zstd),
    ] {
        for format in [Format::Auto, Format::RemoteWrite] {
            let out = decode(
                format,
                &[Record {
                    content_encoding: header,
                    ..record(body)
                }],
            );
            assert_eq!(
                (out.samples.len(), out.rejects.len()),
                (1, 0),
                "{header:?} {format:?}"
            );
        }
    }
    let out = decode(
        Format::Auto,
        &[Record {
            content_encoding: Some("br"),
            ..record(&plain)
        }],
    );
    assert_eq!(out.rejects[0].reason, R::UnknownFormat);
}

#[test]
fn a_decompression_bomb_is_refused() {
    let zeros = vec![0u8; 1 << 20];
    let limits = Limits {
        record_bytes: 1 << 16,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(
        common::partition(),
        Format::RemoteWrite,
        limits,
        Relabel::default(),
    );
    for (encoding, body) in [
        (None, snappy(&zeros)),
        (Some("snappy"), snappy(&zeros)),
        (Some("zstd"), zstd::encode_all(&*zeros, 1).expect("memory")),
        (Some("identity"), zeros),
    ] {
        let mut out = Decoded::default();
        decoder.decode(
            &Record {
                content_encoding: encoding,
                ..record(&body)
            },
            &mut out,
        );
        assert_eq!(out.rejects[0].reason, R::TooLarge, "{encoding:?}");
        assert!(decoder.heap_bytes() < 1 << 18);
    }
}

#[test]
fn deltas_are_series_of_their_own() {
    let body = request(vec![named("a")]);
    let records = [
        record(&body),
        Record {
            delta: true,
            ..record(&body)
        },
        record(&body),
    ];
    let out = decode(Format::RemoteWrite, &records);
    assert_eq!(out.samples.series, [0, 1, 0]);
    assert_eq!(
        out.definitions.iter().map(|d| d.delta).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn tenants_do_not_mix_and_a_bad_tenant_is_refused() {
    let body = request(vec![named("a")]);
    let records = ["t", "u", "", "t"].map(|tenant| Record {
        tenant,
        ..record(&body)
    });
    let out = decode(Format::RemoteWrite, &records);
    assert_eq!(out.samples.series, [0, 1, 0]);
    assert_eq!(
        out.definitions
            .iter()
            .map(|d| d.series.tenant())
            .collect::<Vec<_>>(),
        ["t", "u"]
    );
    assert_eq!(out.rejects[0].reason, R::BadTenant);
}

#[test]
fn help_and_unit_are_kept_as_far_as_a_label_would_be() {
    let metadata = MetricMetadata {
        metric_type: 2,
        metric_family_name: "a".into(),
        help: "x".repeat(5000),
        unit: "y".repeat(5000),
    };
    let body = WriteRequest {
        timeseries: vec![named("a")],
        metadata: vec![metadata],
    };
    let out = decode(Format::RemoteWrite, &[record(&body.encode_to_vec())]);
    let kept = &out.definitions.last().expect("one").metadata;
    assert_eq!((kept.help.len(), kept.unit.len()), (4096, 4096));
}

#[test]
fn what_has_a_bad_tenant_is_rejected_whole_under_the_topics() {
    let body = request(vec![named("a"), named("b")]);
    let long = "x".repeat(2000);
    for (tenant, own) in [("", "default"), (&long, "topics"), ("a\nb", "topics")] {
        let mut decoder = decoder(Format::RemoteWrite).own_tenant(own);
        let mut out = Decoded::default();
        for tenant in [tenant, "t", tenant] {
            let record = record(&body);
            decoder.decode(&Record { tenant, ..record }, &mut out);
        }
        assert_eq!(out.samples.len(), 2);
        let told: Vec<_> = out.rejects.iter().map(|r| (&*r.tenant, r.reason)).collect();
        assert_eq!(told, [(own, R::BadTenant); 2]);
    }
}

#[test]
fn relabelling_decides_once_per_series() {
    let rules = [
        RelabelRule {
            source_labels: vec!["__name__".into()],
            regex: "go_.*".into(),
            action: RelabelAction::Drop,
            ..RelabelRule::default()
        },
        RelabelRule {
            regex: "job".into(),
            action: RelabelAction::LabelDrop,
            ..RelabelRule::default()
        },
    ];
    let relabel = Relabel::new(&rules).expect("good rules");
    let mut decoder = Decoder::new(
        common::partition(),
        Format::RemoteWrite,
        Limits::default(),
        relabel,
    );
    let body = request(vec![named("go_threads"), named("up")]);
    let mut out = Decoded::default();
    for _ in 0..3 {
        decoder.decode(&record(&body), &mut out);
    }
    assert_eq!(
        rows(&out)
            .iter()
            .map(|row| row.0.as_str())
            .collect::<Vec<_>>(),
        ["up{}"; 3]
    );
    assert_eq!(
        (
            out.skipped.relabel_drops,
            out.definitions.len(),
            decoder.series()
        ),
        (3, 1, 1)
    );
}

#[test]
fn memory_per_series_is_as_stated() {
    let mut decoder = decoder(Format::RemoteWrite);
    let series = |number: u32| {
        let number = number.to_string();
        time_series(
            &[
                ("__name__", "node_cpu_seconds_total"),
                ("cpu", &number),
                ("mode", "idle"),
            ],
            &[(1, 1.0)],
        )
    };
    let body = request((0..50_000).map(series).collect());
    decoder.decode(&record(&body), &mut Decoded::default());
    assert_eq!(decoder.series(), 50_000);
    let (raw, canonical) = (75, 75);
    let each = (decoder.heap_bytes() - body.len()) / 50_000;
    assert!(each < 240 + raw + canonical, "{each} B a series");
}

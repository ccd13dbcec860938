//! What a request may cost, whatever it holds.

use tidegauge_decode::{Decoded, Format};
use tidegauge_model::RejectReason as R;

use crate::common::encode::otlp::{Metric, Number, request, text};
use crate::common::{decode, decoder, in_time, record};
use crate::make::{gauge, metric, number, twice};

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

//! JSON records, by table.

mod common;

use common::{NOW, decode, in_time, one, record};
use tidegauge_decode::{Format, Record};
use tidegauge_model::{MetricType, RejectReason as R};

fn check(text: &str, samples: &[&str], rejects: &[(R, Option<usize>)]) {
    // Twice, so that a guess at the second turn must come to the same.
    let (lines, reasons) = one(Format::Json, text.as_bytes());
    assert_eq!(
        (lines.as_slice(), reasons.as_slice()),
        (owned(samples).as_slice(), rejects),
        "{text}"
    );
    let again = decode(
        Format::Json,
        &[record(text.as_bytes()), record(text.as_bytes())],
    );
    assert_eq!(again.samples.len(), 2 * samples.len(), "{text}");
    assert_eq!(
        again.samples.time[..samples.len()],
        again.samples.time[samples.len()..],
        "{text}"
    );
    assert_eq!(again.rejects.len(), 2 * rejects.len(), "{text}");
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn good(text: &str, samples: &[&str]) {
    check(text, samples, &[]);
}

fn refused(text: &str, reason: R) {
    check(text, &[], &[(reason, Some(0))]);
}

#[test]
fn one_object_in_each_spelling() {
    let load = ["cpu.load{host=\"web-01\"} @1613707265000 0.75"];
    for text in [
        r#"{"name":"cpu.load","labels":{"host":"web-01"},"timestamp":1613707265,"value":0.75,"type":"gauge"}"#,
        r#"{"metric_name":"cpu.load","tags":{"host":"web-01"},"timestamp":1613707265000,"value":0.75}"#,
        r#" { "value" : 7.5e-1 , "timestamp" : "2021-02-19T04:01:05Z" , "tags" : { "host" : "web-01" , "az" : "" } , "name" : "cpu.load" } "#,
        r#"{"timestamp":1613707265.000,"value":"0.75","name":"cpu\u002eload","labels":{"host":"web-\u00301"}}"#,
        r#"{"timestamp":1613707265000000,"value":0.75,"name":"cpu.load","labels":{"host":"web-01","x":null}}"#,
        r#"[{"timestamp":1613707265000000000,"value":0.75,"name":"cpu.load","labels":{"host":"web-01"}}]"#,
        r#"{"source":{"a":[1,"]"]},"metrics":[{"timestamp":1613707265,"value":0.75,"name":"cpu.load","labels":{"host":"web-01"}}],"n":1}"#,
        r#"{"trace":"abc","name":"cpu.load","extra":[{}],"labels":{"host":"web-01"},"timestamp":1613707265,"value":0.75}"#,
    ] {
        good(text, &load);
    }
}

#[test]
fn an_absent_timestamp_is_the_records_own() {
    good(r#"{"name":"a","value":1}"#, &["a{} @1000000 1"]);
    good(
        r#"{"name":"a","value":1,"timestamp":null}"#,
        &["a{} @1000000 1"],
    );
    let value = br#"{"name":"a","value":1}"#;
    let out = decode(
        Format::Json,
        &[Record {
            timestamp: -1,
            ..record(value)
        }],
    );
    assert_eq!(out.samples.time, [NOW]);
}

#[test]
fn values_that_json_has_no_word_for() {
    for (value, shown) in [
        ("NaN", "NaN"),
        ("\"NaN\"", "NaN"),
        ("\"+Inf\"", "inf"),
        ("\"Inf\"", "inf"),
        ("\"-Inf\"", "-inf"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("-0.0", "-0"),
        ("12345678901234567890", "12345678901234567000"),
    ] {
        let line = format!("a{{}} @5000 {shown}");
        good(
            &format!(r#"{{"name":"a","timestamp":5,"value":{value}}}"#),
            &[&line],
        );
    }
}

#[test]
fn lines_and_arrays_of_objects() {
    let lines = "{\"name\":\"a\",\"value\":1}\n\n{\"name\":\"b\",\"value\":2}\r\n[{\"name\":\"c\",\"value\":3},{\"name\":\"a\",\"value\":4}]";
    good(
        lines,
        &[
            "a{} @1000000 1",
            "b{} @1000000 2",
            "c{} @1000000 3",
            "a{} @1000000 4",
        ],
    );
    good("[]", &[]);
    good("{\"metrics\":[]}", &[]);
}

#[test]
fn a_bad_item_leaves_its_neighbours() {
    for (bad, reason) in [
        (r#"{"value":1}"#, R::BadName),
        (r#"{"name":"","value":1}"#, R::BadName),
        (r#"{"name":7,"value":1}"#, R::BadName),
        (r#"{"name":"a\u0000b","value":1}"#, R::BadName),
        (r#"{"name":"a","name":"b","value":1}"#, R::BadName),
        (r#"{"name":"a"}"#, R::BadValue),
        (r#"{"name":"a","value":"high"}"#, R::BadValue),
        (r#"{"name":"a","value":null}"#, R::BadValue),
        (r#"{"name":"a","value":true}"#, R::BadValue),
        (r#"{"name":"a","value":{}}"#, R::BadValue),
        (r#"{"name":"a","value":1e999}"#, R::BadValue),
        (
            r#"{"name":"a","value":1,"timestamp":"yesterday"}"#,
            R::BadTimestamp,
        ),
        (
            r#"{"name":"a","value":1,"timestamp":true}"#,
            R::BadTimestamp,
        ),
        (
            r#"{"name":"a","value":1,"timestamp":1e300}"#,
            R::BadTimestamp,
        ),
        (r#"{"name":"a","value":1,"labels":{"x":{}}}"#, R::BadLabel),
        (r#"{"name":"a","value":1,"labels":["x"]}"#, R::BadLabel),
        (r#"{"name":"a","value":1,"labels":{"":"x"}}"#, R::BadLabel),
        (
            r#"{"name":"a","value":1,"labels":{"x":"1","x":"2"}}"#,
            R::DuplicateLabel,
        ),
        (
            r#"{"name":"a","value":1,"labels":{"__name__":"b"}}"#,
            R::DuplicateLabel,
        ),
        (
            r#"{"value":1,"labels":{"__name__":"b","__name__":"b"}}"#,
            R::DuplicateLabel,
        ),
        (
            r#"{"name":"a","value":1,"labels":{},"tags":{}}"#,
            R::DuplicateLabel,
        ),
        ("17", R::Malformed),
    ] {
        let text = format!(r#"[{{"name":"ok","value":1}},{bad},{{"name":"ok","value":2}}]"#);
        check(
            &text,
            &["ok{} @1000000 1", "ok{} @1000000 2"],
            &[(reason, Some(1))],
        );
    }
}

#[test]
fn the_name_may_be_a_label_as_prometheus_adapter_for_kafka_sends_it() {
    let up = ["up{job=\"x\"} @1613707265000 1"];
    for text in [
        r#"{"timestamp":"2021-02-19T04:01:05Z","value":"1","name":"up","labels":{"__name__":"up","job":"x"}}"#,
        r#"{"timestamp":"2021-02-19T04:01:05Z","value":"1","labels":{"__name__":"up","job":"x"}}"#,
        r#"{"timestamp":"2021-02-19T04:01:05Z","value":"1","name":"up","labels":{"__name__":"","job":"x"}}"#,
    ] {
        good(text, &up);
    }
}

#[test]
fn a_broken_line_takes_no_other_with_it() {
    let after = "{\"name\":\"b\",\"value\":2}\n{\"name\":\"c\",\"value\":3}";
    for broken in [
        r#"{"name":"a","value":1"#,
        r#"{"name":"a","value":1,"#,
        r#"{"name":"a","value":1,"labels":{"x":"y""#,
        r#"{"name":"a","extra":{"x":1"#,
        r#"{"name":"a","extra":{"x":[1,"#,
        r#"{"name":"a","extra":{"x""#,
        r#"[{"name":"x" "value":1}"#,
        "nonsense",
    ] {
        let text = format!("{{\"name\":\"ok\",\"value\":0}}\n{broken}\n{after}");
        let all = ["ok{} @1000000 0", "b{} @1000000 2", "c{} @1000000 3"];
        check(&text, &all, &[(R::Malformed, Some(1))]);
    }
    let out = decode(
        Format::Json,
        &[record(b"{\"name\":\n{\"name\":\"b\",\"value\":2}")],
    );
    assert_eq!(
        out.rejects[0].detail,
        "item 0: expected a comma or the end at byte 31; bytes 0 to 9 are left out"
    );
}

#[test]
fn a_broken_item_ends_its_array_and_those_before_it_stay() {
    let (a, c) = (r#"{"name":"a","value":1}"#, r#"{"name":"c","value":3}"#);
    let broken = r#"{"name":"b" "value":2}"#;
    for (open, close) in [("[", "]"), ("{\"metrics\":[", "]}")] {
        for between in [",", ",\n", ",\n  "] {
            let text = format!("{open}\n{a}{between}{broken}{between}{a}\n{close}\n{c}\n");
            let kept = ["a{} @1000000 1", "c{} @1000000 3"];
            check(&text, &kept, &[(R::Malformed, Some(1))]);
        }
    }
}

#[test]
fn broken_text_costs_time_in_proportion_to_its_length() {
    for line in ["[\n", "{\"a\":[1,\n", "{\"a\":{\"b\":[\n{\n"] {
        in_time(move || {
            let text = line.repeat(1 << 18);
            let out = decode(Format::Json, &[record(text.as_bytes())]);
            assert_eq!(out.samples.len(), 0);
            assert!(!out.rejects.is_empty());
        });
    }
}

#[test]
fn help_and_unit_are_kept_as_far_as_a_label_would_be() {
    let long = "ä".repeat(5000);
    let text = format!(r#"{{"name":"a","value":1,"help":"x{long}","unit":"{long}"}}"#);
    let out = decode(Format::Json, &[record(text.as_bytes())]);
    let metadata = &out.definitions[0].metadata;
    assert_eq!((metadata.help.len(), metadata.unit.len()), (4095, 4096));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = "\u{feff}{\"name\":\"a\",\"value\":1}";
    good(text, &["a{} @1000000 1"]);
    for (text, row) in [
        (text, "a{} @1000000 1"),
        ("\u{feff}m v=1", "m_v{} @1000000 1"),
    ] {
        assert_eq!(
            one(Format::Auto, text.as_bytes()),
            (vec![row.into()], vec![])
        );
    }
}

#[test]
fn a_broken_document_gives_nothing_but_later_lines_go_on() {
    let good_line = "{\"name\":\"a\",\"value\":1}\n";
    check(
        &format!("{{\"name\":\"x\n{good_line}"),
        &["a{} @1000000 1"],
        &[(R::Malformed, Some(0))],
    );
    for broken in [
        "{\"name\":\"a\\",
        "{",
        "nonsense",
        "{\"name\":\"a\" \"value\":1}",
        "{\"a\":[}]}",
    ] {
        refused(broken, R::Malformed);
    }
    let two = [(R::Malformed, Some(0)), (R::Malformed, Some(1))];
    check("[1 2]", &[], &two);
    check(
        "[{\"name\":\"a\",\"value\":1},",
        &["a{} @1000000 1"],
        &[(R::Malformed, Some(1))],
    );
}

#[test]
fn the_same_shape_with_other_tokens() {
    let texts = [
        r#"{"name":"a","timestamp":1,"value":1,"id":"x"}"#,
        r#"{"name":"a","timestamp":"1970-01-01T00:00:02Z","value":"NaN","id":17}"#,
        r#"{"name":"a","timestamp":3.5,"value":-1e3,"id":{"y":[1,2]}}"#,
        r#"{"name":"a","timestamp":4,"value":"high","id":0}"#,
        r#"{"name":"a","timestamp":5,"value":5.,"id":0}"#,
        r#"{"name":"a","timestamp":6,"value":6,"id":0}"#,
    ];
    let records: Vec<_> = texts.iter().map(|text| record(text.as_bytes())).collect();
    let out = decode(Format::Json, &records);
    assert_eq!(out.definitions.len(), 1);
    assert_eq!(out.samples.time[..3], [1_000, 2_000, 3_500]);
    assert_eq!(out.samples.time.last(), Some(&6_000));
    assert_eq!(out.rejects[0].reason, R::BadValue);
}

#[test]
fn type_unit_and_help_are_metadata_and_news_defines_again() {
    let texts = [
        r#"{"name":"a","value":1,"type":"counter","unit":"s","help":"how long"}"#,
        r#"{"name":"a","value":2}"#,
        r#"{"name":"a","value":2,"type":"gauge"}"#,
    ];
    let records: Vec<_> = texts.iter().map(|text| record(text.as_bytes())).collect();
    let out = decode(Format::Json, &records);
    let types: Vec<_> = out
        .definitions
        .iter()
        .map(|d| (d.local, d.metadata.metric_type))
        .collect();
    assert_eq!(types, [(0, MetricType::Counter), (0, MetricType::Gauge)]);
    assert_eq!(out.definitions[0].metadata.unit, "s");
    assert_eq!(out.samples.series, [0, 0, 0]);
}

#[test]
fn a_record_of_a_million_bad_items_stays_small() {
    let text = format!("[{}1]", "1,".repeat(100_000));
    let out = decode(Format::Json, &[record(text.as_bytes())]);
    assert_eq!(out.rejects.len(), 1001);
    assert_eq!(out.skipped.folded_rejects, 99_001);
    assert_eq!(
        out.rejects[1000].detail,
        "99001 more faulty items in this record"
    );
}

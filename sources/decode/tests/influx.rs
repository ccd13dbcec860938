//! Influx lines, by table.

mod common;

use common::{decode, decoder, in_time, one, record, rows};
use tidegauge_decode::{Decoded, Format, Precision, Record};
use tidegauge_model::RejectReason as R;

fn check(text: &str, samples: &[&str], rejects: &[(R, Option<usize>)]) {
    let (lines, reasons) = one(Format::Influx, text.as_bytes());
    assert_eq!(
        (lines, reasons.as_slice()),
        (samples.iter().map(ToString::to_string).collect(), rejects),
        "{text}"
    );
    let again = decode(
        Format::Influx,
        &[record(text.as_bytes()), record(text.as_bytes())],
    );
    let rows = rows(&again);
    assert_eq!(rows[..samples.len()], rows[samples.len()..], "{text}");
    assert_eq!(again.rejects.len(), 2 * rejects.len(), "{text}");
}

#[test]
fn numbers_integers_and_booleans() {
    check(
        "cpu,host=web-01,az= idle=99.5,cores=4i,big=18446744073709551615u,up=true,down=F,neg=-3i,e=1e3 1613707265000000000\n",
        &[
            "cpu_idle{host=\"web-01\"} @1613707265000 99.5",
            "cpu_cores{host=\"web-01\"} @1613707265000 4",
            "cpu_big{host=\"web-01\"} @1613707265000 18446744073709552000",
            "cpu_up{host=\"web-01\"} @1613707265000 1",
            "cpu_down{host=\"web-01\"} @1613707265000 0",
            "cpu_neg{host=\"web-01\"} @1613707265000 -3",
            "cpu_e{host=\"web-01\"} @1613707265000 1000",
        ],
        &[],
    );
}

#[test]
fn string_fields_are_skipped_and_counted() {
    let text = "m s=\"a, b=1 \\\" \n#\",v=1 5000000\nm s=\"only\"\n";
    check(text, &["m_v{} @5 1"], &[]);
    assert_eq!(
        decode(Format::Influx, &[record(text.as_bytes())])
            .skipped
            .string_fields,
        2
    );
}

#[test]
fn escapes_comments_and_white_space() {
    check(
        "# comment\n\n  my\\ m\\,x,t\\ g=a\\=b\\,c\\d f\\=1=2  7000000 \r\nm value=1\r\n#end",
        &[
            "my m,x_f=1{t g=\"a=b,c\\\\d\"} @7 2",
            "m_value{} @1000000 1",
        ],
        &[],
    );
}

#[test]
fn a_backslash_escapes_a_comma_a_space_and_an_equals_sign_alone() {
    check(
        r"m,dn=CN\=Doe\\,\ John\,OU\=x,z=1 v\=w=1 5000000",
        &[r#"m_v=w{dn="CN=Doe\\, John,OU=x",z="1"} @5 1"#],
        &[],
    );
    check(
        r"m,dn=a\\,b=c v=1 5000000",
        &[r#"m_v{dn="a\\,b=c"} @5 1"#],
        &[],
    );
    check(r"m,dn=a\\b v=1 5000000", &[r#"m_v{dn="a\\\\b"} @5 1"#], &[]);
}

#[test]
fn a_quote_left_open_takes_no_other_line_with_it() {
    let bad = (R::Malformed, Some(1));
    let ok = ["ok_v{} @1 1", "ok_v{} @2 2", "ok_s_v{} @3 3"];
    for open in ["m s=\"open 5000000", "m a=1,s=\"x\\\" 5000000"] {
        let text = format!("ok v=1 1000000\n{open}\nok v=2 2000000\nok_s v=3,s=\"x\" 3000000");
        check(&text, &ok, &[bad]);
    }
    // A bad time far below tells of it too.
    check(
        "m s=\"open 5000000\nok v=1 1000000\nok s=\" x\nok v=2 2000000",
        &["ok_v{} @1 1", "ok_v{} @2 2"],
        &[(R::BadTimestamp, Some(0)), (R::Malformed, Some(2))],
    );
}

#[test]
fn broken_lines_cost_time_in_proportion_to_their_number() {
    in_time(|| {
        let text = "a\n".repeat(1 << 19);
        let out = decode(Format::Influx, &[record(text.as_bytes())]);
        assert_eq!(out.skipped.folded_rejects, (1 << 19) - 1000);
        assert!(out.rejects[999].detail.starts_with("line 1000: "));
    });
    // From each line on, all that follows could be one.
    in_time(|| {
        let text = "a,t=\",c=\" g=1\",x=\"\n".repeat(1 << 16);
        let out = decode(Format::Influx, &[record(text.as_bytes())]);
        assert_eq!(out.samples.len(), 0);
        let last = &out.rejects.last().expect("rejects").detail;
        assert!(
            last.ends_with("the lines up to there are left out"),
            "{last}"
        );
    });
    in_time(|| {
        let fields: Vec<String> = (0..1 << 16).map(|field| format!("f{field}=1")).collect();
        let tags = ",t=x".repeat(1 << 16);
        let text = format!("m{tags} {}", fields.join(","));
        let out = decode(Format::Influx, &[record(text.as_bytes())]);
        assert_eq!(
            out.rejects[0].detail,
            "line 1, field `f0`: more than 64 tags"
        );
    });
}

#[test]
fn a_bad_timestamp_is_told_with_its_unit() {
    for (precision, time, detail) in [
        (
            Precision::Ns,
            "99999999999999999999",
            "line 1: `99999999999999999999` is no time in ns; say its unit, as in ?precision=s",
        ),
        (
            Precision::S,
            "1613707265123",
            "line 1: `1613707265123` is no time in s; say its unit, as in ?precision=ms",
        ),
    ] {
        let (text, mut out) = (format!("m v=1 {time}"), Decoded::default());
        decoder(Format::Influx)
            .influx_precision(precision)
            .decode(&record(text.as_bytes()), &mut out);
        assert_eq!(out.rejects[0].detail, detail);
    }
}

#[test]
fn heads_of_refused_lines_are_not_kept() {
    let mut decoder = decoder(Format::Influx);
    let mut out = Decoded::default();
    let mut held = || {
        let lines = (0..10_000).map(|line| format!("m{line},host=web-{line} 5\nn{line} v=x 5\n"));
        let text: String = lines.collect();
        decoder.decode(&record(text.as_bytes()), &mut out);
        out.rejects.clear();
        decoder.heap_bytes()
    };
    assert!(held() < 10_000);
    let mut ok = Decoded::default();
    for text in [&b"a v=1 5000000"[..], b"b broken\na v=1 5000000"] {
        decoder.decode(&record(text), &mut ok);
    }
    assert_eq!(ok.samples.series, [0, 0]);
}

#[test]
fn a_bad_field_leaves_the_others_and_a_bad_line_its_neighbours() {
    let field = |reason| [(reason, Some(1))];
    for (bad, kept, reason) in [
        (
            "m a=1,b=x,c=3 5000000",
            vec!["m_a{} @5 1", "m_c{} @5 3"],
            R::BadValue,
        ),
        (
            "m a=1,b=,c=3 5000000",
            vec!["m_a{} @5 1", "m_c{} @5 3"],
            R::BadValue,
        ),
        (
            "m a=1,b=1.5i,c=3 5000000",
            vec!["m_a{} @5 1", "m_c{} @5 3"],
            R::BadValue,
        ),
        (
            "m a=1,=2,c=3 5000000",
            vec!["m_a{} @5 1", "m_c{} @5 3"],
            R::BadName,
        ),
        ("m,x=1,x=2 a=1 5000000", vec![], R::DuplicateLabel),
        ("m,x a=1 5000000", vec![], R::BadLabel),
        (",x=1 a=1 5000000", vec![], R::BadName),
        ("m a=1 soon", vec![], R::BadTimestamp),
        ("m a=1 99999999999999999999999", vec![], R::BadTimestamp),
        ("m", vec![], R::Malformed),
        ("m ", vec![], R::Malformed),
        ("m a", vec![], R::Malformed),
        ("m a=1,b 5", vec![], R::Malformed),
        ("m a=1 5 6", vec![], R::Malformed),
    ] {
        let mut kept = kept;
        kept.insert(0, "ok_v{} @1 1");
        kept.push("ok_v{} @2 2");
        check(
            &format!("ok v=1 1000000\n{bad}\nok v=2 2000000"),
            &kept,
            &field(reason),
        );
    }
    check(
        "ok v=1 1000000\nm a=\"open",
        &["ok_v{} @1 1"],
        &field(R::Malformed),
    );
}

#[test]
fn the_unit_of_time_is_a_setting_or_a_header() {
    let text = b"m v=1 1613707265";
    let mut out = Decoded::default();
    for precision in [Precision::S, Precision::Auto] {
        decoder(Format::Influx)
            .influx_precision(precision)
            .decode(&record(text), &mut out);
    }
    let header = Some("text/plain; charset=utf-8; precision=ms");
    decoder(Format::Auto).decode(
        &Record {
            content_type: header,
            ..record(text)
        },
        &mut out,
    );
    assert_eq!(
        out.samples.time,
        [1_613_707_265_000, 1_613_707_265_000, 1_613_707_265]
    );
}

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, MapBuilder, RecordBatch,
    StringBuilder, StringViewArray, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use arrow::ipc::reader::StreamReader;

use super::{Encoder, Format};
use crate::error::QueryError;

fn rows() -> RecordBatch {
    let time = TimestampMillisecondArray::from(vec![0, 1_500, 2_000]).with_timezone("UTC");
    let value = Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]);
    let host = StringViewArray::from(vec!["a,b", "c\"d", "é"]);
    let mut labels = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for _ in 0..3 {
        labels.keys().append_value("k");
        labels.values().append_value("v");
        labels.append(true).expect("as many keys as values");
    }
    RecordBatch::try_from_iter([
        ("time", Arc::new(time) as ArrayRef),
        ("value", Arc::new(value)),
        ("host", Arc::new(host)),
        ("labels", Arc::new(labels.finish())),
    ])
    .expect("columns of one length")
}

fn encode(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, &rows().schema()).expect("known types");
    let mut bytes = Vec::new();
    for batch in batches {
        bytes.extend(encoder.batch(batch).expect("known types"));
    }
    bytes.extend(encoder.finish().expect("known types"));
    bytes
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(encode(format, batches)).expect("text")
}

#[test]
fn json_is_an_array_of_objects_across_batches() {
    let parsed: serde_json::Value =
        serde_json::from_str(&text(Format::Json, &[rows(), rows().slice(0, 1)])).expect("JSON");
    assert_eq!(parsed.as_array().map(Vec::len), Some(4));
    assert_eq!(
        parsed[1],
        serde_json::json!({"time": "1970-01-01T00:00:01.500Z", "value": "NaN", "host": "c\"d", "labels": {"k": "v"}})
    );
    assert_eq!(parsed[2]["value"], serde_json::Value::Null);
    assert_eq!(text(Format::Json, &[]), "[]\n");
}

#[test]
fn lines_are_objects() {
    let text = text(Format::JsonLines, &[rows()]);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["value"], 0.1);
}

#[test]
fn csv_has_one_head_and_quotes_what_needs_it() {
    let text = text(Format::Csv, &[rows(), rows().slice(2, 1)]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0], "time,value,host,labels");
    assert_eq!(
        lines[1],
        "1970-01-01T00:00:00Z,0.1,\"a,b\",\"{\"\"k\"\":\"\"v\"\"}\""
    );
    assert_eq!(
        lines[4],
        "1970-01-01T00:00:02Z,,é,\"{\"\"k\"\":\"\"v\"\"}\""
    );
}

#[test]
fn an_empty_answer_still_has_its_columns() {
    assert_eq!(text(Format::Csv, &[]), "time,value,host,labels\n");
    assert!(text(Format::Table, &[]).contains("value"));
    let bytes = encode(Format::Arrow, &[]);
    let reader = StreamReader::try_new(&bytes[..], None).expect("a stream");
    assert_eq!(reader.schema().fields().len(), 4);
}

#[test]
fn a_table_is_drawn_as_it_comes() {
    let few = [rows(), rows()];
    let drawn = arrow::util::pretty::pretty_format_batches(&few).expect("known types");
    assert_eq!(text(Format::Table, &few), format!("{drawn}\n6 rows\n"));

    let long = StringViewArray::from_iter_values((0..20_000).map(|i| format!("{i}\nb")));
    let long = RecordBatch::try_from_iter([("v", Arc::new(long) as ArrayRef)]).expect("a column");
    let mut encoder = Encoder::new(Format::Table, &long.schema()).expect("known types");
    let first = encoder.batch(&long.slice(0, 12_000)).expect("known types");
    assert!(first.ends_with(b"| 11999 |\n| b     |\n"));
    let next = encoder.batch(&long.slice(12_000, 1)).expect("known types");
    assert_eq!(next, b"| 12000 |\n| b     |\n");
    let end = encoder.finish().expect("known types");
    assert_eq!(end, b"+-------+\n12001 rows\n");
}

#[test]
fn arrow_reads_back() {
    let bytes = encode(Format::Arrow, &[rows(), rows()]);
    let reader = StreamReader::try_new(&bytes[..], None).expect("a stream");
    let read: usize = reader.map(|batch| batch.expect("a batch").num_rows()).sum();
    assert_eq!(read, 6);
}

/// One row of `value` under several names and in several types.
fn one_row(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().cloned()).expect("columns of one length")
}

fn list_of(item: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(item.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([item.len()]);
    Arc::new(ListArray::new(field, offsets, item, None))
}

fn text_of(format: Format, batch: &RecordBatch) -> String {
    let mut encoder = Encoder::new(format, &batch.schema()).expect("known types");
    let mut bytes = encoder.batch(batch).expect("known types");
    bytes.extend(encoder.finish().expect("known types"));
    String::from_utf8(bytes).expect("text")
}

#[test]
fn numbers_that_json_lacks_are_texts_in_every_width_and_depth() {
    let doubles = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1];
    let singles: Vec<f32> = doubles.iter().map(|value| *value as f32).collect();
    let wide = list_of(Arc::new(Float64Array::from(doubles)));
    let narrow = Float32Array::from(singles);
    let half = compute::cast(&narrow, &DataType::Float16).expect("a cast");
    let batch = one_row(&[
        ("wide", wide),
        ("narrow", list_of(Arc::new(narrow))),
        ("half", list_of(half)),
    ]);
    let all = |least: &str| format!("[\"NaN\",\"+Inf\",\"-Inf\",{least}]");
    let (tenth, half) = (all("0.1"), all("0.099975586"));
    assert_eq!(
        text_of(Format::JsonLines, &batch),
        format!("{{\"wide\":{tenth},\"narrow\":{tenth},\"half\":{half}}}\n")
    );
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    assert_eq!(
        text_of(Format::Csv, &batch).lines().nth(1),
        Some(&*[quoted(&tenth), quoted(&tenth), quoted(&half)].join(","))
    );
}

#[test]
fn objects_have_one_value_a_name() {
    let one: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let batch = one_row(&[("value", Arc::clone(&one)), ("value", one)]);
    for format in Format::ALL {
        let refused = Encoder::new(format, &batch.schema()).err();
        let json = matches!(format, Format::Json | Format::JsonLines);
        assert_eq!(refused.is_some(), json, "{format:?}");
        if let Some(error) = refused {
            assert!(error.to_string().contains("called `value`"), "{error}");
        }
    }
}

#[test]
fn arrow_has_no_views_however_deep() {
    let hosts: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "a host with a long name"]));
    let inner = one_row(&[("hosts", list_of(Arc::clone(&hosts)))]);
    let nested: ArrayRef = Arc::new(StructArray::from(inner));
    let batch = one_row(&[("list", list_of(hosts)), ("nested", nested)]);
    let mut encoder = Encoder::new(Format::Arrow, &batch.schema()).expect("known types");
    let mut bytes = encoder.batch(&batch).expect("known types");
    bytes.extend(encoder.finish().expect("known types"));
    let mut reader = StreamReader::try_new(&bytes[..], None).expect("a stream");
    assert!(
        !reader.schema().to_string().contains("Utf8View"),
        "{}",
        reader.schema()
    );
    let read = reader.next().expect("a batch").expect("readable");
    let values = read.column(0).as_list::<i32>().value(0);
    assert_eq!(
        values.as_string::<i32>().value(1),
        "a host with a long name"
    );
}

#[test]
fn a_broken_answer_is_no_document() {
    for batches in [vec![], vec![rows()]] {
        let mut encoder = Encoder::new(Format::Json, &rows().schema()).expect("known types");
        let mut bytes = Vec::new();
        for batch in &batches {
            bytes.extend(encoder.batch(batch).expect("known types"));
        }
        bytes.extend(encoder.broken_off(&QueryError::TooManyRows(7)));
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("more than 7 rows"), "{text}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&text).is_err(),
            "{text}"
        );
        let closed = format!("{text}]");
        assert!(
            serde_json::from_str::<serde_json::Value>(&closed).is_ok(),
            "{closed}"
        );
    }
}

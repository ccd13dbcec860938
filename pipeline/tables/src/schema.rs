//! The columns of every table: the same words in Parquet files, Delta schemas and SQL.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::table::Table;

/// The columns of `table` as Arrow has them, `date` (the partition column, which stands in paths
/// and not in files) included. Times are UTC milliseconds.
#[must_use]
pub fn columns(table: Table) -> Schema {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let required = |name: &str, kind: DataType| Field::new(name, kind, false);
    let optional = |name: &str, kind: DataType| Field::new(name, kind, true);
    let mut fields = vec![
        required("tenant", DataType::Utf8),
        required("date", DataType::Date32),
    ];
    match table {
        Table::Samples => fields.extend([
            required("name", DataType::Utf8),
            required("series_id", DataType::Int64),
            required("time", time()),
            optional("value", DataType::Float64),
        ]),
        Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => fields.extend([
            required("name", DataType::Utf8),
            required("series_id", DataType::Int64),
            required("time", time()),
            required("count", DataType::Int64),
            optional("sum", DataType::Float64),
            optional("min", DataType::Float64),
            optional("max", DataType::Float64),
            optional("first", DataType::Float64),
            optional("first_time", time()),
            optional("last", DataType::Float64),
            optional("last_time", time()),
            required("resets", DataType::Int64),
            required("reset_adj", DataType::Float64),
            optional("stale_time", time()),
        ]),
        Table::Series => fields.extend([
            required("series_id", DataType::Int64),
            required("name", DataType::Utf8),
            required("labels", labels()),
            required("type", DataType::Utf8),
            required("unit", DataType::Utf8),
            required("help", DataType::Utf8),
            required("first_seen", time()),
            required("last_seen", time()),
        ]),
        Table::Rejects => fields.extend([
            required("time", time()),
            required("topic", DataType::Utf8),
            required("partition", DataType::Int32),
            required("offset", DataType::Int64),
            required("reason", DataType::Utf8),
            required("detail", DataType::Utf8),
            required("bytes", DataType::Binary),
        ]),
    }
    Schema::new(fields)
}

/// Label names to values, as Parquet and Arrow write a map.
fn labels() -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ]);
    let entries = Field::new("key_value", DataType::Struct(entry), false);
    DataType::Map(Arc::new(entries), false)
}

/// `schema` as Delta's `schemaString`.
///
/// # Panics
/// On a column type that no table of ours has.
#[must_use]
pub fn delta_schema(schema: &Schema) -> String {
    let fields: Vec<Value> = schema
        .fields()
        .iter()
        .map(|field| {
            json!({
                "name": field.name(),
                "type": delta_type(field.data_type()),
                "nullable": field.is_nullable(),
                "metadata": {},
            })
        })
        .collect();
    json!({ "type": "struct", "fields": fields }).to_string()
}

fn delta_type(kind: &DataType) -> Value {
    match kind {
        DataType::Utf8 => "string".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Float64 => "double".into(),
        DataType::Binary => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => "timestamp".into(),
        DataType::Map(_, _) => json!({
            "type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": false,
        }),
        other => panic!("no table has a column of type {other}"),
    }
}

//! A Delta checkpoint: actions as rows of a Parquet file, one column for each kind of action.
//! Source: the Delta transaction log protocol, "Checkpoint Schema".

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use tidegauge_tables::{Action, delta_entry};

/// `actions` as a checkpoint file.
pub(super) fn encode(actions: &[Action]) -> Result<Vec<u8>> {
    let schema = schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
    let mut decoder = ReaderBuilder::new(schema).build_decoder()?;
    let json = delta_entry(actions);
    let mut rest = &*json;
    while !rest.is_empty() {
        let taken = decoder.decode(rest)?;
        rest = &rest[taken..];
        if (taken == 0 || rest.is_empty())
            && let Some(batch) = decoder.flush()?
        {
            writer.write(&batch)?;
        }
    }
    writer.into_inner()
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let truth = |name: &str| Field::new(name, DataType::Boolean, true);
    let list = |name: &str| Field::new(name, DataType::List(Arc::new(text("element"))), true);
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let format = group("format", vec![text("provider"), map("options")]);
    Arc::new(Schema::new(vec![
        group(
            "txn",
            vec![text("appId"), long("version"), long("lastUpdated")],
        ),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                truth("dataChange"),
                map("tags"),
                text("stats"),
            ],
        ),
        group(
            "remove",
            vec![text("path"), long("deletionTimestamp"), truth("dataChange")],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                format,
                text("schemaString"),
                list("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group(
            "protocol",
            vec![
                int("minReaderVersion"),
                int("minWriterVersion"),
                list("readerFeatures"),
                list("writerFeatures"),
            ],
        ),
    ]))
}

fn map(name: &str) -> Field {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    let entries = Field::new("key_value", DataType::Struct(entry), false);
    Field::new(name, DataType::Map(Arc::new(entries), false), true)
}

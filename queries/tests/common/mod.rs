//! A lake made by hand: files in memory, a state that names them, an engine over both.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test uses its part, and nobody else"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, MapBuilder, MapFieldNames, RecordBatch,
    StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tidegauge_model::{DAY_MS, Limits, Rollup, Series, is_stale};
use tidegauge_queries::{Engine, EngineSettings, QueryError, QueryOptions};
use tidegauge_tables::{DataFile, FileKind, Key, LakeState, Table, columns};
use tokio::sync::watch;

/// 2026-11-21T00:00:00Z.
pub(crate) const DAY: i64 = 1_795_219_200_000;

/// One sample of a series.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) series: Series,
    pub(crate) time: i64,
    pub(crate) value: f64,
}

pub(crate) fn series(tenant: &str, name: &str, labels: &[(&str, &str)]) -> Series {
    Series::new(tenant, name, &mut labels.to_vec(), &Limits::default()).expect("valid")
}

/// Files and the state that names them.
pub(crate) struct Lake {
    pub(crate) store: Arc<InMemory>,
    pub(crate) state: LakeState,
    pub(crate) page_rows: usize,
    pub(crate) group_rows: usize,
    pub(crate) files: usize,
}

impl Default for Lake {
    fn default() -> Self {
        let mut state = LakeState {
            version: Some(0),
            ..LakeState::default()
        };
        for table in [Table::Samples, Table::Series, Table::Rollup1m] {
            state.tables.entry(table).or_default();
        }
        Self {
            store: Arc::new(InMemory::new()),
            state,
            page_rows: 1_000,
            group_rows: 10_000,
            files: 0,
        }
    }
}

impl Lake {
    /// Adds files of `samples`, one a day; returns their paths.
    pub(crate) async fn samples(
        &mut self,
        kind: FileKind,
        version: u64,
        mut rows: Vec<Sample>,
    ) -> Vec<String> {
        rows.sort_by(|a, b| a.series.file_order(&b.series).then(a.time.cmp(&b.time)));
        let mut paths = Vec::new();
        for rows in by_day(rows, |row| row.time) {
            let values = rows.iter().map(|r| (!is_stale(r.value)).then_some(r.value));
            let mut named = named(rows.iter().map(|r| &r.series));
            named.insert("time", times(rows.iter().map(|r| Some(r.time))));
            named.insert("value", Arc::new(Float64Array::from_iter(values)));
            let keys = (key(&rows[0].series), key(&rows[rows.len() - 1].series));
            let span = span(rows.iter().map(|r| r.time));
            paths.push(
                self.add(Table::Samples, kind, version, named, keys, span)
                    .await,
            );
        }
        paths
    }

    /// Adds files of a rollup table, one a day: rows of (series, window's start).
    pub(crate) async fn rollups(
        &mut self,
        table: Table,
        kind: FileKind,
        version: u64,
        mut rows: Vec<(Series, i64, Rollup)>,
    ) {
        rows.sort_by(|a, b| a.0.file_order(&b.0).then(a.1.cmp(&b.1)));
        for rows in by_day(rows, |row| row.1) {
            let mut named = named(rows.iter().map(|r| &r.0));
            let float = |pick: fn(&Rollup) -> f64| -> ArrayRef {
                let values = rows.iter().map(|r| (r.2.count > 0).then(|| pick(&r.2)));
                Arc::new(Float64Array::from_iter(values))
            };
            let long = |pick: fn(&Rollup) -> u64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(
                    rows.iter().map(|r| pick(&r.2) as i64),
                ))
            };
            let some = |pick: fn(&Rollup) -> i64| {
                times(rows.iter().map(|r| (r.2.count > 0).then(|| pick(&r.2))))
            };
            named.extend([
                ("time", times(rows.iter().map(|r| Some(r.1)))),
                ("count", long(|r| r.count)),
                ("sum", float(|r| r.sum)),
                ("min", float(|r| r.min)),
                ("max", float(|r| r.max)),
                ("first", float(|r| r.first)),
                ("first_time", some(|r| r.first_time)),
                ("last", float(|r| r.last)),
                ("last_time", some(|r| r.last_time)),
                ("resets", long(|r| r.resets)),
                (
                    "reset_adj",
                    Arc::new(Float64Array::from_iter_values(
                        rows.iter().map(|r| r.2.reset_adj),
                    )),
                ),
                ("stale_time", times(rows.iter().map(|r| r.2.stale_time))),
            ]);
            let keys = (key(&rows[0].0), key(&rows[rows.len() - 1].0));
            let span = span(rows.iter().map(|r| r.1));
            self.add(table, kind, version, named, keys, span).await;
        }
    }

    /// Adds a file of `series` for one day: rows of (series, first seen, last seen).
    pub(crate) async fn series(
        &mut self,
        kind: FileKind,
        version: u64,
        mut rows: Vec<(Series, i64, i64)>,
    ) {
        rows.sort_by(|a, b| a.0.file_order(&b.0));
        for rows in by_day(rows, |row| row.1) {
            let mut named = named(rows.iter().map(|r| &r.0));
            let names = MapFieldNames {
                entry: "key_value".into(),
                key: "key".into(),
                value: "value".into(),
            };
            let mut labels =
                MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
                    .with_values_field(Arc::new(arrow::datatypes::Field::new(
                        "value",
                        arrow::datatypes::DataType::Utf8,
                        false,
                    )));
            for (series, _, _) in &rows {
                for (name, value) in series.labels() {
                    labels.keys().append_value(name);
                    labels.values().append_value(value);
                }
                labels.append(true).expect("as many keys as values");
            }
            let text =
                |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
            named.extend([
                ("labels", Arc::new(labels.finish()) as ArrayRef),
                ("type", text("gauge")),
                ("unit", text("")),
                ("help", text("")),
                ("first_seen", times(rows.iter().map(|r| Some(r.1)))),
                ("last_seen", times(rows.iter().map(|r| Some(r.2)))),
            ]);
            let keys = (key(&rows[0].0), key(&rows[rows.len() - 1].0));
            let span = (
                rows.iter().map(|r| r.1).min().expect("rows"),
                rows.iter().map(|r| r.2).max().expect("rows"),
            );
            self.add(Table::Series, kind, version, named, keys, span)
                .await;
        }
    }

    async fn add(
        &mut self,
        table: Table,
        kind: FileKind,
        version: u64,
        mut named: BTreeMap<&'static str, ArrayRef>,
        (min_key, max_key): (Key, Key),
        (min_time, max_time): (i64, i64),
    ) -> String {
        let schema = in_files(table);
        let arrays = schema.fields().iter().map(|field| {
            named
                .remove(field.name().as_str())
                .unwrap_or_else(|| panic!("no {}", field.name()))
        });
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).expect("columns fit");
        let properties = WriterProperties::builder()
            .set_data_page_row_count_limit(self.page_rows)
            .set_write_batch_size(self.page_rows)
            .set_max_row_group_row_count(Some(self.group_rows))
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, schema, Some(properties)).expect("a schema");
        writer.write(&batch).expect("rows");
        writer.close().expect("a file");
        let date = min_time.div_euclid(DAY_MS);
        self.files += 1;
        let path = format!("date={date}/{}.parquet", self.files);
        let file = DataFile {
            path: path.clone(),
            date: date as i32,
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            min_time,
            max_time,
            min_key,
            max_key,
            kind,
            compacted: false,
            taken_at: 0,
            version,
        };
        let place = Path::from(format!("here/{}/{path}", table.name()));
        self.store
            .put(&place, bytes.into())
            .await
            .expect("memory takes it");
        let state = self.state.tables.entry(table).or_default();
        state.version = state.version.max(version);
        state.files.insert(path.clone(), Arc::new(file));
        path
    }

    pub(crate) fn remove(&mut self, table: Table, path: &str) {
        self.state
            .tables
            .entry(table)
            .or_default()
            .files
            .remove(path);
    }

    pub(crate) fn engine(&self, settings: EngineSettings) -> Engine {
        let (_, state) = watch::channel(Arc::new(self.state.clone()));
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        Engine::new(settings, state, store, "here/").expect("an engine")
    }
}

fn in_files(table: Table) -> SchemaRef {
    let fields: Vec<_> = columns(table)
        .fields()
        .iter()
        .filter(|f| f.name() != "date")
        .map(|f| f.as_ref().clone())
        .collect();
    Arc::new(Schema::new(fields))
}

fn by_day<T>(rows: Vec<T>, time: impl Fn(&T) -> i64) -> Vec<Vec<T>> {
    let mut days: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for row in rows {
        days.entry(time(&row).div_euclid(DAY_MS))
            .or_default()
            .push(row);
    }
    days.into_values().collect()
}

fn named<'a>(series: impl Iterator<Item = &'a Series> + Clone) -> BTreeMap<&'static str, ArrayRef> {
    let text = |pick: fn(&Series) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(series.clone().map(pick)))
    };
    let ids = Int64Array::from_iter_values(series.clone().map(|s| s.id().as_i64()));
    BTreeMap::from([
        ("tenant", text(Series::tenant)),
        ("name", text(Series::name)),
        ("series_id", Arc::new(ids) as ArrayRef),
    ])
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(values).with_timezone("UTC"))
}

fn key(series: &Series) -> Key {
    Key {
        tenant: series.tenant().into(),
        name: series.name().into(),
    }
}

fn span(times: impl Iterator<Item = i64> + Clone) -> (i64, i64) {
    (
        times.clone().min().expect("rows"),
        times.max().expect("rows"),
    )
}

/// Asks and waits for all rows.
pub(crate) async fn ask(engine: &Engine, query: &str) -> Result<Vec<RecordBatch>, QueryError> {
    engine
        .sql(query, &QueryOptions::default())
        .await?
        .collect()
        .await
}

/// All rows as texts, floats by their bits.
pub(crate) async fn rows(engine: &Engine, query: &str) -> Vec<Vec<String>> {
    let batches = ask(engine, query)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    batches.iter().flat_map(texts).collect()
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<Vec<String>> = batch
        .columns()
        .iter()
        .map(|column| {
            use arrow::array::Array;
            use arrow::datatypes::{
                DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType,
            };
            match column.data_type() {
                DataType::Float64 => {
                    let values = column.as_primitive::<Float64Type>();
                    values
                        .iter()
                        .map(|v| v.map_or("NULL".into(), float))
                        .collect()
                }
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    let values = column.as_primitive::<TimestampMillisecondType>();
                    values
                        .iter()
                        .map(|v| v.map_or("NULL".into(), |v| v.to_string()))
                        .collect()
                }
                DataType::Int64 => {
                    let values = column.as_primitive::<Int64Type>();
                    values
                        .iter()
                        .map(|v| v.map_or("NULL".into(), |v| v.to_string()))
                        .collect()
                }
                _ => {
                    let shown =
                        ArrayFormatter::try_new(column, &options).expect("a type with a form");
                    (0..column.len())
                        .map(|row| shown.value(row).to_string())
                        .collect()
                }
            }
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| c[row].clone()).collect())
        .collect()
}

/// A float so that equal texts are equal bits.
pub(crate) fn float(value: f64) -> String {
    format!("{value:?}/{:x}", value.to_bits())
}

//! How much reading through the engine adds to plain DataFusion: average and maximum a minute of
//! every series, over an hour of samples a second, by both, on the same files and threads.
//!
//! `cargo run --release -p tidegauge-queries --example minute_aggregates [SERIES] [FOLDER]`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Schema;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tidegauge_queries::{Engine, EngineSettings, QueryOptions};
use tidegauge_tables::{DataFile, FileKind, Key, LakeState, Table, columns};
use tokio::sync::watch;

/// 2026-11-21T00:00:00Z.
const DAY: i64 = 1_795_219_200_000;
const SECONDS: i64 = 3600;
const QUERY: &str = "select series_id, date_bin(interval '1 minute', time) as minute, avg(value) as mean, max(value) as most from samples group by 1, 2";

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let series: i64 = arguments.next().map_or(Ok(5_070), |n| n.parse())?;
    let folder = arguments
        .next()
        .unwrap_or_else(|| "target/minute_aggregates".into());
    let folder = std::path::absolute(folder)?;
    let name = "date=2026-11-21/a.parquet";
    let path = folder.join("samples").join(name);
    if !path.exists() {
        write(&path, series)?;
    }
    let bytes = std::fs::metadata(&path)?.len();
    println!("{} samples in {bytes} bytes", series * SECONDS);
    let file = DataFile {
        path: name.into(),
        date: (DAY / 86_400_000) as i32,
        bytes,
        rows: (series * SECONDS) as u64,
        min_time: DAY,
        max_time: DAY + (SECONDS - 1) * 1000,
        min_key: key(0),
        max_key: key(series - 1),
        kind: FileKind::Main,
        compacted: false,
        taken_at: 0,
        version: 1,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        for _ in 0..3 {
            by_engine(&folder, file.clone()).await?;
            by_datafusion(&path).await?;
        }
        Ok(())
    })
}

fn metric(i: i64) -> String {
    format!("node_metric_{:03}", i / 10)
}

fn key(i: i64) -> Key {
    Key {
        tenant: "default".into(),
        name: metric(i),
    }
}

/// A file in the form of the raw tier: sorted, large pages, zstd.
fn write(path: &Path, series: i64) -> Fallible<()> {
    std::fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    let fields: Vec<_> = columns(Table::Samples)
        .fields()
        .iter()
        .filter(|field| field.name() != "date")
        .cloned()
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_data_page_row_count_limit(131_072)
        .set_write_batch_size(8_192)
        .set_data_page_size_limit(64 << 20)
        .set_column_dictionary_enabled("value".into(), false)
        .set_column_encoding("value".into(), Encoding::BYTE_STREAM_SPLIT)
        .build();
    let mut writer = ArrowWriter::try_new(
        std::fs::File::create(path)?,
        Arc::clone(&schema),
        Some(properties),
    )?;
    for i in 0..series {
        let rows = SECONDS as usize;
        let values = (0..SECONDS).map(|s| ((i * 31 + s * 7) % 1000) as f64 / 100.0);
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(StringArray::from(vec!["default"; rows])),
                Arc::new(StringArray::from(vec![metric(i); rows])),
                Arc::new(Int64Array::from(vec![i; rows])),
                Arc::new(
                    TimestampMillisecondArray::from_iter_values(
                        (0..SECONDS).map(|s| DAY + s * 1000),
                    )
                    .with_timezone("UTC"),
                ),
                Arc::new(Float64Array::from_iter_values(values)),
            ],
        )?;
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

async fn by_engine(folder: &Path, file: DataFile) -> Fallible<()> {
    let mut state = LakeState::default();
    let table = state.tables.entry(Table::Samples).or_default();
    table.files.insert(file.path.clone(), Arc::new(file));
    let (_state, lake) = watch::channel(Arc::new(state));
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder)?);
    let engine = Engine::new(EngineSettings::default(), lake, store, "")?;
    let clock = Clock::start()?;
    let mut answer = engine.sql(QUERY, &QueryOptions::default()).await?;
    let mut rows = 0;
    while let Some(batch) = answer.next().await {
        rows += batch?.num_rows();
    }
    clock.stop("engine", rows)
}

async fn by_datafusion(path: &Path) -> Fallible<()> {
    let context = SessionContext::new_with_config(SessionConfig::new());
    let path = path.to_str().ok_or("a path in UTF-8")?;
    context
        .register_parquet("samples", path, ParquetReadOptions::default())
        .await?;
    let clock = Clock::start()?;
    let mut answer = context.sql(QUERY).await?.execute_stream().await?;
    let mut rows = 0;
    while let Some(batch) = answer.next().await {
        rows += batch?.num_rows();
    }
    clock.stop("plain DataFusion", rows)
}

/// Wall clock and the processor time of this process.
struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Fallible<Self> {
        Ok(Self {
            wall: Instant::now(),
            cpu: cpu_seconds()?,
        })
    }

    fn stop(self, what: &str, rows: usize) -> Fallible<()> {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), cpu_seconds()? - self.cpu);
        println!("{what}: {rows} rows, {cpu:.2} CPU s, {wall:.2} s");
        Ok(())
    }
}

/// User and system time so far, from `/proc` in ticks of 10 ms.
fn cpu_seconds() -> Fallible<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .ok_or("a name")?
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

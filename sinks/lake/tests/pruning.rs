//! A reader that wants one series of a large file fetches little of it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidegauge_lake::{Filter, Profile, Values, data_path, encode_samples, read_samples};
use tidegauge_model::{DAY_MS, Limits, Runs, Series, Window};
use tidegauge_tables::{DataFile, FileKind, Key, Table};
use uuid::Uuid;

/// A store in memory that counts the bytes readers fetch.
#[derive(Debug, Default)]
struct Metered {
    inner: InMemory,
    fetched: AtomicU64,
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metered {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, at: &Path, body: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, body, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, opts: GetOptions) -> Result<GetResult> {
        let got = self.inner.get_opts(at, opts).await?;
        let bytes = got.range.end - got.range.start;
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
        Ok(got)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, opts: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, opts).await
    }
}

/// 40 names of 10 series each, with random values, which don't compress.
fn runs() -> Runs {
    let random = &mut SmallRng::seed_from_u64(1);
    let mut all = vec![];
    for i in 0..400 {
        let (name, host) = (format!("metric_{:02}", i % 40), format!("host-{i}"));
        let mut labels = vec![("host", host.as_str())];
        let one = Series::new("t", &name, &mut labels, &Limits::default());
        all.push(one.expect("a valid series"));
    }
    all.sort_by(Series::file_order);
    let mut runs = Runs::default();
    for one in &all {
        let time: Vec<i64> = (0..900)
            .map(|second| 20_000 * DAY_MS + second * 1000)
            .collect();
        let value: Vec<f64> = time.iter().map(|_| random.random()).collect();
        runs.push(one, &time, &value);
    }
    runs
}

async fn stored(store: &Arc<dyn ObjectStore>, runs: &Runs) -> Vec<Arc<DataFile>> {
    let profile = Profile {
        zstd_level: 1,
        page_rows: 1 << 12,
        plain_page_rows: 1 << 12,
        time_page_rows: 1 << 20,
        row_group_rows: 1 << 20,
        try_both: false,
    };
    let Runs { runs, time, value } = runs;
    let (kind, id) = (FileKind::Main, Uuid::nil());
    let file = encode_samples(runs, time, value, kind, Values::Plain, &profile, id)
        .expect("encodes")
        .expect("has rows");
    let path = data_path(Table::Samples, &file.file);
    store
        .put(&path, file.bytes.into())
        .await
        .expect("memory takes all");
    vec![Arc::new(file.file)]
}

#[tokio::test]
async fn one_series_costs_a_few_pages() {
    let metered = Arc::new(Metered::default());
    let store: Arc<dyn ObjectStore> = Arc::<Metered>::clone(&metered);
    let runs = runs();
    let files = stored(&store, &runs).await;
    let whole = files[0].bytes;
    assert!(whole > 2_000_000, "the file is large: {whole}");
    for index in [0, 7, 399] {
        let wanted = &runs.runs[index].series;
        let key = Key {
            tenant: wanted.tenant().into(),
            name: wanted.name().into(),
        };
        let filter = Filter {
            keys: Some(key.clone()..=key),
            only: Some(Arc::new(HashSet::from([wanted.id()]))),
            ..Filter::all()
        };
        metered.fetched.store(0, Ordering::Relaxed);
        let back = read_samples(&store, &files, &filter).await.expect("reads");
        let rows = index * 900..(index + 1) * 900;
        assert_eq!(back[0].time, runs.time[rows.clone()]);
        assert_eq!(back[0].rows, runs.value[rows]);
        let fetched = metered.fetched.load(Ordering::Relaxed);
        assert!(fetched < whole / 8, "{fetched} of {whole} bytes");
    }
}

#[tokio::test]
async fn a_file_outside_the_window_is_not_touched() {
    let metered = Arc::new(Metered::default());
    let store: Arc<dyn ObjectStore> = Arc::<Metered>::clone(&metered);
    let files = stored(&store, &runs()).await;
    metered.fetched.store(0, Ordering::Relaxed);
    let filter = Filter::window(Window {
        start: 0,
        end: DAY_MS,
    });
    let back = read_samples(&store, &files, &filter)
        .await
        .expect("nothing to read");
    assert!(back[0].time.is_empty());
    assert_eq!(metered.fetched.load(Ordering::Relaxed), 0);
}

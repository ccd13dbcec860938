//! Local folders and buckets as stores: durable puts, tries again, orphans.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Lake, compact, file, simulate, stream};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::faults::Fault;
use tidegauge_lake::{
    Clock, Committer, DurableFolder, LogSettings, Store, StoreSettings, SystemClock, Values,
    open_store, orphans,
};
use tidegauge_tables::{LogReader, Table};

fn folder_store(folder: &std::path::Path) -> Store {
    let settings = StoreSettings {
        url: format!("file://{}/lake", folder.display()),
        ..StoreSettings::default()
    };
    open_store(&settings, Arc::new(SystemClock), SmallRng::seed_from_u64(1)).expect("a folder")
}

async fn read(store: &dyn ObjectStore, path: &Path) -> String {
    let found = store.get(path).await.expect("it is there");
    String::from_utf8(found.bytes().await.expect("a file").to_vec()).expect("text")
}

#[tokio::test]
async fn a_folder_keeps_what_is_put_and_creates_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for fsync in [true, false] {
        let store = DurableFolder::open(&folder.path().join(fsync.to_string()), fsync);
        let store = store.expect("a folder");
        let path = Path::from("a/b/c.json");
        let put = |body: &'static str, mode| {
            store.put_opts(
                &path,
                PutPayload::from_static(body.as_bytes()),
                PutMode::into(mode),
            )
        };
        put("1", PutMode::Create).await.expect("it is new");
        let said = put("2", PutMode::Create).await.expect_err("it is there");
        assert!(matches!(said, Error::AlreadyExists { .. }), "{said}");
        assert_eq!(read(&store, &path).await, "1");
        put("3", PutMode::Overwrite)
            .await
            .expect("it may be replaced");
        assert_eq!(read(&store, &path).await, "3");
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.expect("a folder");
        assert_eq!(listed.len(), 1, "nothing staged is left: {listed:?}");
    }
}

#[tokio::test]
async fn what_broken_off_puts_left_is_cleared_once_it_is_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder_store(folder.path());
    let path = Path::from("samples/date=2026-01-01/a.parquet");
    let body = PutPayload::from_static(b"whole");
    store.objects.put(&path, body).await.expect("a folder");
    let lake = folder.path().join("lake");
    let staged = ["samples/date=2026-01-01/b.parquet#4711000001", "notes#1"];
    for name in staged {
        std::fs::write(lake.join(name), "half").expect("a folder");
    }
    // Clocks are read in milliseconds.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let hour = Duration::from_secs(3600);
    let young = store.remove_staged(hour).await.expect("a walk");
    assert_eq!(young, 0, "its put may still be on its way");
    let old = store.remove_staged(Duration::ZERO).await.expect("a walk");
    assert_eq!(old, 1);
    assert!(!lake.join(staged[0]).exists());
    assert!(
        lake.join(staged[1]).exists(),
        "it lies in no folder of ours"
    );
    assert_eq!(read(&store.objects, &path).await, "whole");
}

#[tokio::test]
async fn an_object_that_was_cut_short_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder_store(folder.path()).objects;
    let path = Path::from("samples/a.parquet");
    store
        .put(&path, PutPayload::from_static(b"half"))
        .await
        .expect("a folder");
    let read = store.get_ranges(&path, &[0..2, 6..8]);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    let said = read
        .expect("it is not asked again")
        .expect_err("it has 4 bytes");
    assert!(said.to_string().contains("cut it short"), "{said}");
}

#[tokio::test]
async fn of_many_that_create_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DurableFolder::open(folder.path(), true).expect("a folder");
    for round in 0..20 {
        let path = Path::from(format!("{round}.json"));
        let creates = (0..8)
            .map(|i: u8| store.put_opts(&path, PutPayload::from(vec![i]), PutMode::Create.into()));
        let answers = futures::future::join_all(creates).await;
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(winners, 1, "{answers:?}");
    }
}

#[tokio::test]
async fn a_lake_in_a_folder_is_claimed_committed_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder_store(folder.path());
    store
        .probe(uuid::Uuid::nil())
        .await
        .expect("a folder that can be written");
    for generation in 1..=3 {
        let claimed = Committer::claim(
            Arc::clone(&store.objects),
            Arc::new(SystemClock),
            SmallRng::seed_from_u64(generation),
            LogSettings::default(),
            Values::Plain,
        );
        let (writer, state) = claimed.await.expect("a lake");
        assert_eq!(state.generation, generation);
        let draft = stream(generation, &generation.to_string());
        let state = writer.commit(draft).await.expect("it is the writer");
        let reader = LogReader::new(Arc::clone(&store.objects), &Path::default());
        assert_eq!(reader.open().await.expect("a lake"), *state);
        if generation == 2 {
            assert!(writer.finish().await.expect("a folder").state);
        }
    }
    assert_eq!(store.health.report().failed, 0);
}

#[tokio::test]
async fn a_reader_of_a_lake_below_a_prefix_finds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder_store(folder.path());
    let claimed = Committer::claim(
        Arc::clone(&store.objects),
        Arc::new(SystemClock),
        SmallRng::seed_from_u64(1),
        LogSettings::default(),
        Values::Plain,
    );
    let (_, state) = claimed.await.expect("a lake");
    let above = DurableFolder::open(folder.path(), false).expect("a folder");
    let reader = LogReader::new(Arc::new(above), &Path::from("lake"));
    assert_eq!(reader.open().await.expect("a lake"), *state);
}

#[test]
fn an_absent_store_stalls_and_nothing_is_dropped() {
    simulate(async {
        let lake = Lake::new();
        let way = lake.way(1);
        let writer = lake.claim(&way).await;
        way.faults.die_after_puts(Some(0));
        let started = lake.clock.now_ms();
        let back = async {
            lake.pass(3_600_000).await;
            way.faults.die_after_puts(None);
        };
        let path = Path::from("samples/a.parquet");
        let put = way.store.put(&path, PutPayload::from_static(b"rows"));
        let (put, committed, ()) = tokio::join!(put, writer.commit(stream(1, "a")), back);
        put.expect("it waits");
        committed.expect("it waits");
        let waited = (lake.clock.now_ms() - started) / 1000;
        assert!((3600..3700).contains(&waited), "{waited} s");
        assert_eq!(read(&*lake.disk, &path).await, "rows");
        assert_eq!(lake.read().await, *writer.state());
    });
}

#[test]
fn a_data_file_outlives_every_fault() {
    simulate(async {
        let lake = Lake::new();
        for fault in Fault::ALL {
            // A plain put never meets a conflict.
            if fault == Fault::Conflict {
                continue;
            }
            let way = lake.way(1);
            way.faults.fail_next("samples", fault);
            let path = Path::from(format!("samples/{fault:?}.parquet"));
            way.store
                .put(&path, PutPayload::from_static(b"rows"))
                .await
                .expect("it waits");
            assert_eq!(read(&*lake.disk, &path).await, "rows");
        }
    });
}

#[test]
fn only_what_no_commit_names_is_an_orphan() {
    simulate(async {
        let lake = Lake::new();
        let writer = lake.writer(1).await;
        writer.commit(stream(1, "live")).await.expect("it fits");
        writer.commit(stream(2, "old")).await.expect("it fits");
        let state = writer
            .commit(compact(2, &["old"], "new"))
            .await
            .expect("it fits");
        let listed = |name: &str| ObjectMeta {
            location: format!("samples/{}", file(name).path).into(),
            // Long ago.
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let on_its_way = Path::from(format!("samples/{}", file("on-its-way").path));
        lake.disk
            .put(&on_its_way, PutPayload::new())
            .await
            .expect("memory");
        let on_its_way = lake.disk.head(&on_its_way).await.expect("it was just put");
        let mut log_entry = listed("x");
        log_entry.location = tidegauge_tables::paths::checkpoint(Table::Samples, 3);
        let listing = [
            listed("live"),
            listed("new"),
            listed("old"),
            listed("crashed"),
            on_its_way,
            log_entry,
        ];
        let now = state.committed_at;
        let names = |removed_before| {
            let found = orphans(&state, Table::Samples, &listing, 1_000, removed_before);
            found
                .into_iter()
                .map(|path| path.filename().unwrap_or("").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(now), ["crashed.parquet"]);
        assert_eq!(names(now + 1), ["old.parquet", "crashed.parquet"]);
    });
}

#[test]
fn settings_name_what_is_wrong() {
    let wrong: Result<StoreSettings, _> = serde_json::from_str(r#"{"bucket": "x"}"#);
    let said = wrong.expect_err("no such key").to_string();
    assert!(
        said.contains("unknown field `bucket`, expected one of `url`"),
        "{said}"
    );
    for (url, expected) in [
        ("lake", "relative URL without a base"),
        ("gs://lake", "`gs` is not a kind of store"),
        ("s3:///lake", "it names no bucket"),
    ] {
        let settings = StoreSettings {
            url: url.into(),
            ..StoreSettings::default()
        };
        let opened = open_store(&settings, Arc::new(SystemClock), SmallRng::seed_from_u64(1));
        let said = opened.expect_err("not a store").to_string();
        assert!(said.contains(expected), "{said}");
    }
}

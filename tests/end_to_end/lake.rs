//! The lake, read back file by file without the program.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tidegauge_lake::{Filter, Merge, Stored};
use tidegauge_model::{DAY_MS, HOUR_MS, MINUTE_MS, Rollup, Tier};
use tidegauge_tables::{DataFile, FileKind, LakeState, LogReader, Table};

use crate::node::Node;
use crate::oracle::{Expected, Rows, Samples, check_rows, check_rows_of, check_samples};

/// What the lake in a data directory holds.
pub(crate) struct Lake {
    pub(crate) state: LakeState,
    pub(crate) samples: Samples,
    pub(crate) minutes: Rows,
    pub(crate) hours: Rows,
}

impl Lake {
    pub(crate) fn read(data: &Path) -> Self {
        let store = LocalFileSystem::new_with_prefix(data.join("lake")).expect("a lake");
        Self::read_from(Arc::new(store))
    }

    /// What the lake at the root of a store holds.
    pub(crate) fn read_from(store: Arc<dyn ObjectStore>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let log = LogReader::new(Arc::clone(&store), &object_store::path::Path::default());
            let state = log.open().await.expect("a log");
            let mut samples = Samples::new();
            each::<f64>(&state, &store, Table::Samples, |key, value| {
                assert!(
                    samples.insert(key, value).is_none(),
                    "settled rows are unique"
                );
            })
            .await;
            let (mut minutes, mut hours) = (Rows::new(), Rows::new());
            for (tier, rows) in [(Tier::M1, &mut minutes), (Tier::H1, &mut hours)] {
                each::<Rollup>(&state, &store, Table::of(tier), |key, row| {
                    assert!(rows.insert(key, row).is_none(), "settled rows are unique");
                })
                .await;
            }
            Self {
                state,
                samples,
                minutes,
                hours,
            }
        })
    }

    /// The state of a lake that may be being written to.
    fn state(data: &Path) -> LakeState {
        let store = LocalFileSystem::new_with_prefix(data.join("lake")).expect("a lake");
        Self::state_of(Arc::new(store))
    }

    /// The state of the lake in `store`, which may be being written to.
    pub(crate) fn state_of(store: Arc<dyn ObjectStore>) -> LakeState {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let log = LogReader::new(store, &object_store::path::Path::default());
        runtime.block_on(log.open()).expect("a log")
    }

    /// Waits until everything is committed with all windows that end by `closed`, these are
    /// repaired, and past days are folded into files of which none repeats another's rows.
    pub(crate) fn wait_for_upkeep(node: &mut Node<'_>, closed: i64) {
        let data = node.data().to_owned();
        let what = "commit, repair and folding of everything";
        node.wait("/api/v1/stats/stream", what, |stream| {
            if stream["in_flight"] != 0 {
                return false;
            }
            let state = Self::state(&data);
            let mut dirty = state.dirty.range(..=closed - MINUTE_MS);
            state.watermark >= Some(closed) && dirty.next().is_none() && is_folded(&state)
        });
    }

    /// Compares everything but the dirty windows, which readers answer from raw.
    pub(crate) fn check_clean(&self, produced: &Samples) {
        let expected = Expected::new(produced.clone());
        check_samples(&self.samples, expected.samples.iter());
        let watermark = self.state.watermark.expect("windows were closed");
        for (tier, width, found, expected) in [
            ("1m", MINUTE_MS, &self.minutes, &expected.minutes),
            ("1h", HOUR_MS, &self.hours, &expected.hours),
        ] {
            let dirty = |start| {
                self.state
                    .dirty
                    .range(start..start + width)
                    .next()
                    .is_some()
            };
            let clean = |start| start + width <= watermark && !dirty(start);
            check_rows_of(tier, clean, found, expected);
        }
    }

    /// Compares everything that the files hold with what they must, for windows that end by
    /// `closed`.
    pub(crate) fn check(&self, expected: &Expected, closed: i64) {
        check_samples(&self.samples, expected.samples.iter());
        check_rows("1m", MINUTE_MS, closed, &self.minutes, &expected.minutes);
        check_rows("1h", HOUR_MS, closed, &self.hours, &expected.hours);
    }
}

fn is_folded(state: &LakeState) -> bool {
    let today = state.watermark.unwrap_or(i64::MIN).div_euclid(DAY_MS);
    let beside = |file: &DataFile| i64::from(file.date) < today && file.kind == FileKind::Overlay;
    [Table::Samples, Table::Rollup1m, Table::Rollup1h]
        .into_iter()
        .all(|table| !state.files(table).any(|file| beside(file)))
}

async fn each<T: Stored>(
    state: &LakeState,
    store: &Arc<dyn ObjectStore>,
    table: Table,
    mut take: impl FnMut((tidegauge_model::SeriesId, i64), T),
) {
    let files: Vec<_> = state.files(table).map(Arc::clone).collect();
    let mut merge = Merge::<T>::open(store, table, &files, &Filter::all())
        .await
        .expect("files");
    while let Some(rows) = merge.next().await.expect("rows") {
        for (time, row) in rows.time.into_iter().zip(rows.rows) {
            take((rows.key.series_id, time), row);
        }
    }
}

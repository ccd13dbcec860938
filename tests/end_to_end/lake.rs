//! The lake, read back file by file without the program.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tidegauge_lake::{Filter, Merge, Stored};
use tidegauge_model::{HOUR_MS, MINUTE_MS, Rollup, Tier};
use tidegauge_tables::{LakeState, LogReader, Table};

use crate::oracle::{Rows, Samples, hours, minutes, same};

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

    /// Compares everything with the samples that were produced. Dirty windows, which readers answer
    /// from raw, are left out of the rollups.
    pub(crate) fn check(&self, produced: &Samples) {
        assert_eq!(self.samples.len(), produced.len(), "rows of samples");
        for (key, value) in produced {
            let found = self.samples.get(key).map(|value| value.to_bits());
            assert_eq!(found, Some(value.to_bits()), "sample {key:?}");
        }
        let minutes = minutes(produced);
        self.check_rows("1m", MINUTE_MS, &self.minutes, &minutes);
        self.check_rows("1h", HOUR_MS, &self.hours, &hours(&minutes));
    }

    fn check_rows(&self, tier: &str, width: i64, found: &Rows, expected: &Rows) {
        let watermark = self.state.watermark.expect("windows were closed");
        let clean = |start: i64| {
            start + width <= watermark
                && self
                    .state
                    .dirty
                    .range(start..start + width)
                    .next()
                    .is_none()
        };
        for (key, row) in expected.iter().filter(|(key, _)| clean(key.1)) {
            let written = found
                .get(key)
                .unwrap_or_else(|| panic!("no {tier} row {key:?}"));
            assert!(
                same(written, row),
                "{tier} row {key:?}: {written:?} is not {row:?}"
            );
        }
        let extra = found
            .keys()
            .find(|key| clean(key.1) && !expected.contains_key(*key));
        assert_eq!(extra, None, "a {tier} row that no sample asks for");
    }
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

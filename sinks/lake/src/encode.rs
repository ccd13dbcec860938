//! Parquet files from sorted runs.
//!
//! A commit hands over one [`Sealed`] a worker; [`encode_sealed`] makes its files, one a table, day
//! and kind. Rows are sorted by (tenant, name, series id, time). Nothing here does I/O.

mod batch;
mod file;
mod key;
mod rejects;
mod rollups;
mod run;
mod samples;
mod series;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use tidegauge_model::Sealed;
use tidegauge_tables::{FileKind, Table, columns};
use uuid::Uuid;

pub use file::{EncodeError, Encoded, iso_date};
pub use key::{Keyed, RowKey};
pub use rejects::encode_rejects;
pub use rollups::encode_rollups;
pub use run::{RollupRun, SampleRun, day_of};
pub use samples::encode_samples;
pub use series::encode_series;
pub use settings::{EncodeSettings, Profile, Values};

/// All files of one worker's share of a commit, one a table, day (UTC) and kind; `ids` names them.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_sealed(
    sealed: &Sealed,
    settings: &EncodeSettings,
    ids: &mut dyn FnMut() -> Uuid,
) -> Result<Vec<Encoded>, EncodeError> {
    let profile = &settings.commit;
    let mut files = Vec::new();
    for (runs, kind) in [
        (&sealed.samples, FileKind::Main),
        (&sealed.overlay, FileKind::Overlay),
    ] {
        for runs in run::samples_by_day(runs).values() {
            files.extend(encode_samples(runs, kind, settings.values, profile, ids())?);
        }
    }
    for (tier, runs) in &sealed.rollups {
        for runs in run::rollups_by_day(runs).values() {
            let (table, kind) = (Table::of(*tier), FileKind::Main);
            files.extend(encode_rollups(table, runs, kind, profile, ids())?);
        }
    }
    for seen in by_day(&sealed.series, |seen| seen.first_seen).values() {
        files.extend(encode_series(seen, profile, ids())?);
    }
    for rejects in by_day(&sealed.rejects, |reject| reject.time).values() {
        files.extend(encode_rejects(rejects, profile, ids())?);
    }
    Ok(files)
}

/// The columns of `table` as its files hold them: without the partition column.
#[must_use]
pub fn file_schema(table: Table) -> SchemaRef {
    let all = columns(table);
    let fields = all.fields().iter().filter(|field| field.name() != "date");
    Arc::new(Schema::new(fields.map(Arc::clone).collect::<Vec<_>>()))
}

fn by_day<T>(rows: &[T], time: impl Fn(&T) -> i64) -> BTreeMap<i32, Vec<&T>> {
    let mut days = BTreeMap::<i32, Vec<&T>>::new();
    for row in rows {
        days.entry(day_of(time(row))).or_default().push(row);
    }
    days
}

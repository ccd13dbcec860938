//! Parquet files from sorted runs.
//!
//! A commit hands over one [`Sealed`] a worker; [`encode_sealed`] makes its files, one a table, day
//! and kind. Rows are sorted by (tenant, name, series id, time). Nothing here does I/O.

mod batch;
mod chunk;
mod doubles;
mod file;
mod hybrid;
mod integers;
mod intern;
mod key;
mod keys;
mod mantissas;
mod rejects;
mod rollups;
mod run;
mod samples;
mod series;
mod settings;
mod span;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use tidegauge_model::{RollupRuns, Runs, Sealed};
use tidegauge_tables::decimal::compact_columns;
use tidegauge_tables::{FileKind, Table, columns};
use uuid::Uuid;

pub use file::{EncodeError, Encoded, iso_date};
pub use key::{Keyed, RowKey};
pub use rejects::encode_rejects;
pub(crate) use rejects::{REJECTS_ORDER, write_rejects};
pub use rollups::{RollupWriter, encode_rollups};
pub use run::day_of;
pub use samples::{SampleWriter, encode_samples};
pub use series::encode_series;
pub use settings::{EncodeSettings, Profile, Values};
pub use span::KeyedRun;

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
        for day in run::samples_by_day(runs) {
            let Runs { runs, time, value } = &*day;
            let values = settings.values;
            let file = encode_samples(runs, time, value, kind, values, profile, ids())?;
            files.extend(file);
        }
    }
    for (tier, runs) in &sealed.rollups {
        for day in run::rollups_by_day(runs) {
            let RollupRuns { runs, time, rows } = &*day;
            let (table, kind) = (Table::of(*tier), FileKind::Main);
            files.extend(encode_rollups(
                table,
                runs,
                time,
                rows,
                kind,
                profile,
                ids(),
            )?);
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
    without_date(&columns(table))
}

/// The columns of a file of `samples` with values in the given form.
#[must_use]
pub fn samples_schema(values: Values) -> SchemaRef {
    match values {
        Values::Plain => file_schema(Table::Samples),
        Values::Compact => without_date(&compact_columns()),
    }
}

fn without_date(all: &Schema) -> SchemaRef {
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

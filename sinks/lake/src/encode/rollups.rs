//! Files of rollup rows.

use parquet::errors::Result;
use tidegauge_model::Rollup;
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::file::{EncodeError, Encoded, Extent};
use super::key::RowKey;
use super::settings::Profile;
use super::span::{KeyedRun, Span, cut, spans};
use super::writer::{FileWriter, Group};
use super::{doubles, file_schema, integers, keys};

/// Writes rollup rows of one day as one file of `table`; none for no rows. `runs` says whose the
/// rows are; `time` holds the windows' starts; rows are in file order, one a series and window.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_rollups<R: KeyedRun>(
    table: Table,
    runs: &[R],
    time: &[i64],
    rows: &[Rollup],
    kind: FileKind,
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let spans = spans(runs);
    let Some(extent) = Extent::of(&spans, time) else {
        return Ok(None);
    };
    let bytes = write(table, &spans, time, rows, profile).map_err(EncodeError::of(table))?;
    Ok(Some(extent.finish(table, kind, id, bytes)))
}

fn write(
    table: Table,
    spans: &[Span<'_>],
    time: &[i64],
    rows: &[Rollup],
    profile: &Profile,
) -> Result<Vec<u8>> {
    let mut file = FileWriter::new(&file_schema(table), profile)?;
    let group_rows = profile.row_group_rows.max(1);
    let groups = cut(spans, group_rows);
    let chunks = time.chunks(group_rows).zip(rows.chunks(group_rows));
    for (spans, (time, rows)) in groups.iter().zip(chunks) {
        file.row_group(|group| columns(group, spans, time, rows, profile))?;
    }
    file.finish()
}

fn columns(
    group: &mut Group<'_>,
    spans: &[Span<'_>],
    time: &[i64],
    rows: &[Rollup],
    profile: &Profile,
) -> Result<()> {
    keys::columns(group, spans, rows.len(), profile.page_rows)?;
    group.column(|chunk| integers::integers(chunk, profile.time_page_rows, time, true))?;
    let mut columns = Columns {
        group,
        rows,
        profile,
    };
    columns.counts(|row| row.count)?;
    columns.doubles(|row| row.sum)?;
    columns.doubles(|row| row.min)?;
    columns.doubles(|row| row.max)?;
    columns.doubles(|row| row.first)?;
    columns.times(|row| (row.count > 0).then_some(row.first_time))?;
    columns.doubles(|row| row.last)?;
    columns.times(|row| (row.count > 0).then_some(row.last_time))?;
    columns.counts(|row| row.resets)?;
    let lost: Vec<f64> = rows.iter().map(|row| row.reset_adj).collect();
    columns
        .group
        .column(|chunk| doubles::doubles(chunk, profile.page_rows, &lost))?;
    columns.times(|row| row.stale_time)
}

struct Columns<'a, 'w> {
    group: &'a mut Group<'w>,
    rows: &'a [Rollup],
    profile: &'a Profile,
}

impl Columns<'_, '_> {
    fn counts(&mut self, get: fn(&Rollup) -> u64) -> Result<()> {
        let counts: Vec<i64> = self.rows.iter().map(|row| get(row).cast_signed()).collect();
        let page_rows = self.profile.time_page_rows;
        self.group
            .column(|chunk| integers::integers(chunk, page_rows, &counts, false))
    }

    /// A window of nothing but stale markers has no values.
    fn doubles(&mut self, get: fn(&Rollup) -> f64) -> Result<()> {
        let values: Vec<f64> = self.rows.iter().map(get).collect();
        let (rows, page_rows) = (self.rows, self.profile.page_rows);
        self.group.column(|chunk| {
            doubles::optional_doubles(chunk, page_rows, &values, |row| rows[row].count == 0)
        })
    }

    fn times(&mut self, get: fn(&Rollup) -> Option<i64>) -> Result<()> {
        let times: Vec<Option<i64>> = self.rows.iter().map(get).collect();
        let page_rows = self.profile.time_page_rows;
        self.group
            .column(|chunk| integers::optional_integers(chunk, page_rows, &times))
    }
}

/// Writes one file of rollup rows run by run, holding one row group of rows and the finished bytes.
pub struct RollupWriter {
    table: Table,
    file: FileWriter,
    profile: Profile,
    runs: Vec<(RowKey, usize)>,
    time: Vec<i64>,
    row: Vec<Rollup>,
    extent: Option<Extent>,
}

impl RollupWriter {
    /// A writer of an empty file of `table`.
    ///
    /// # Errors
    /// If the Parquet library refuses the settings.
    pub fn new(table: Table, profile: &Profile) -> Result<Self, EncodeError> {
        let file = FileWriter::new(&file_schema(table), profile).map_err(EncodeError::of(table))?;
        Ok(Self {
            table,
            file,
            profile: *profile,
            runs: Vec::new(),
            time: Vec::new(),
            row: Vec::new(),
            extent: None,
        })
    }

    /// Adds one row: of the series of the call before, later than that row, or of a series after it
    /// in file order; all windows start on one day.
    ///
    /// # Errors
    /// If a row group is full and can't be written.
    pub fn push(&mut self, key: &RowKey, start: i64, row: Rollup) -> Result<(), EncodeError> {
        match self.runs.last_mut() {
            Some(last) if last.0 == *key => last.1 += 1,
            _ => self.runs.push((key.clone(), 1)),
        }
        self.time.push(start);
        self.row.push(row);
        if self.time.len() >= self.profile.row_group_rows {
            self.flush()?;
        }
        Ok(())
    }

    /// Bytes of finished row groups.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.file.bytes()
    }

    /// The file; none if no row was added.
    ///
    /// # Errors
    /// If the last row group can't be written.
    pub fn finish(mut self, kind: FileKind, id: Uuid) -> Result<Option<Encoded>, EncodeError> {
        self.flush()?;
        let Some(extent) = self.extent else {
            return Ok(None);
        };
        let bytes = self.file.finish().map_err(EncodeError::of(self.table))?;
        Ok(Some(extent.finish(self.table, kind, id, bytes)))
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let spans = spans(&self.runs);
        let Some(extent) = Extent::of(&spans, &self.time) else {
            return Ok(());
        };
        let (time, rows) = (&self.time, &self.row);
        self.file
            .row_group(|group| columns(group, &spans, time, rows, &self.profile))
            .map_err(EncodeError::of(self.table))?;
        Extent::join(&mut self.extent, extent);
        self.runs.clear();
        self.time.clear();
        self.row.clear();
        Ok(())
    }
}

//! Files of samples.

use arrow::datatypes::Schema;
use parquet::errors::Result;
use tidegauge_model::is_stale;
use tidegauge_tables::decimal::{Decimals, IN_REST, IS_NULL, MOST};
use tidegauge_tables::{FileKind, Table};
use uuid::Uuid;

use super::file::{EncodeError, Encoded, Extent};
use super::key::RowKey;
use super::settings::{Profile, Values};
use super::span::{KeyedRun, Span, cut, spans};
use super::writer::{FileWriter, Group};
use super::{doubles, integers, keys, mantissas, samples_schema};

/// Writes samples of one day as one file; none for no rows. `runs` says whose the rows of `time`
/// and `value` are; rows are in file order and settled.
///
/// # Errors
/// If the Parquet library refuses the settings.
pub fn encode_samples<R: KeyedRun>(
    runs: &[R],
    time: &[i64],
    value: &[f64],
    kind: FileKind,
    values: Values,
    profile: &Profile,
    id: Uuid,
) -> Result<Option<Encoded>, EncodeError> {
    let spans = spans(runs);
    let Some(extent) = Extent::of(&spans, time) else {
        return Ok(None);
    };
    let bytes =
        write(&spans, time, value, values, profile).map_err(EncodeError::of(Table::Samples))?;
    Ok(Some(extent.finish(Table::Samples, kind, id, bytes)))
}

fn write(
    spans: &[Span<'_>],
    time: &[i64],
    value: &[f64],
    values: Values,
    profile: &Profile,
) -> Result<Vec<u8>> {
    let mut file = FileWriter::new(&samples_schema(values), profile)?;
    let group_rows = profile.row_group_rows.max(1);
    let groups = cut(spans, group_rows);
    let rows = time.chunks(group_rows).zip(value.chunks(group_rows));
    for (spans, (time, value)) in groups.iter().zip(rows) {
        file.row_group(|group| columns(group, spans, time, value, values, profile))?;
    }
    file.finish()
}

fn columns(
    group: &mut Group<'_>,
    spans: &[Span<'_>],
    time: &[i64],
    value: &[f64],
    values: Values,
    profile: &Profile,
) -> Result<()> {
    keys::columns(group, spans, time.len(), profile.page_rows)?;
    group.column(|chunk| integers::integers(chunk, profile.time_page_rows, time, true))?;
    match values {
        Values::Plain => group.column(|chunk| {
            doubles::optional_doubles(chunk, profile.plain_page_rows, value, |row| {
                is_stale(value[row])
            })
        }),
        Values::Compact => compact(group, spans, value, profile),
    }
}

fn compact(
    group: &mut Group<'_>,
    spans: &[Span<'_>],
    value: &[f64],
    profile: &Profile,
) -> Result<()> {
    let page_rows = profile.page_rows;
    let mut decimals = Decimals::default();
    let mut rest = value;
    for span in spans {
        let (run, tail) = rest.split_at(span.rows);
        decimals.push_run(run);
        rest = tail;
    }
    let Decimals {
        mantissa,
        exponent,
        rest,
    } = &decimals;
    let mut pages = Vec::new();
    group.column(|chunk| {
        pages = mantissas::mantissas(chunk, page_rows, profile.try_both, spans, mantissa)?;
        Ok(())
    })?;
    group.column(|chunk| integers::small(chunk, page_rows, exponent, IS_NULL, MOST))?;
    group.column(|chunk| {
        doubles::optional_doubles(chunk, page_rows, rest, |row| exponent[row] != IN_REST)
    })?;
    group.column(|chunk| mantissas::bases(chunk, &pages))
}

/// Writes one file of `samples` run by run, holding one row group of rows and the finished bytes:
/// how upkeep writes what does not fit memory.
pub struct SampleWriter {
    file: FileWriter,
    values: Values,
    profile: Profile,
    runs: Vec<(RowKey, usize)>,
    time: Vec<i64>,
    value: Vec<f64>,
    extent: Option<Extent>,
}

impl SampleWriter {
    /// A writer of an empty file.
    ///
    /// # Errors
    /// If the Parquet library refuses the settings.
    pub fn new(values: Values, profile: &Profile) -> Result<Self, EncodeError> {
        let schema: &Schema = &samples_schema(values);
        let file = FileWriter::new(schema, profile).map_err(EncodeError::of(Table::Samples))?;
        Ok(Self {
            file,
            values,
            profile: *profile,
            runs: Vec::new(),
            time: Vec::new(),
            value: Vec::new(),
            extent: None,
        })
    }

    /// Adds rows of one series: the one of the call before or one after it in file order; times
    /// ascend strictly within a series and all lie on one day.
    ///
    /// # Errors
    /// If a row group is full and can't be written.
    pub fn push(&mut self, key: &RowKey, time: &[i64], value: &[f64]) -> Result<(), EncodeError> {
        assert_eq!(time.len(), value.len(), "times and values of one run");
        let (mut time, mut value) = (time, value);
        while !time.is_empty() {
            let room = self.profile.row_group_rows.max(1) - self.time.len();
            let taken = room.min(time.len());
            match self.runs.last_mut() {
                Some(last) if last.0 == *key => last.1 += taken,
                _ => self.runs.push((key.clone(), taken)),
            }
            self.time.extend_from_slice(&time[..taken]);
            self.value.extend_from_slice(&value[..taken]);
            (time, value) = (&time[taken..], &value[taken..]);
            if taken == room {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Bytes of finished row groups.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.file.bytes()
    }

    /// Rows added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.extent.as_ref().map_or(0, |extent| extent.rows) + self.time.len() as u64
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
        let bytes = self
            .file
            .finish()
            .map_err(EncodeError::of(Table::Samples))?;
        Ok(Some(extent.finish(Table::Samples, kind, id, bytes)))
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let spans = spans(&self.runs);
        let Some(extent) = Extent::of(&spans, &self.time) else {
            return Ok(());
        };
        let (time, value) = (&self.time, &self.value);
        self.file
            .row_group(|group| columns(group, &spans, time, value, self.values, &self.profile))
            .map_err(EncodeError::of(Table::Samples))?;
        Extent::join(&mut self.extent, extent);
        self.runs.clear();
        self.time.clear();
        self.value.clear();
        Ok(())
    }
}

//! Rows as they come from a file: sorted runs.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use tidegauge_model::SeriesId;

use crate::encode::RowKey;

/// What a table holds of a series at a time.
pub trait Stored: Clone + Send + 'static {
    /// The column by which rows of one series are ordered.
    const TIME: &'static str;

    /// The rows of a batch.
    ///
    /// # Errors
    /// What is missing or of another type.
    fn decode(batch: &RecordBatch) -> Result<Vec<Self>, String>;

    /// Settles the rows of one series from several files, in place: `pieces` says how many rows
    /// came from each file, one behind the other, and of which version the file is. Rows ascend
    /// strictly in time within a piece, and must do so in all when this returns.
    fn settle(time: &mut Vec<i64>, rows: &mut Vec<Self>, pieces: &[(usize, u64)]);
}

/// Sorted runs: each key with its number of rows, then the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<T> {
    /// Whose rows, and how many.
    pub runs: Vec<(RowKey, usize)>,
    /// Times, all runs one behind the other.
    pub time: Vec<i64>,
    /// Values, parallel to `time`.
    pub rows: Vec<T>,
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            time: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<T> Block<T> {
    /// Adds the block that follows in the same file: its first run may go on with our last.
    pub fn append(&mut self, next: Self) {
        for (key, rows) in next.runs {
            match self.runs.last_mut() {
                Some(last) if last.0 == key => last.1 += rows,
                _ => self.runs.push((key, rows)),
            }
        }
        self.time.extend(next.time);
        self.rows.extend(next.rows);
    }

    /// Each key with its times and rows.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, &[i64], &[T])> {
        let mut at = 0;
        self.runs.iter().map(move |(key, rows)| {
            let range = at..at + rows;
            at += rows;
            (key, &self.time[range.clone()], &self.rows[range])
        })
    }
}

impl<T: Stored> Block<T> {
    /// The rows of `batch` that `keep` wants of each series, by id and time.
    pub(crate) fn decode(
        batch: &RecordBatch,
        keep_series: impl Fn(&RowKey) -> bool,
        keep_time: impl Fn(i64) -> bool,
    ) -> Result<Self, String> {
        let rows = T::decode(batch)?;
        let time = column(batch, T::TIME)?
            .as_primitive_opt::<TimestampMillisecondType>()
            .ok_or_else(|| format!("`{}` is no time", T::TIME))?
            .values();
        let ids = column(batch, "series_id")?
            .as_primitive_opt::<Int64Type>()
            .ok_or("`series_id` is no integer")?
            .values();
        let mut names = Names::new(batch)?;
        let mut out = Self::default();
        let mut at = 0;
        for ids in ids.chunk_by(|a, b| a == b) {
            let range = at..at + ids.len();
            at = range.end;
            let key = names.key(range.start, ids[0]);
            if !keep_series(&key) {
                continue;
            }
            let before = out.time.len();
            if time[range.clone()].iter().all(|&at| keep_time(at)) {
                out.time.extend_from_slice(&time[range.clone()]);
                out.rows.extend_from_slice(&rows[range]);
            } else {
                for row in range.filter(|&row| keep_time(time[row])) {
                    out.time.push(time[row]);
                    out.rows.push(rows[row].clone());
                }
            }
            let kept = out.time.len() - before;
            if kept > 0 {
                out.runs.push((key, kept));
            }
        }
        Ok(out)
    }
}

/// Tenants and names of a batch, as shared strings that are made once per distinct one in a row.
struct Names<'a> {
    tenant: Text<'a>,
    name: Text<'a>,
    last: Option<RowKey>,
}

impl<'a> Names<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, String> {
        Ok(Self {
            tenant: Text::new(batch, "tenant")?,
            name: Text::new(batch, "name")?,
            last: None,
        })
    }

    fn key(&mut self, row: usize, id: i64) -> RowKey {
        let series_id = SeriesId(id.cast_unsigned());
        let (tenant, name) = (self.tenant.at(row), self.name.at(row));
        let key = match self.last.take() {
            Some(last) if &*last.tenant == tenant && &*last.name == name => {
                RowKey { series_id, ..last }
            }
            Some(last) if &*last.tenant == tenant => RowKey {
                tenant: last.tenant,
                name: name.into(),
                series_id,
            },
            _ => RowKey {
                tenant: tenant.into(),
                name: name.into(),
                series_id,
            },
        };
        self.last = Some(key.clone());
        key
    }
}

struct Text<'a> {
    indices: &'a [i32],
    values: &'a StringArray,
}

impl<'a> Text<'a> {
    fn new(batch: &'a RecordBatch, name: &str) -> Result<Self, String> {
        let text = column(batch, name)?
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| format!("`{name}` is no text"))?;
        let values = text
            .values()
            .as_string_opt::<i32>()
            .ok_or_else(|| format!("`{name}` is no text"))?;
        Ok(Self {
            indices: text.keys().values(),
            values,
        })
    }

    fn at(&self, row: usize) -> &'a str {
        let index = usize::try_from(self.indices[row]).expect("keys of no null are not negative");
        self.values.value(index)
    }
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, String> {
    batch
        .column_by_name(name)
        .map(AsRef::as_ref)
        .ok_or_else(|| format!("no column `{name}`"))
}

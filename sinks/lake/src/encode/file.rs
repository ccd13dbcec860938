//! A finished file and its entry.

use bytes::Bytes;
use tidegauge_tables::{DataFile, FileKind, Key, Table};
use uuid::Uuid;

use super::run::day_of;
use super::span::Span;

/// A file, ready to be put, with the entry that a commit names it by.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The table it belongs to.
    pub table: Table,
    /// Its entry; `version` is 0 until it is committed.
    pub file: DataFile,
    /// Its content.
    pub bytes: Bytes,
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The Parquet library refused: a setting it does not take, or more rows than the format holds.
    #[error("encoding a file of {table} rows failed; check the encode settings: {source}")]
    Parquet {
        /// The table's name.
        table: &'static str,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
}

impl EncodeError {
    pub(crate) fn of<E: Into<parquet::errors::ParquetError>>(table: Table) -> impl Fn(E) -> Self {
        move |source| Self::Parquet {
            table: table.name(),
            source: source.into(),
        }
    }
}

/// What is known of a file's rows before they are bytes.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) date: i32,
    pub(crate) rows: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) min_key: Key,
    pub(crate) max_key: Key,
}

impl Extent {
    /// That of one day's rows in file order; none for no rows.
    pub(crate) fn of(spans: &[Span<'_>], time: &[i64]) -> Option<Self> {
        let (first, last) = (spans.first()?, spans.last()?);
        let rows: usize = spans.iter().map(|span| span.rows).sum();
        assert_eq!(rows, time.len(), "run lengths add up to the rows");
        let start = (i64::MAX, i64::MIN);
        let (min_time, max_time) = time
            .iter()
            .fold(start, |(least, most), &at| (least.min(at), most.max(at)));
        let key = |span: &Span<'_>| Key {
            tenant: span.tenant.to_owned(),
            name: span.name.to_owned(),
        };
        Some(Self {
            date: day_of(min_time),
            rows: rows as u64,
            min_time,
            max_time,
            min_key: key(first),
            max_key: key(last),
        })
    }

    /// Adds that of the rows that follow in file order.
    pub(crate) fn join(whole: &mut Option<Self>, next: Self) {
        match whole {
            None => *whole = Some(next),
            Some(whole) => {
                whole.rows += next.rows;
                whole.min_time = whole.min_time.min(next.min_time);
                whole.max_time = whole.max_time.max(next.max_time);
                whole.max_key = next.max_key;
            }
        }
    }

    /// Gives the file its name and entry.
    pub(crate) fn finish(self, table: Table, kind: FileKind, id: Uuid, bytes: Vec<u8>) -> Encoded {
        let file = DataFile {
            path: format!("date={}/{id}.parquet", iso_date(self.date)),
            date: self.date,
            bytes: bytes.len() as u64,
            rows: self.rows,
            min_time: self.min_time,
            max_time: self.max_time,
            min_key: self.min_key,
            max_key: self.max_key,
            kind,
            compacted: false,
            taken_at: 0,
            version: 0,
        };
        Encoded {
            table,
            file,
            bytes: bytes.into(),
        }
    }
}

/// `days` since 1970 as `YYYY-MM-DD`. Source: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
#[must_use]
pub fn iso_date(days: i32) -> String {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::iso_date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(iso_date(days), date);
        }
    }
}

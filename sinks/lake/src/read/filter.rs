//! Which rows are wanted, and what of a file can be passed over unread.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use parquet::arrow::arrow_reader::RowSelection;
use parquet::data_type::AsBytes;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use tidegauge_model::{SeriesId, Window};
use tidegauge_tables::{DataFile, Key};

use crate::encode::RowKey;

/// Which rows are wanted: those that every part lets through.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Times (for `series`: first seen) inside.
    pub window: Window,
    /// Tenants and names from the first to the last, both included.
    pub keys: Option<RangeInclusive<Key>>,
    /// These series.
    pub only: Option<Arc<HashSet<SeriesId>>>,
}

impl Filter {
    /// Every row.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            window: Window {
                start: i64::MIN,
                end: i64::MAX,
            },
            keys: None,
            only: None,
        }
    }

    /// Every row of a span of time.
    #[must_use]
    pub const fn window(window: Window) -> Self {
        Self {
            window,
            keys: None,
            only: None,
        }
    }

    /// Whether the file may hold a wanted row.
    #[must_use]
    pub fn wants_file(&self, file: &DataFile) -> bool {
        let in_keys = self
            .keys
            .as_ref()
            .is_none_or(|keys| file.min_key <= *keys.end() && file.max_key >= *keys.start());
        let window = &self.window;
        let in_window = file.min_time < window.end && file.max_time >= window.start;
        in_keys && in_window && window.start < window.end
    }

    pub(crate) fn wants_series(&self, key: &RowKey) -> bool {
        let by_id = self
            .only
            .as_ref()
            .is_none_or(|only| only.contains(&key.series_id));
        by_id
            && self.keys.as_ref().is_none_or(|keys| {
                let key = (&*key.tenant, &*key.name);
                let (first, last) = (keys.start(), keys.end());
                (&*first.tenant, &*first.name) <= key && key <= (&*last.tenant, &*last.name)
            })
    }

    /// Whether the least and greatest of a part of a file leave room for a wanted row; `None`
    /// knows nothing.
    fn wants_part(&self, part: &Part<'_>) -> bool {
        let by_id = match (&self.only, part.ids) {
            (Some(only), Some((least, most))) => {
                only.iter().any(|id| (least..=most).contains(&id.as_i64()))
            }
            _ => true,
        };
        let by_tenant = match (&self.keys, part.tenants) {
            (Some(keys), Some((least, most))) => {
                least <= keys.end().tenant.as_bytes() && most >= keys.start().tenant.as_bytes()
            }
            _ => true,
        };
        // Names ascend within one tenant only.
        let by_name = match (&self.keys, part.names) {
            (Some(keys), Some((least, most))) if keys.start().tenant == keys.end().tenant => {
                least <= keys.end().name.as_bytes() && most >= keys.start().name.as_bytes()
            }
            _ => true,
        };
        by_id && by_tenant && by_name
    }

    /// The row groups to read, and which of their rows.
    pub(crate) fn select(
        &self,
        metadata: &ParquetMetaData,
        columns: &KeyColumns,
    ) -> (Vec<usize>, Option<RowSelection>) {
        let mut groups = Vec::new();
        let mut ranges = Vec::new();
        let mut before = 0;
        for (index, group) in metadata.row_groups().iter().enumerate() {
            if !self.wants_group(group, columns) {
                continue;
            }
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            groups.push(index);
            let pages = self.pages(metadata, index, rows, columns);
            ranges.extend(pages.into_iter().map(|p| p.start + before..p.end + before));
            before += rows;
        }
        let whole = ranges.iter().map(ExactSizeIterator::len).sum::<usize>() == before;
        let selection =
            (!whole).then(|| RowSelection::from_consecutive_ranges(ranges.into_iter(), before));
        (groups, selection)
    }

    fn wants_group(&self, group: &RowGroupMetaData, columns: &KeyColumns) -> bool {
        let of = |column: usize| group.column(column).statistics();
        let time = of(columns.time).and_then(ints);
        let in_window =
            time.is_none_or(|(least, most)| least < self.window.end && most >= self.window.start);
        in_window
            && self.wants_part(&Part {
                ids: of(columns.series_id).and_then(ints),
                tenants: of(columns.tenant).and_then(texts),
                names: of(columns.name).and_then(texts),
            })
    }

    /// Ranges of rows of one row group whose pages may hold a wanted row. The three key columns are
    /// cut into pages alike.
    fn pages(
        &self,
        metadata: &ParquetMetaData,
        group: usize,
        rows: usize,
        columns: &KeyColumns,
    ) -> Vec<Range<usize>> {
        let indexes = metadata
            .column_index()
            .zip(metadata.offset_index())
            .map(|(all, offsets)| (&all[group], &offsets[group]));
        let Some((indexes, offsets)) = indexes else {
            return std::iter::once(0..rows).collect();
        };
        let starts: Vec<usize> = offsets[columns.series_id]
            .page_locations()
            .iter()
            .map(|page| usize::try_from(page.first_row_index).unwrap_or(0))
            .collect();
        let alike = [columns.tenant, columns.name, columns.series_id]
            .iter()
            .all(|&column| indexes[column].num_pages() == starts.len() as u64);
        if !alike {
            return std::iter::once(0..rows).collect();
        }
        (0..starts.len())
            .filter(|&page| {
                self.wants_part(&Part {
                    ids: page_ints(&indexes[columns.series_id], page),
                    tenants: page_texts(&indexes[columns.tenant], page),
                    names: page_texts(&indexes[columns.name], page),
                })
            })
            .map(|page| starts[page]..starts.get(page + 1).copied().unwrap_or(rows))
            .collect()
    }
}

/// Where in a file the columns are that its parts are told by.
pub(crate) struct KeyColumns {
    pub(crate) tenant: usize,
    pub(crate) name: usize,
    pub(crate) series_id: usize,
    pub(crate) time: usize,
}

/// The least and the greatest of a row group or page.
struct Part<'a> {
    ids: Option<(i64, i64)>,
    tenants: Option<(&'a [u8], &'a [u8])>,
    names: Option<(&'a [u8], &'a [u8])>,
}

fn ints(statistics: &Statistics) -> Option<(i64, i64)> {
    match statistics {
        Statistics::Int64(values) => values.min_opt().copied().zip(values.max_opt().copied()),
        _ => None,
    }
}

fn texts(statistics: &Statistics) -> Option<(&[u8], &[u8])> {
    match statistics {
        Statistics::ByteArray(values) => values
            .min_opt()
            .map(AsBytes::as_bytes)
            .zip(values.max_opt().map(AsBytes::as_bytes)),
        _ => None,
    }
}

fn page_ints(index: &ColumnIndexMetaData, page: usize) -> Option<(i64, i64)> {
    match index {
        ColumnIndexMetaData::INT64(values) => values
            .min_value(page)
            .copied()
            .zip(values.max_value(page).copied()),
        _ => None,
    }
}

fn page_texts(index: &ColumnIndexMetaData, page: usize) -> Option<(&[u8], &[u8])> {
    match index {
        ColumnIndexMetaData::BYTE_ARRAY(values) => {
            values.min_value(page).zip(values.max_value(page))
        }
        _ => None,
    }
}

//! How files are written: plain data, set once for a lake.

use serde::{Deserialize, Serialize};

/// How files are written. The commit wants to be quick, since it stands between a sample and its
/// being queryable; compaction wants to be small, since its files stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeSettings {
    /// The form of the column `value` of `samples`.
    pub values: Values,
    /// For the files of commits of the stream.
    pub commit: Profile,
    /// For the files upkeep writes.
    pub compaction: Profile,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            values: Values::Plain,
            commit: Profile {
                zstd_level: 1,
                page_rows: 1 << 17,
                plain_page_rows: 1 << 17,
                time_page_rows: 1 << 20,
                row_group_rows: 1 << 20,
                try_both: false,
            },
            compaction: Profile {
                zstd_level: 6,
                page_rows: 1 << 17,
                plain_page_rows: 1 << 19,
                time_page_rows: 1 << 21,
                row_group_rows: 1 << 21,
                try_both: true,
            },
        }
    }
}

/// The form of sample values in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// One column of doubles, which every engine reads.
    #[default]
    Plain,
    /// Decimal mantissa, base, exponent and rest: smaller, but other engines see four columns.
    Compact,
}

/// The trade of time for bytes of one kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Level of zstd, 1 to 22.
    pub zstd_level: i32,
    /// Rows a page of keys and of compact values: what a reader of one series reads at least.
    pub page_rows: usize,
    /// Rows a page of plain values. What repeats in them lies further apart.
    pub plain_page_rows: usize,
    /// Rows a page of times. Times repeat from series to series and are nearly free in large pages.
    pub time_page_rows: usize,
    /// Rows a row group.
    pub row_group_rows: usize,
    /// Whether each page of compact values is tried in two encodings and the smaller kept.
    pub try_both: bool,
}

//! One table per metric, with its labels as columns.

mod cache;
mod label_exec;
mod schema;
mod series;
mod table;
mod values;

use tidegauge_tables::Table;

pub(crate) use cache::MetricCache;
pub(crate) use schema::MetricSchema;

/// The schemas of these tables, with whose rows they show.
pub(crate) const METRIC_SCHEMAS: [(&str, Table); 4] = [
    ("raw", Table::Samples),
    ("rollup_1m", Table::Rollup1m),
    ("rollup_5m", Table::Rollup5m),
    ("rollup_1h", Table::Rollup1h),
];

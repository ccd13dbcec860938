//! One table per metric, with its labels as columns.

mod cache;
mod label_exec;
mod schema;
mod series;
mod table;
mod values;

pub(crate) use cache::MetricCache;
pub(crate) use schema::MetricSchema;

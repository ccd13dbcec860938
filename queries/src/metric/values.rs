//! The value columns of per-metric tables, and how they come from those of a tier.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, cast, col, lit};
use tidegauge_tables::Table;

/// The names of the value columns of `tier`'s per-metric tables.
pub(crate) const fn value_columns(tier: Table) -> &'static [&'static str] {
    match tier {
        Table::Samples => &["time", "value"],
        _ => &[
            "time", "count", "sum", "min", "max", "avg", "first", "last", "increase", "rate",
        ],
    }
}

/// Value columns of any tier: labels of these names get others, in all tiers alike.
pub(crate) const RESERVED: &[&str] = &[
    "time", "value", "count", "sum", "min", "max", "avg", "first", "last", "increase", "rate",
];

/// The columns of the tier that value column `name` is made of.
pub(crate) fn made_of(name: &str) -> Vec<&str> {
    match name {
        "avg" => vec!["sum", "count"],
        "increase" | "rate" => vec!["first", "last", "reset_adj"],
        plain => vec![plain],
    }
}

/// The field of value column `name`.
pub(crate) fn field(name: &str) -> Field {
    match name {
        "time" => Field::new(
            name,
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            false,
        ),
        "count" => Field::new(name, DataType::Int64, false),
        _ => Field::new(name, DataType::Float64, true),
    }
}

/// Value column `name` over rows of `schema`. `avg` is the mean of the window's samples; `increase`
/// what a counter rose by between its first and last sample, resets added back; `rate` that,
/// divided by the window's width in seconds.
pub(crate) fn expression(
    name: &str,
    schema: &Schema,
    width_ms: Option<i64>,
) -> Result<Arc<dyn PhysicalExpr>> {
    let column = |name: &str| col(name, schema);
    match name {
        "avg" => {
            let count = cast(column("count")?, schema, DataType::Float64)?;
            binary(column("sum")?, Operator::Divide, count, schema)
        }
        "increase" => {
            let rise = binary(column("last")?, Operator::Minus, column("first")?, schema)?;
            binary(rise, Operator::Plus, column("reset_adj")?, schema)
        }
        "rate" => {
            let seconds = width_ms.map_or(1.0, |ms| ms as f64 / 1000.0);
            let increase = expression("increase", schema, width_ms)?;
            binary(increase, Operator::Divide, lit(seconds), schema)
        }
        plain => column(plain),
    }
}

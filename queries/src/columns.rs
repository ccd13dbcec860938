//! The tables as SQL sees them: the columns of `tidegauge_tables`, with texts as views, in which
//! DataFusion compares and groups fastest.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::table_schema::TableSchema;
use tidegauge_tables::{Table, columns};

/// The partition column: it stands in paths and not in files.
pub(crate) const DATE: &str = "date";

/// One table's shapes.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Columns as SQL names and orders them.
    pub(crate) sql: SchemaRef,
    /// The same columns as a scan of files orders them: those of the files, then `date`.
    pub(crate) scan: SchemaRef,
    /// `scan`, with what is in files told from what is in paths.
    pub(crate) source: TableSchema,
}

/// The shapes of `table`.
pub(crate) fn shape(table: Table) -> &'static Shape {
    static SHAPES: LazyLock<Vec<(Table, Shape)>> =
        LazyLock::new(|| Table::ALL.map(|table| (table, build(table))).into());
    let (_, shape) = SHAPES
        .iter()
        .find(|(of, _)| *of == table)
        .expect("every table has its shape");
    shape
}

fn build(table: Table) -> Shape {
    let fields: Vec<FieldRef> = columns(table).fields().iter().map(as_view).collect();
    let (date, in_files): (Vec<_>, Vec<_>) = fields.iter().cloned().partition(|f| f.name() == DATE);
    let source = TableSchema::builder(Arc::new(Schema::new(in_files)))
        .with_table_partition_cols(date)
        .build();
    Shape {
        sql: Arc::new(Schema::new(fields)),
        scan: Arc::clone(source.table_schema()),
        source,
    }
}

fn as_view(field: &FieldRef) -> FieldRef {
    match field.data_type() {
        DataType::Utf8 => Arc::new(Field::new(
            field.name(),
            DataType::Utf8View,
            field.is_nullable(),
        )),
        _ => Arc::clone(field),
    }
}

/// The columns that tell which row it is, whatever its values: filters on these alone may go below
/// settling, as they judge all versions of a row alike.
pub(crate) fn identity(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples | Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => {
            &["tenant", "date", "name", "series_id", "time"]
        }
        Table::Series => &["tenant", "date", "name", "series_id"],
        Table::Rejects => &[
            "tenant",
            "date",
            "time",
            "topic",
            "partition",
            "offset",
            "reason",
            "detail",
        ],
    }
}

/// What settling needs to see of `table`, besides what a query asks for. Rows of files are sorted
/// by tenant, name and series; then by the column that stands last in `order`.
pub(crate) fn needed_to_settle(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples => &["tenant", "name", "series_id", "time", "value"],
        Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => {
            &["tenant", "name", "series_id", "time", "count"]
        }
        Table::Series => &[
            "tenant",
            "name",
            "series_id",
            "date",
            "first_seen",
            "last_seen",
        ],
        Table::Rejects => &[],
    }
}

/// By what rows of a file are sorted; empty where no order is promised.
pub(crate) fn order(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples | Table::Rollup1m | Table::Rollup5m | Table::Rollup1h => {
            &["tenant", "name", "series_id", "time"]
        }
        Table::Series => &["tenant", "name", "series_id"],
        Table::Rejects => &[],
    }
}

//! Reading `value` from files of either form: plain files have the column, compact ones hold it split
//! into decimal parts, from which it is put together as a file is read.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int8Type, Int64Type, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::physical_expr::expressions::{Column, col, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use tidegauge_tables::decimal::{BASE, EXPONENT, MANTISSA, REST, values};

const VALUE: &str = "value";

/// Decides by each file's own schema how its values are read.
#[derive(Debug)]
pub(crate) struct ValueAdapterFactory;

impl PhysicalExprAdapterFactory for ValueAdapterFactory {
    fn create(
        &self,
        logical: SchemaRef,
        physical: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let has = |name: &str| physical.column_with_name(name).is_some();
        let is_compact = has(MANTISSA) && !has(VALUE);
        let value = is_compact.then(|| put_together(&physical)).transpose()?;
        let others = DefaultPhysicalExprAdapterFactory.create(logical, physical)?;
        Ok(match value {
            Some(value) => Arc::new(CompactAdapter { value, others }),
            None => others,
        })
    }
}

/// Reads a compact file as if it were a plain one.
#[derive(Debug)]
struct CompactAdapter {
    value: Arc<dyn PhysicalExpr>,
    others: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for CompactAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = expr.transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let column = if column.name() == VALUE {
                Arc::clone(&self.value)
            } else {
                self.others.rewrite(expr)?
            };
            // What has been put in is in the file's terms: it is not to be rewritten again.
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        rewritten.data()
    }
}

fn put_together(physical: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let parts = vec![
            DataType::Int64,
            DataType::Int64,
            DataType::Int8,
            DataType::Float64,
        ];
        let function = create_udf(
            "value_of_parts",
            parts,
            DataType::Float64,
            Volatility::Immutable,
            Arc::new(value_of_parts),
        );
        Arc::new(function)
    });
    let base = match physical.column_with_name(BASE) {
        Some(_) => col(BASE, physical)?,
        None => lit(ScalarValue::Int64(None)),
    };
    let parts = vec![
        col(MANTISSA, physical)?,
        base,
        col(EXPONENT, physical)?,
        col(REST, physical)?,
    ];
    Ok(Arc::new(ScalarFunctionExpr::new(
        "value_of_parts",
        Arc::clone(&FUNCTION),
        parts,
        Arc::new(Field::new(VALUE, DataType::Float64, true)),
        Arc::new(ConfigOptions::default()),
    )))
}

fn value_of_parts(parts: &[ColumnarValue]) -> Result<ColumnarValue> {
    let parts = ColumnarValue::values_to_arrays(parts)?;
    let [mantissa, base, exponent, rest] = &parts[..] else {
        return exec_err!("a compact value has four parts, not {}", parts.len());
    };
    let value = values(
        mantissa.as_primitive::<Int64Type>(),
        Some(base.as_primitive::<Int64Type>()),
        exponent.as_primitive::<Int8Type>(),
        rest.as_primitive::<Float64Type>(),
    );
    Ok(ColumnarValue::Array(Arc::new(value) as ArrayRef))
}

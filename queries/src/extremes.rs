//! `min` and `max` of doubles, as rollups have them: over the numbers, NaN only where there are none.
//!
//! DataFusion's own keep whatever follows a NaN where they group, hold NaN for the greatest where they don't, and
//! answer 1.8e308 for the least of nothing but infinities. Other types are left to them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// Both functions, under DataFusion's names.
pub(crate) fn extremes() -> [Arc<AggregateUDF>; 2] {
    let of = |others: Arc<AggregateUDF>, end| Arc::new(Extreme { others, end }.into());
    [of(min_udaf(), End::Least), of(max_udaf(), End::Greatest)]
}

/// Which end of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Least,
    Greatest,
}

impl End {
    /// Takes `new` if it lies further out; a NaN holds the place of no number.
    fn take(self, held: &mut f64, new: f64) {
        let further = match self {
            Self::Least => new < *held,
            Self::Greatest => new > *held,
        };
        if further || held.is_nan() {
            *held = new;
        }
    }
}

/// One of the two.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    /// DataFusion's own, for types but doubles.
    others: Arc<AggregateUDF>,
    end: End,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.others.name()
    }

    fn signature(&self) -> &Signature {
        self.others.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.others.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.others.coerce_types(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.others.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if is_double(&args) {
            return Ok(Box::new(Furthest {
                end: self.end,
                held: None,
            }));
        }
        self.others.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.others.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_double(&args) {
            return self.others.create_groups_accumulator(args);
        }
        let end = self.end;
        let take = move |held: &mut f64, new| end.take(held, new);
        let furthest = PrimitiveGroupsAccumulator::<Float64Type, _>::new(&DataType::Float64, take);
        Ok(Box::new(furthest.with_starting_value(f64::NAN)))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        self.others.create_sliding_accumulator(args)
    }

    /// Those that have an order are kept in a heap by LIMIT, which knows NaN for the greatest.
    fn is_descending(&self) -> Option<bool> {
        None
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.others.value_from_stats(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.others.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.others.inner().set_monotonicity(data_type)
    }
}

fn is_double(args: &AccumulatorArgs<'_>) -> bool {
    args.return_field.data_type() == &DataType::Float64
}

/// The extreme of all rows.
#[derive(Debug)]
struct Furthest {
    end: End,
    held: Option<f64>,
}

impl Accumulator for Furthest {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.end.take(self.held.get_or_insert(f64::NAN), value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.held))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    /// The answer's only row, a column a text.
    async fn row(query: &str) -> Vec<String> {
        let context = SessionContext::new();
        for function in extremes() {
            context.register_udaf(Arc::unwrap_or_clone(function));
        }
        let values = "(VALUES (1, 1.0), (1, 'NaN'::double), (1, 5.0), (1, 3.0), (1, NULL), \
                      (2, '-inf'::double), (3, 'inf'::double), (4, 'NaN'::double), (5, NULL)) v(k, x)";
        let query = query.replace("$v", values);
        let batches = context.sql(&query).await.expect("it plans").collect();
        let batches = batches.await.expect("it runs");
        let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("alike");
        assert_eq!(batch.num_rows(), 1, "{query}");
        let text = |column: &ArrayRef| {
            arrow::util::display::array_value_to_string(column, 0).expect("text")
        };
        batch.columns().iter().map(text).collect()
    }

    #[tokio::test]
    async fn numbers_count_and_nan_only_where_there_are_none() {
        for (k, least, greatest) in [
            (1, "1.0", "5.0"),
            (2, "-inf", "-inf"),
            (3, "inf", "inf"),
            (4, "NaN", "NaN"),
            (5, "", ""),
        ] {
            let both = "SELECT min(x), max(x) FROM $v";
            let grouped = row(&format!("{both} GROUP BY k HAVING k = {k}")).await;
            assert_eq!(grouped, [least, greatest], "grouped, {k}");
            let whole = row(&format!("{both} WHERE k = {k}")).await;
            assert_eq!(whole, [least, greatest], "of all, {k}");
        }
    }

    #[tokio::test]
    async fn other_types_have_theirs() {
        let query = "SELECT min(k), max(k), max(to_timestamp(k)) FROM $v";
        assert_eq!(row(query).await, ["1", "5", "1970-01-01T00:00:05"]);
        assert_eq!(row("SELECT min(k::varchar) FROM $v").await, ["1"]);
    }
}

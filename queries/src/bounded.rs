//! Functions whose result can be far larger than what they are given, kept within a query's memory.
//!
//! They ask the system for a whole batch's result at once, and the query's pool for nothing. A refused
//! allocation ends the process and all that runs in it, so the pool is asked first.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Bytes that a result of that many rows takes, as far as the arguments tell.
type Size = fn(&[ColumnarValue], usize) -> Result<i128>;

const FUNCTIONS: [(&str, Size); 10] = [
    ("repeat", repeated),
    ("lpad", padded),
    ("rpad", padded),
    ("array_repeat", listed),
    ("array_resize", listed),
    ("range", counted),
    ("generate_series", counted),
    ("array_to_string", joined),
    ("replace", replaced),
    ("regexp_replace", rewritten),
];

/// Keeps these functions of `session` within what `pool` has left.
pub(crate) fn bound(session: &mut SessionState, pool: &Arc<dyn MemoryPool>) -> Result<()> {
    for (name, size) in FUNCTIONS {
        let bounded = Bounded {
            function: session.udf(name)?,
            size,
            pool: Arc::clone(pool),
        };
        session.register_udf(Arc::new(ScalarUDF::from(bounded)))?;
    }
    Ok(())
}

#[derive(Debug)]
struct Bounded {
    function: Arc<ScalarUDF>,
    size: Size,
    pool: Arc<dyn MemoryPool>,
}

/// In a session each function is bounded in one way.
impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = (self.size)(&args.args, args.number_rows)?;
        let held = MemoryConsumer::new(self.name()).register(&self.pool);
        held.try_grow(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        self.function.invoke_with_args(args)
    }
}

fn repeated(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [text, times, ..] = args else {
        return Ok(0);
    };
    let lengths = Numbers::new(&length(&*array(text)?)?)?;
    let times = Numbers::new(&array(times)?)?;
    Ok((0..rows).map(|row| lengths.at(row) * times.at(row)).sum())
}

/// A letter takes up to four bytes.
fn padded(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [_, letters, ..] = args else {
        return Ok(0);
    };
    let letters = Numbers::new(&array(letters)?)?;
    Ok((0..rows).map(|row| 4 * letters.at(row)).sum())
}

/// An item takes its place and eight bytes that say which it is, while lists are made.
fn listed(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [items, times, ..] = args else {
        return Ok(0);
    };
    let items = array(items)?;
    let all = items.to_data().get_slice_memory_size().unwrap_or_default();
    let item = all as i128 / items.len().max(1) as i128 + 8;
    let times = Numbers::new(&array(times)?)?;
    Ok((0..rows).map(|row| item * times.at(row)).sum())
}

/// Of whole numbers: days and times have narrower bounds of their own.
fn counted(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    if args.iter().any(|arg| arg.data_type() != DataType::Int64) {
        return Ok(0);
    }
    let numbers = args.iter().map(|arg| Numbers::new(&array(arg)?));
    let numbers = numbers.collect::<Result<Vec<_>>>()?;
    let count = |row| {
        let number = |at: usize| numbers[at].signed(row);
        let (from, to, step) = match numbers.len() {
            1 => (0, number(0), 1),
            2 => (number(0), number(1), 1),
            _ => (number(0), number(1), number(2)),
        };
        // None where the step leads away or nowhere.
        (to - from)
            .checked_div(step)
            .map_or(0, |steps| (steps + 1).max(0))
    };
    Ok((0..rows).map(|row| 8 * count(row)).sum())
}

/// A number or time is shown by that many letters at most, but for those that are rather far from 1.
const SHOWN_BYTES: i128 = 32;

/// The items' own texts, and by each of them what stands between or, for NULL, instead.
fn joined(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [lists, between @ ..] = args else {
        return Ok(0);
    };
    let mut items = array(lists)?;
    let times = if items.len() == 1 { rows } else { 1 };
    while let Some(inner) = items_of(&items)? {
        items = inner;
    }
    let mut each = SHOWN_BYTES;
    for text in between {
        let lengths = Numbers::new(&length(&*array(text)?)?)?;
        each += (0..rows).map(|row| lengths.at(row)).max().unwrap_or(0);
    }
    let own = items.to_data().get_slice_memory_size().unwrap_or_default();
    Ok((own as i128 + each * items.len() as i128) * times as i128)
}

/// What lies in lists, all in a row; none if these are no lists.
fn items_of(lists: &ArrayRef) -> Result<Option<ArrayRef>> {
    let (DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _)) =
        lists.data_type()
    else {
        return Ok(None);
    };
    let large = cast(lists, &DataType::LargeList(Arc::clone(field)))?;
    let large = large.as_list::<i64>();
    let (from, to) = (large.offsets()[0], large.offsets()[large.len()]);
    let items = large.values().slice(from as usize, (to - from) as usize);
    Ok(Some(items))
}

/// More than any query may have.
const TOO_MUCH: i128 = 1 << 40;

/// Counts the places, as most texts have few.
fn replaced(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [text, from, to, ..] = args else {
        return Ok(0);
    };
    let [text, from, to] = [Texts::new(text)?, Texts::new(from)?, Texts::new(to)?];
    let mut bytes = 0;
    for row in 0..rows {
        let (text, to) = (text.at(row), to.at(row));
        let places = text.matches(from.at(row)).count();
        bytes += text.len() as i128 + places as i128 * to.len() as i128;
        if bytes > TOO_MUCH {
            break;
        }
    }
    Ok(bytes)
}

/// As if each letter were a place, and each two letters of what comes there, if any calls for a group, called for all
/// that was.
fn rewritten(args: &[ColumnarValue], rows: usize) -> Result<i128> {
    let [text, _, to, flags @ ..] = args else {
        return Ok(0);
    };
    let text = Numbers::new(&length(&*array(text)?)?)?;
    let to = Texts::new(to)?;
    // Without flags there is one place.
    let places = |letters| if flags.is_empty() { 1 } else { letters + 1 };
    let size = |row| {
        let (text, to) = (text.at(row), to.at(row));
        let calls = if to.contains(['\\', '$']) {
            to.len() / 2
        } else {
            0
        };
        text + places(text) * to.len() as i128 + text * calls as i128
    };
    Ok((0..rows).map(size).sum())
}

/// An argument as a column; one that is the same in each row has a single one.
fn array(arg: &ColumnarValue) -> Result<ArrayRef> {
    arg.to_array(1)
}

/// Whole numbers by row, NULL being none.
struct Numbers(Int64Array);

impl Numbers {
    fn new(column: &ArrayRef) -> Result<Self> {
        Ok(Self(cast(column, &DataType::Int64)?.as_primitive().clone()))
    }

    fn signed(&self, row: usize) -> i128 {
        let row = if self.0.len() == 1 { 0 } else { row };
        if self.0.is_valid(row) {
            self.0.value(row).into()
        } else {
            0
        }
    }

    /// Below zero counts as zero, as it does for lengths.
    fn at(&self, row: usize) -> i128 {
        self.signed(row).max(0)
    }
}

/// Texts by row, NULL being an empty one.
struct Texts(StringViewArray);

impl Texts {
    fn new(arg: &ColumnarValue) -> Result<Self> {
        let texts = cast(&array(arg)?, &DataType::Utf8View)?;
        Ok(Self(texts.as_string_view().clone()))
    }

    fn at(&self, row: usize) -> &str {
        let row = if self.0.len() == 1 { 0 } else { row };
        if self.0.is_valid(row) {
            self.0.value(row)
        } else {
            ""
        }
    }
}

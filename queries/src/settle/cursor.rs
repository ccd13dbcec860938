//! One sorted stream of rows, read a run of one series at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMillisecondType};
use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::rule::{Judged, Rule};

/// Tenant, name and id of a series: what files are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    /// Shared from run to run while neither changes.
    pub(crate) named: Arc<(Box<str>, Box<str>)>,
    pub(crate) id: i64,
}

/// A batch with its key columns at hand.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) batch: RecordBatch,
    pub(crate) judged: Judged,
    tenant: StringViewArray,
    name: StringViewArray,
    id: Int64Array,
    time: Int64Array,
}

impl Page {
    fn new(rule: Rule, batch: RecordBatch) -> Result<Self> {
        let column = |name: &str| match batch.column_by_name(name) {
            Some(column) => Ok(column),
            None => exec_err!("a scan to be settled lacks the column `{name}`"),
        };
        let time = match rule {
            Rule::Seen => {
                let dates = column("date")?.as_primitive::<Date32Type>();
                dates.unary(i64::from)
            }
            Rule::Value | Rule::Newest => column("time")?
                .as_primitive::<TimestampMillisecondType>()
                .reinterpret_cast::<Int64Type>(),
        };
        debug_assert_eq!(time.data_type(), &DataType::Int64);
        Ok(Self {
            tenant: column("tenant")?.as_string_view().clone(),
            name: column("name")?.as_string_view().clone(),
            id: column("series_id")?.as_primitive::<Int64Type>().clone(),
            time,
            judged: Judged::of(rule, &batch),
            batch,
        })
    }

    /// The time (for `series`: the date) of a row.
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.time.value(row)
    }

    /// One past the last row from `start` on that is of the same series.
    fn run_end(&self, start: usize) -> usize {
        let ids = &self.id.values()[start..];
        let id = ids[0];
        // Runs are long or one row: gallop, then halve.
        let mut step = 1;
        while step < ids.len() && ids[step] == id {
            step *= 2;
        }
        let (low, high) = (step / 2, step.min(ids.len()));
        start + low + ids[low..high].partition_point(|other| *other == id)
    }

    fn is_of(&self, row: usize, key: &SeriesKey) -> bool {
        self.id.value(row) == key.id && self.is_named(row, &key.named)
    }

    fn is_named(&self, row: usize, (tenant, name): &(Box<str>, Box<str>)) -> bool {
        self.name.value(row) == &**name && self.tenant.value(row) == &**tenant
    }
}

/// A stream and where we are in it.
pub(crate) struct Cursor {
    stream: SendableRecordBatchStream,
    rule: Rule,
    pub(crate) page: Option<Arc<Page>>,
    row: usize,
    head: Option<SeriesKey>,
    /// The version of the rows.
    pub(crate) version: u64,
    /// Under which number the page is known to the merge, once it is.
    pub(crate) page_number: Option<usize>,
}

impl Cursor {
    pub(crate) fn new(stream: SendableRecordBatchStream, rule: Rule, version: u64) -> Self {
        Self {
            stream,
            rule,
            page: None,
            row: 0,
            head: None,
            version,
            page_number: None,
        }
    }

    /// The series that comes next; none past the end.
    pub(crate) const fn head(&self) -> Option<&SeriesKey> {
        self.head.as_ref()
    }

    pub(crate) fn page(&self) -> &Arc<Page> {
        self.page.as_ref().expect("a cursor with a head has a page")
    }

    /// Makes sure that there is a head, unless the stream is over.
    pub(crate) async fn settle_head(&mut self) -> Result<()> {
        while self
            .page
            .as_ref()
            .is_none_or(|page| self.row >= page.batch.num_rows())
        {
            match self.stream.next().await.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    self.page = Some(Arc::new(Page::new(self.rule, batch)?));
                    self.page_number = None;
                    self.row = 0;
                }
                None => {
                    self.head = None;
                    return Ok(());
                }
            }
        }
        self.read_head()
    }

    fn read_head(&mut self) -> Result<()> {
        let page = Arc::clone(self.page());
        if let Some(head) = &self.head
            && page.is_of(self.row, head)
        {
            return Ok(());
        }
        let named = match &self.head {
            Some(head) if page.is_named(self.row, &head.named) => Arc::clone(&head.named),
            _ => Arc::new((
                page.tenant.value(self.row).into(),
                page.name.value(self.row).into(),
            )),
        };
        let next = SeriesKey {
            named,
            id: page.id.value(self.row),
        };
        if let Some(last) = &self.head
            && next.cmp(last) == Ordering::Less
        {
            let (tenant, name) = &*next.named;
            return exec_err!(
                "a file is not sorted by tenant, name and series: `{name}` of `{tenant}` comes after `{}`; it must be written anew",
                last.named.1
            );
        }
        self.head = Some(next);
        Ok(())
    }

    /// Takes the rest of the head's run in this page, as rows `[start, end)` of it. The run may go
    /// on in the next page: then the head stays the same after [`Self::settle_head`].
    pub(crate) fn take_run(&mut self) -> (usize, usize) {
        let start = self.row;
        self.row = self.page().run_end(start);
        (start, self.row)
    }
}

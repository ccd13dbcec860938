//! One sorted stream of rows, read a run of one series at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::page::{Page, SeriesKey};
use super::rule::Rule;

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
            .is_none_or(|page| self.row >= page.rows())
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
            _ => Arc::new(page.named(self.row)),
        };
        let next = SeriesKey {
            named,
            id: page.id(self.row),
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

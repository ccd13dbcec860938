//! One query at work: planned and executed on the engine's threads, its batches handed over a short
//! queue, stopped when nobody takes them any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::execute_stream;
use futures::{FutureExt, Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::QueryError;
use crate::session::Sessions;
use crate::settings::Limits;

/// Batches made but not yet taken; when that many wait, execution waits too.
const QUEUED_BATCHES: usize = 2;

/// The rows of an answer, batch by batch. An error is the last item. Dropping it stops the query.
#[derive(Debug)]
pub struct Answer {
    schema: SchemaRef,
    batches: mpsc::Receiver<RecordBatch>,
    /// None once its outcome has been told.
    running: Option<Running>,
}

impl Answer {
    /// Sets `work` going on `threads`; returns once the columns are known, or after `limit`: planning has no pause
    /// in which `work` could tell the time, and goes on until it has one.
    pub(crate) async fn start<W>(
        threads: &Handle,
        limit: Duration,
        work: impl FnOnce(Output) -> W,
    ) -> Result<Self, QueryError>
    where
        W: Future<Output = Result<(), QueryError>> + Send + 'static,
    {
        let (send_schema, schema) = oneshot::channel();
        let (send_batches, batches) = mpsc::channel(QUEUED_BATCHES);
        let output = Output {
            schema: Some(send_schema),
            batches: send_batches,
        };
        let mut running = Running(threads.spawn(work(output)));
        let Ok(schema) = tokio::time::timeout(limit, schema)
            .await
            .map_err(|_| QueryError::Timeout(limit))?
        else {
            running.outcome().await?;
            return Err(QueryError::Failed("the query ended without columns".into()));
        };
        Ok(Self {
            schema,
            batches,
            running: Some(running),
        })
    }

    /// The columns of all batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// All batches.
    ///
    /// # Errors
    /// The first one.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(batch) = ready!(self.batches.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(batch)));
        }
        // That no more batches come says nothing of whether these are all: the task's outcome does.
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        let outcome = ready!(running.outcome().poll_unpin(cx));
        self.running = None;
        Poll::Ready(outcome.err().map(Err))
    }
}

/// A query's task, stopped when this is dropped.
#[derive(Debug)]
struct Running(JoinHandle<Result<(), QueryError>>);

impl Running {
    /// How the task ended; a task that panicked has failed. Not to be asked again after that.
    fn outcome(&mut self) -> impl Future<Output = Result<(), QueryError>> + Unpin {
        (&mut self.0).map(|ended| {
            ended.unwrap_or_else(|died| {
                Err(QueryError::Failed(format!(
                    "the query's task ended: {died}"
                )))
            })
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a query's work puts what it makes: the columns once, then batches.
#[derive(Debug)]
pub(crate) struct Output {
    schema: Option<oneshot::Sender<SchemaRef>>,
    batches: mpsc::Sender<RecordBatch>,
}

impl Output {
    /// Whether somebody still wants the rows.
    pub(crate) fn columns(&mut self, schema: SchemaRef) -> bool {
        let sender = self.schema.take();
        sender.is_some_and(|sender| sender.send(schema).is_ok())
    }

    /// Waits for room; whether somebody still wants the rows.
    pub(crate) async fn rows(&self, batch: RecordBatch) -> bool {
        self.batches.send(batch).await.is_ok()
    }
}

/// A query about to run.
pub(crate) struct Job {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) query: String,
    pub(crate) tenant: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) slot: OwnedSemaphorePermit,
}

impl Job {
    /// Starts on `threads`; returns once the columns are known.
    pub(crate) async fn start(self, threads: &Handle) -> Result<Answer, QueryError> {
        Answer::start(threads, self.limits.timeout, |output| self.work(output)).await
    }

    /// An error is this future's outcome and does not pass the queue, so that nobody has to read for
    /// the slot to be free again.
    async fn work(self, output: Output) -> Result<(), QueryError> {
        let limit = self.limits.timeout;
        let worked = tokio::time::timeout(limit, self.answer(output)).await;
        worked.unwrap_or(Err(QueryError::Timeout(limit)))
    }

    async fn answer(&self, mut output: Output) -> Result<(), QueryError> {
        let memory = self.limits.memory_bytes;
        let failed = |error| QueryError::from_datafusion(&error, memory);
        let (plan, context) = self
            .sessions
            .plan(&self.query, &self.tenant, memory)
            .await?;
        let mut rows = execute_stream(plan, context).map_err(failed)?;
        let mut wanted = output.columns(rows.schema());
        let mut left = self.limits.max_rows;
        while wanted && let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            left = left
                .checked_sub(batch.num_rows() as u64)
                .ok_or(QueryError::TooManyRows(self.limits.max_rows))?;
            wanted = output.rows(batch).await;
        }
        Ok(())
    }
}

impl Drop for Job {
    /// The slot is free again whichever way the job ends.
    fn drop(&mut self) {
        tracing::debug!(query = %self.query, free = self.slot.num_permits(), "query ended");
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    /// More than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn batch() -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        RecordBatch::try_from_iter([("n", column)]).expect("one column")
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end_of_the_rows() {
        let threads = Handle::current();
        let answer = Answer::start(&threads, PATIENCE, async |mut output| {
            assert!(output.columns(batch().schema()) && output.rows(batch()).await);
            panic!("a bug in an operator");
        });
        let mut answer = answer.await.expect("columns");
        assert_eq!(answer.next().await, Some(Ok(batch())));
        let error = answer.next().await.expect("an item").expect_err("a panic");
        assert_eq!(error.code(), "failed");
        assert!(
            error.to_string().contains("a bug in an operator"),
            "{error}"
        );
        assert_eq!(answer.next().await, None);
    }

    #[tokio::test]
    async fn a_panic_before_the_columns_is_an_error_too() {
        let threads = Handle::current();
        let answer = Answer::start(&threads, PATIENCE, async |_| panic!("a bug in a planner"));
        let error = answer.await.expect_err("a panic");
        assert!(error.to_string().contains("a bug in a planner"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn planning_that_never_pauses_is_not_waited_for() {
        let limit = Duration::from_millis(20);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let threads = Handle::current();
        let answer = Answer::start(&threads, limit, async move |_| {
            let _ = ended.recv();
            Ok(())
        });
        let error = answer.await.expect_err("no columns");
        assert_eq!(error, QueryError::Timeout(limit));
        drop(end);
    }
}

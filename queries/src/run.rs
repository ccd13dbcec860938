//! One query at work: planned and executed on the engine's threads, its batches handed over a short
//! queue, stopped when nobody takes them any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::execute_stream;
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::QueryError;
use crate::session::Sessions;
use crate::settings::Limits;

/// Batches made but not yet taken; when that many wait, execution waits too.
const QUEUED_BATCHES: usize = 2;

/// The rows of an answer, batch by batch. An error is the last item. Dropping it stops the query.
#[derive(Debug)]
pub struct Answer {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    _running: Running,
}

impl Answer {
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
        self.batches.poll_recv(cx)
    }
}

/// Stops its task when dropped.
#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
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
        let (send_schema, schema) = oneshot::channel();
        let (send_batches, batches) = mpsc::channel(QUEUED_BATCHES);
        let task = threads.spawn(self.work(send_schema, send_batches));
        let running = Running(task.abort_handle());
        let died = || QueryError::Failed("the query's task ended without an answer".into());
        Ok(Answer {
            schema: schema.await.unwrap_or_else(|_| Err(died()))?,
            batches,
            _running: running,
        })
    }

    async fn work(
        self,
        schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) {
        let limit = self.limits.timeout;
        let mut schema = Some(schema);
        let worked = tokio::time::timeout(limit, self.answer(&mut schema, &batches)).await;
        let Err(error) = worked.unwrap_or(Err(QueryError::Timeout(limit))) else {
            return;
        };
        match schema {
            // Nobody listening is no fault: the caller has left.
            Some(schema) => drop(schema.send(Err(error))),
            None => drop(batches.send(Err(error)).await),
        }
    }

    async fn answer(
        &self,
        schema: &mut Option<oneshot::Sender<Result<SchemaRef, QueryError>>>,
        batches: &mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) -> Result<(), QueryError> {
        let memory = self.limits.memory_bytes;
        let failed = |error| QueryError::from_datafusion(&error, memory);
        let (plan, context) = self
            .sessions
            .plan(&self.query, &self.tenant, memory)
            .await?;
        let mut rows = execute_stream(plan, context).map_err(failed)?;
        if let Some(schema) = schema.take()
            && schema.send(Ok(rows.schema())).is_err()
        {
            return Ok(());
        }
        let mut left = self.limits.max_rows;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            left = left
                .checked_sub(batch.num_rows() as u64)
                .ok_or(QueryError::TooManyRows(self.limits.max_rows))?;
            if batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
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

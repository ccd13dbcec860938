//! Fetch: whole batches from an offset on, waiting for them up to the time the client allows.
//!
//! Fetch sessions are not kept; clients that ask for one are told so and send whole requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use kafka_protocol::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, PartitionData,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Context;
use crate::error::Refusal;
use crate::log::{read, storage};
use crate::topics::Partition;

/// The longest a fetch may wait.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// From this version on topics go by their id.
const TOPIC_IDS_FROM: i16 = 13;

/// One partition that a client asks for.
struct Wanted {
    partition: FetchPartition,
    log: Result<Partition, ResponseError>,
}

/// Answers when enough bytes are there, something is wrong, or the time is up.
pub(super) async fn handle(ctx: &Context, version: i16, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 && request.session_epoch > 0 {
        let unknown = ResponseError::FetchSessionIdNotFound.code();
        return FetchResponse::default().with_error_code(unknown);
    }
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64).min(MAX_WAIT);
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    let max_bytes =
        (request.max_bytes.max(0) as usize).min(ctx.shared.settings.max_fetch_bytes as usize);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = ctx.topic(&topic.topic, topic.topic_id);
        let unknown = if version >= TOPIC_IDS_FROM {
            ResponseError::UnknownTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        };
        let wanted = topic.partitions.into_iter().map(|partition| {
            let log = found.as_ref().ok_or(unknown).and_then(|found| {
                found
                    .partition(partition.partition)
                    .ok_or(ResponseError::UnknownTopicOrPartition)
            });
            Wanted { partition, log }
        });
        topics.push((topic.topic, topic.topic_id, wanted.collect::<Vec<_>>()));
    }
    let all: Vec<&Wanted> = topics.iter().flat_map(|(_, _, wanted)| wanted).collect();
    if !is_ready(&all, min_bytes, None) {
        wait_for(&all, min_bytes, Instant::now() + wait).await;
    }
    let mut budget = Budget {
        left: max_bytes,
        is_untouched: true,
    };
    let responses = topics.iter().map(|(name, id, wanted)| {
        let partitions = wanted
            .iter()
            .map(|wanted| read_partition(wanted, &mut budget));
        FetchableTopicResponse::default()
            .with_topic(name.clone())
            .with_topic_id(*id)
            .with_partitions(partitions.collect())
    });
    FetchResponse::default().with_responses(responses.collect())
}

/// Are there `min_bytes` in all, or is there an error to tell? Asks to be woken, if `notify` is
/// given, where a partition is at its end.
fn is_ready(all: &[&Wanted], min_bytes: u64, notify: Option<&Arc<Notify>>) -> bool {
    let mut bytes = 0u64;
    for wanted in all {
        let Ok(log) = &wanted.log else { return true };
        let mut log = log.lock();
        match log.bytes_from(wanted.partition.fetch_offset) {
            Ok(there) => bytes = bytes.saturating_add(there),
            Err(_) => return true,
        }
        if let Some(notify) = notify {
            log.wait(notify);
        }
    }
    bytes >= min_bytes
}

async fn wait_for(all: &[&Wanted], min_bytes: u64, deadline: Instant) {
    let notify = Arc::new(Notify::new());
    let registered = Registered {
        all,
        notify: &notify,
    };
    loop {
        registered.withdraw();
        if is_ready(all, min_bytes, Some(&notify)) {
            return;
        }
        if timeout_at(deadline, notify.notified()).await.is_err() {
            return;
        }
    }
}

/// Takes back the wish to be woken, also when the connection ends while waiting.
struct Registered<'a> {
    all: &'a [&'a Wanted],
    notify: &'a Arc<Notify>,
}

impl Registered<'_> {
    fn withdraw(&self) {
        for log in self
            .all
            .iter()
            .filter_map(|wanted| wanted.log.as_ref().ok())
        {
            log.lock().stop_waiting(self.notify);
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// How many bytes the answer may still take.
struct Budget {
    left: usize,
    /// Nothing is in the answer yet: the first batch goes in whatever its size, or a client whose
    /// limit is below it would never get on.
    is_untouched: bool,
}

fn read_partition(wanted: &Wanted, budget: &mut Budget) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(wanted.partition.partition)
        .with_preferred_read_replica((-1).into());
    match read_records(wanted, budget) {
        Ok((records, start_offset, next_offset)) => data
            .with_high_watermark(next_offset)
            .with_last_stable_offset(next_offset)
            .with_log_start_offset(start_offset)
            .with_records(Some(records)),
        Err(refusal) => data
            .with_error_code(refusal.code.code())
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_records(Some(Bytes::new())),
    }
}

fn read_records(wanted: &Wanted, budget: &mut Budget) -> Result<(Bytes, i64, i64), Refusal> {
    let log = wanted.log.as_ref().map_err(|code| Refusal::from(*code))?;
    let view = log.lock().view(wanted.partition.fetch_offset)?;
    let most = (wanted.partition.partition_max_bytes.max(0) as usize).min(budget.left);
    let records = match &view.place {
        Some(place) if most > 0 || budget.is_untouched => {
            storage(read::read(log, place, most, budget.is_untouched))?
        }
        _ => Bytes::new(),
    };
    budget.left = budget.left.saturating_sub(records.len());
    budget.is_untouched &= records.is_empty();
    Ok((records, view.start_offset, view.next_offset))
}

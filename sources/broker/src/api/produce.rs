//! Produce: check a batch, append it, answer with its offset.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{BadRequest, Context};
use crate::batch::Batch;
use crate::codec::CodecError;
use crate::error::Refusal;
use crate::log::Appended;
use crate::records;
use crate::topic_config::TopicConfig;
use crate::topics::{Partition, Topic};

/// The most that a batch may decompress to: each thread of the runtime holds one at most.
const PLAIN_LIMIT: usize = 256 << 20;

/// Appends what came; none where the producer wants no answer.
pub(super) async fn handle(
    ctx: &Context,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, BadRequest> {
    let acks = request.acks;
    let refused = refuse_all(&request);
    let mut written = Vec::new();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        responses.push(produce_topic(ctx, topic, refused.as_ref(), &mut written).await);
    }
    let mut response = ProduceResponse::default().with_responses(responses);
    if let Err(failed) = ctx.shared.force(written).await {
        fail(&mut response, &failed);
    }
    if acks != 0 {
        return Ok(Some(response));
    }
    // A producer that wants no answer learns of a refusal by a closed connection.
    let all = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    match all.filter(|partition| partition.error_code != 0).last() {
        None => Ok(None),
        Some(failed) => {
            let why = failed.error_message.clone().unwrap_or_default();
            Err(BadRequest::Unacknowledged(why.to_string()))
        }
    }
}

fn refuse_all(request: &ProduceRequest) -> Option<Refusal> {
    if !(-1..=1).contains(&request.acks) {
        return Some(ResponseError::InvalidRequiredAcks.into());
    }
    let why = "this broker has no transactions";
    let refusal = Refusal::new(ResponseError::TransactionalIdAuthorizationFailed, why);
    request.transactional_id.is_some().then_some(refusal)
}

async fn produce_topic(
    ctx: &Context,
    data: TopicProduceData,
    refused: Option<&Refusal>,
    written: &mut Vec<(Partition, i64)>,
) -> TopicProduceResponse {
    let topic = ctx.topic(&data.name, data.topic_id);
    let now_ms = ctx.now_ms();
    let mut partition_responses = Vec::with_capacity(data.partition_data.len());
    for partition in data.partition_data {
        let index = partition.index;
        let done = match (refused, &topic) {
            (Some(refusal), _) => Err(refusal.clone()),
            (None, None) => Err(ResponseError::UnknownTopicOrPartition.into()),
            (None, Some(topic)) => produce_partition(topic, partition, now_ms, written),
        };
        partition_responses.push(respond(index, done, topic.as_deref(), now_ms));
        // A batch may take a tenth of a second to decompress, and a request may hold a hundred of them.
        tokio::task::yield_now().await;
    }
    TopicProduceResponse::default()
        .with_name(data.name)
        .with_topic_id(data.topic_id)
        .with_partition_responses(partition_responses)
}

fn produce_partition(
    topic: &Topic,
    data: PartitionProduceData,
    now_ms: i64,
    written: &mut Vec<(Partition, i64)>,
) -> Result<Appended, Refusal> {
    let log = topic
        .partition(data.index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let config = topic.config();
    let records = data.records.unwrap_or_default();
    let batch = check(records, &config)?;
    let batch = if config.log_append_time {
        batch.stamped(now_ms)
    } else {
        batch
    };
    let appended = log.lock().append(&batch, now_ms)?;
    // One that was in the log already may not be on disk, nor ever get there if forcing it failed.
    written.push((log, appended.next_offset));
    Ok(appended)
}

fn check(records: Bytes, config: &TopicConfig) -> Result<Batch, Refusal> {
    let batch = Batch::from_producer(records, config.max_message_bytes)?;
    let keyless = check_records(&batch)?;
    if config.compact && keyless > 0 {
        // It could never be superseded.
        let why = "a compacted topic takes no records without a key";
        return Err(Refusal::new(ResponseError::InvalidRecord, why));
    }
    Ok(batch)
}

/// Refuses what no consumer could read. Returns how many records have no key.
///
/// The crc fits, so the producer itself wrote what does not: it is told by a code after which clients
/// do not send the same again.
fn check_records(batch: &Batch) -> Result<usize, Refusal> {
    let payload = records::payload(&batch.bytes, &batch.header, PLAIN_LIMIT);
    let keyless = payload.and_then(|payload| records::check(&payload, &batch.header));
    keyless.map_err(|why| {
        let code = match why {
            CodecError::TooLarge(_) => ResponseError::MessageTooLarge,
            _ => ResponseError::InvalidRecord,
        };
        Refusal::new(code, why.to_string())
    })
}

fn respond(
    index: i32,
    done: Result<Appended, Refusal>,
    topic: Option<&Topic>,
    now_ms: i64,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match done {
        Ok(appended) => {
            let is_stamped = topic.is_some_and(|topic| topic.config().log_append_time);
            response
                .with_base_offset(appended.base_offset)
                .with_log_start_offset(appended.start_offset)
                .with_log_append_time_ms(if is_stamped { now_ms } else { -1 })
        }
        Err(refusal) => response
            .with_error_code(refusal.code.code())
            .with_error_message(Some(StrBytes::from_string(refusal.why)))
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1),
    }
}

fn fail(response: &mut ProduceResponse, failed: &std::io::Error) {
    tracing::error!(error = %failed, "forcing records to disk");
    for partition in response
        .responses
        .iter_mut()
        .flat_map(|t| &mut t.partition_responses)
        .filter(|partition| partition.error_code == 0)
    {
        partition.error_code = ResponseError::KafkaStorageError.code();
        partition.error_message = Some(StrBytes::from_string(failed.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::context;
    use crate::batch::{HEADER_LEN, seal};

    const ZSTD: u8 = 4;

    #[tokio::test]
    async fn what_no_consumer_could_read_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = context(dir.path());
        let topic = ctx.shared.topics.get_or_create("t", true).unwrap();
        let log = topic.partition(0).unwrap();
        let produce = async |records: Vec<u8>| {
            let partition = PartitionProduceData::default().with_records(Some(records.into()));
            let topic = TopicProduceData::default()
                .with_name(StrBytes::from("t").into())
                .with_partition_data(vec![partition]);
            let request = ProduceRequest::default()
                .with_acks(1)
                .with_topic_data(vec![topic]);
            let response = handle(&ctx, request).await.unwrap().unwrap();
            let code = response.responses[0].partition_responses[0].error_code;
            (ResponseError::try_from_code(code), log.lock().next_offset())
        };
        let good = records::build(&[(b"k", Some(b"v"))], 5).to_vec();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            seal(&mut bytes);
            bytes
        };
        let squeezed = |plain: &[u8]| {
            changed(&|bytes| {
                bytes[22] |= ZSTD;
                bytes.truncate(HEADER_LEN);
                zstd::stream::copy_encode(plain, bytes, 1).unwrap();
            })
        };
        let invalid = Some(ResponseError::InvalidRecord);
        let no_zstd = changed(&|bytes| bytes[22] |= ZSTD);
        let longer = changed(&|bytes| bytes.push(0));
        let bomb = squeezed(&vec![0; PLAIN_LIMIT + 1]);
        assert_eq!(produce(no_zstd).await, (invalid, 0));
        assert_eq!(produce(longer).await, (invalid, 0));
        assert_eq!(produce(squeezed(b"no record")).await, (invalid, 0));
        let too_large = Some(ResponseError::MessageTooLarge);
        assert_eq!(produce(bomb).await, (too_large, 0));
        assert_eq!(produce(squeezed(&good[HEADER_LEN..])).await, (None, 1));
        assert_eq!(produce(good.clone()).await, (None, 2));
    }
}

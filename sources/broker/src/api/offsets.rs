//! Offsets of partitions: looked up by time, by leader epoch, and moved by DeleteRecords.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_request::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::Context;
use crate::error::Refusal;
use crate::log::read::{self, Stamp};
use crate::log::segment::LEADER_EPOCH;
use crate::topics::Partition;

/// Kafka's numbers for places that are not times.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

fn partition(ctx: &Context, topic: &str, index: i32) -> Result<Partition, Refusal> {
    let found = ctx
        .shared
        .topics
        .get(topic)
        .and_then(|topic| topic.partition(index));
    found.ok_or_else(|| ResponseError::UnknownTopicOrPartition.into())
}

/// ListOffsets. Answers carry the leader's epoch from version 4 on.
pub(super) fn list(
    ctx: &Context,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let look =
            |asked: &kafka_protocol::messages::list_offsets_request::ListOffsetsPartition| {
                let found = partition(ctx, &topic.name, asked.partition_index)
                    .and_then(|log| find(&log, asked.timestamp));
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                match found {
                    Ok(stamp) => answer
                        .with_offset(stamp.offset)
                        .with_timestamp(stamp.timestamp)
                        .with_leader_epoch(if version >= 4 { LEADER_EPOCH } else { -1 }),
                    Err(refusal) => answer.with_error_code(refusal.code.code()),
                }
            };
        let partitions = topic.partitions.iter().map(look).collect();
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find(log: &Partition, timestamp: i64) -> Result<Stamp, Refusal> {
    const NONE: Stamp = Stamp {
        offset: -1,
        timestamp: -1,
    };
    let at = |offset| {
        Ok(Stamp {
            offset,
            timestamp: -1,
        })
    };
    match timestamp {
        LATEST => at(log.lock().next_offset()),
        EARLIEST | EARLIEST_LOCAL => at(log.lock().start_offset()),
        LATEST_TIERED => Ok(NONE),
        NEWEST => Ok(read::find_newest(log)?.unwrap_or(NONE)),
        time if time >= 0 => Ok(read::find_time(log, time)?.unwrap_or(NONE)),
        _ => Err(ResponseError::InvalidRequest.into()),
    }
}

/// OffsetForLeaderEpoch: there is one epoch, and it ends where the log ends.
pub(super) fn for_leader_epoch(
    ctx: &Context,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let ends = topic.partitions.iter().map(|asked| {
            let answer = EpochEndOffset::default().with_partition(asked.partition);
            match partition(ctx, &topic.topic, asked.partition) {
                Ok(log) if asked.leader_epoch == LEADER_EPOCH => answer
                    .with_leader_epoch(LEADER_EPOCH)
                    .with_end_offset(log.lock().next_offset()),
                Ok(_) => answer,
                Err(refusal) => answer.with_error_code(refusal.code.code()),
            }
        });
        let partitions = ends.collect();
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic)
            .with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

/// DeleteRecords.
pub(super) fn delete_records(
    ctx: &Context,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|asked| {
            let done = partition(ctx, &topic.name, asked.partition_index)
                .and_then(|log| log.lock().delete_before(asked.offset));
            let answer =
                DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match done {
                Ok(start_offset) => answer.with_low_watermark(start_offset),
                Err(refusal) => answer
                    .with_low_watermark(-1)
                    .with_error_code(refusal.code.code()),
            }
        });
        let partitions = results.collect();
        DeleteRecordsTopicResult::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

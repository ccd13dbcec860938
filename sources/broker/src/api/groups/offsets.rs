//! OffsetCommit, OffsetFetch and OffsetDelete.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::super::{Context, text};
use crate::error::Refusal;
use crate::offsets::{Committed, GroupOffsets, PartitionName};
use crate::topics::Topic;

/// The longest note that a commit may carry.
const MAX_METADATA: usize = 4_096;

fn code(outcome: &Result<(), Refusal>) -> i16 {
    outcome
        .as_ref()
        .map_or_else(|refusal| refusal.code.code(), |()| 0)
}

/// OffsetCommit.
pub(in crate::api) async fn commit(
    ctx: &Context,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let now_ms = ctx.now_ms();
    let mut refused = HashMap::new();
    let take = || {
        let mut committed = Vec::new();
        for topic in &request.topics {
            let known = ctx.shared.topics.get(&topic.name);
            for one in &topic.partitions {
                let name = (topic.name.to_string(), one.partition_index);
                match check(known.as_deref(), one, now_ms) {
                    Ok(taken) => committed.push((name, taken)),
                    Err(error) => drop(refused.insert(name, error)),
                }
            }
        }
        committed
    };
    let check_member = |group: &mut crate::groups::Group, now| {
        let instance = request.group_instance_id.as_deref();
        group.check_commit(
            now,
            &request.member_id,
            instance,
            request.generation_id_or_member_epoch,
        )
    };
    let coordinator = &ctx.shared.coordinator;
    let done = coordinator.commit(&request.group_id, check_member, take, now_ms);
    let done = code(&ctx.force_offsets(done).await);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| {
            let refused = refused.get(&(topic.name.to_string(), one.partition_index));
            OffsetCommitResponsePartition::default()
                .with_partition_index(one.partition_index)
                .with_error_code(refused.map_or(done, ResponseError::code))
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn check(
    topic: Option<&Topic>,
    one: &OffsetCommitRequestPartition,
    at_ms: i64,
) -> Result<Committed, ResponseError> {
    let partition = topic.and_then(|topic| topic.partition(one.partition_index));
    partition.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let metadata = one.committed_metadata.as_deref().unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(Committed {
        offset: one.committed_offset,
        leader_epoch: one.committed_leader_epoch,
        metadata: metadata.to_owned(),
        at_ms,
    })
}

/// What one group is asked for: all it has, or some partitions of some topics.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// What a group has committed, by topic; none for a partition without a commit.
type Found = Vec<(String, Vec<(i32, Option<Committed>)>)>;

fn look(known: Option<&GroupOffsets>, asked: Asked) -> Found {
    let get = |topic: &str, index: i32| known?.get(&(topic.to_owned(), index)).cloned();
    if let Some(asked) = asked {
        let each = asked.into_iter().map(|(topic, indexes)| {
            let found = indexes
                .iter()
                .map(|index| (*index, get(&topic, *index)))
                .collect();
            (topic, found)
        });
        return each.collect();
    }
    let mut found = Found::new();
    for ((topic, index), committed) in known.into_iter().flatten() {
        if found.last().is_none_or(|(last, _)| last != topic) {
            found.push((topic.clone(), Vec::new()));
        }
        let (_, partitions) = found.last_mut().expect("one was just pushed");
        partitions.push((*index, Some(committed.clone())));
    }
    found
}

/// OffsetFetch: of one group or, from version 8 on, of several.
pub(in crate::api) fn fetch(
    ctx: &Context,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let find = |group: &str, asked| {
        ctx.shared
            .coordinator
            .committed(group, |known| look(known, asked))
    };
    if version < 8 {
        let asked = request.topics.map(|topics| {
            let each = topics
                .into_iter()
                .map(|topic| (topic.name.to_string(), topic.partition_indexes));
            each.collect()
        });
        let topics = find(&request.group_id, asked).into_iter().map(one_topic);
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.into_iter().map(|group| {
        let asked = group.topics.map(|topics| {
            let each = topics
                .into_iter()
                .map(|topic| (topic.name.to_string(), topic.partition_indexes));
            each.collect()
        });
        let topics = find(&group.group_id, asked).into_iter().map(grouped_topic);
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id)
            .with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

/// Says that nothing was committed.
fn nothing() -> Committed {
    Committed {
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        at_ms: 0,
    }
}

fn one_topic(
    (topic, partitions): (String, Vec<(i32, Option<Committed>)>),
) -> OffsetFetchResponseTopic {
    let partitions = partitions.into_iter().map(|(index, committed)| {
        let committed = committed.unwrap_or_else(nothing);
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(committed.metadata)))
    });
    OffsetFetchResponseTopic::default()
        .with_name(text(topic).into())
        .with_partitions(partitions.collect())
}

fn grouped_topic(
    (topic, partitions): (String, Vec<(i32, Option<Committed>)>),
) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|(index, committed)| {
        let committed = committed.unwrap_or_else(nothing);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(text(committed.metadata)))
    });
    OffsetFetchResponseTopics::default()
        .with_name(text(topic).into())
        .with_partitions(partitions.collect())
}

/// OffsetDelete: of a group that nobody is in.
pub(in crate::api) async fn delete(
    ctx: &Context,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let each = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|one| (topic.name.to_string(), one.partition_index))
    });
    let names: Vec<PartitionName> = each.collect();
    let done = ctx
        .shared
        .coordinator
        .forget(&request.group_id, &names, ctx.now_ms());
    let done = ctx.force_offsets(done).await;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| {
            OffsetDeleteResponsePartition::default().with_partition_index(one.partition_index)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default()
        .with_error_code(code(&done))
        .with_topics(topics.collect())
}

//! Metadata and DescribeCluster: which topics there are, and that this broker leads them all.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use kafka_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::{Context, text};
use crate::error::Refusal;
use crate::identity::BROKER_ID;
use crate::log::segment::LEADER_EPOCH;
use crate::topics::Topic;

/// Says that the broker does not know who may do what: Kafka's "not asked for".
const NO_OPERATIONS: i32 = i32::MIN;

/// Lists the topics asked for, making them where that is allowed.
pub(super) fn handle(ctx: &Context, version: i16, request: MetadataRequest) -> MetadataResponse {
    // Before version 1 an empty list meant all topics; clients could not forbid creation before 4.
    let may_create = version < 4 || request.allow_auto_topic_creation;
    let named = request
        .topics
        .filter(|named| version > 0 || !named.is_empty());
    let topics = match named {
        None => ctx
            .shared
            .topics
            .all()
            .iter()
            .map(|topic| describe(topic))
            .collect(),
        Some(named) => named
            .into_iter()
            .map(|topic| find(ctx, topic, may_create))
            .collect(),
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(BROKER_ID.into())
        .with_host(ctx.host())
        .with_port(ctx.port());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(&*ctx.shared.identity.cluster_id)))
        .with_controller_id(BROKER_ID.into())
        .with_topics(topics)
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

fn find(ctx: &Context, asked: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let found = match &asked.name {
        Some(name) if asked.topic_id.is_nil() => ctx.shared.topics.get_or_create(name, may_create),
        _ => {
            let found = ctx.shared.topics.get_by_id(asked.topic_id);
            found.ok_or_else(|| Refusal::from(ResponseError::UnknownTopicId))
        }
    };
    match found {
        Ok(topic) => describe(&topic),
        Err(refusal) => MetadataResponseTopic::default()
            .with_error_code(refusal.code.code())
            .with_name(asked.name)
            .with_topic_id(asked.topic_id)
            .with_topic_authorized_operations(NO_OPERATIONS),
    }
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(BROKER_ID.into())
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![BROKER_ID.into()])
            .with_isr_nodes(vec![BROKER_ID.into()])
    };
    MetadataResponseTopic::default()
        .with_name(Some(text(&*topic.name).into()))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partitions().len()).map(partition).collect())
        .with_topic_authorized_operations(NO_OPERATIONS)
}

/// Describes the cluster of one.
pub(super) fn describe_cluster(
    ctx: &Context,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BROKER_ID.into())
        .with_host(ctx.host())
        .with_port(ctx.port());
    DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_id(text(&*ctx.shared.identity.cluster_id))
        .with_controller_id(BROKER_ID.into())
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

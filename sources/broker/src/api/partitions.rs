//! CreatePartitions and DescribeLogDirs.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::{Context, text, verdict};
use crate::error::Refusal;
use crate::identity::BROKER_ID;

/// CreatePartitions.
pub(super) fn create(ctx: &Context, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let validate_only = request.validate_only;
    let results = request.topics.into_iter().map(|topic| {
        let (code, why) = verdict(grow(ctx, &topic, validate_only));
        CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code)
            .with_error_message(why)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(ctx: &Context, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let assigned = topic.assignments.iter().flatten();
    if assigned
        .clone()
        .any(|one| one.broker_ids != [BrokerId(BROKER_ID)])
    {
        let why = format!("the only broker is {BROKER_ID}");
        return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, why));
    }
    ctx.shared
        .topics
        .grow(&topic.name, topic.count, validate_only)
}

/// DescribeLogDirs: one directory with all partitions and their sizes.
pub(super) fn describe_log_dirs(
    ctx: &Context,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let is_asked = |name: &str, index: i32| match &request.topics {
        None => true,
        Some(topics) => topics
            .iter()
            .any(|asked| *asked.topic == *name && asked.partitions.contains(&index)),
    };
    let topics = ctx.shared.topics.all().into_iter().filter_map(|topic| {
        let partitions = topic.partitions();
        let numbered = partitions
            .iter()
            .enumerate()
            .map(|(index, log)| (index as i32, log));
        let asked = numbered.filter(|(index, _)| is_asked(&topic.name, *index));
        let sizes: Vec<_> = asked
            .map(|(index, log)| {
                DescribeLogDirsPartition::default()
                    .with_partition_index(index)
                    .with_partition_size(log.lock().len() as i64)
            })
            .collect();
        let described = DescribeLogDirsTopic::default().with_name(text(&*topic.name).into());
        (!sizes.is_empty()).then(|| described.with_partitions(sizes))
    });
    let dir = DescribeLogDirsResult::default()
        .with_log_dir(text(ctx.shared.settings.dir.display().to_string()))
        .with_topics(topics.collect());
    DescribeLogDirsResponse::default().with_results(vec![dir])
}

//! CreateTopics and DeleteTopics.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use uuid::Uuid;

use super::{Context, text, verdict};
use crate::error::Refusal;
use crate::identity::BROKER_ID;
use crate::topic_config::TopicConfig;

/// What a topic was, or would be, made with.
struct Made {
    id: Uuid,
    partitions: i32,
    config: TopicConfig,
}

/// CreateTopics.
pub(super) fn create(ctx: &Context, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let validate_only = request.validate_only;
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        match create_one(ctx, &topic, validate_only) {
            Ok(made) => result
                .with_topic_id(made.id)
                .with_num_partitions(made.partitions)
                .with_replication_factor(1)
                .with_configs(Some(describe(&made.config))),
            Err(refusal) => result
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(refusal.why)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_one(ctx: &Context, topic: &CreatableTopic, validate_only: bool) -> Result<Made, Refusal> {
    let topics = &ctx.shared.topics;
    let partitions = count(ctx, topic)?;
    let pairs = topic.configs.iter().map(|config| {
        (
            config.name.to_string(),
            config.value.as_deref().unwrap_or_default().to_owned(),
        )
    });
    let configs: BTreeMap<_, _> = pairs.collect();
    if validate_only {
        let config = topics.check_new(&topic.name, partitions, &configs)?;
        return Ok(Made {
            id: Uuid::nil(),
            partitions,
            config,
        });
    }
    let made = topics.create(&topic.name, partitions, configs)?;
    Ok(Made {
        id: made.id,
        partitions,
        config: TopicConfig::clone(&made.config()),
    })
}

/// The number of partitions asked for. Only this broker can hold them, once each.
fn count(ctx: &Context, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if !topic.assignments.is_empty() {
        let here = topic
            .assignments
            .iter()
            .all(|one| one.broker_ids == [BrokerId(BROKER_ID)]);
        let why = format!("the only broker is {BROKER_ID}");
        let refusal = Refusal::new(ResponseError::InvalidReplicaAssignment, why);
        return if here {
            Ok(topic.assignments.len() as i32)
        } else {
            Err(refusal)
        };
    }
    if topic.replication_factor != -1 && topic.replication_factor != 1 {
        let why = format!(
            "replication factor {}: there is one broker",
            topic.replication_factor
        );
        return Err(Refusal::new(ResponseError::InvalidReplicationFactor, why));
    }
    match topic.num_partitions {
        -1 => Ok(ctx.shared.topics.default_partitions(&topic.name)),
        count => Ok(count),
    }
}

fn describe(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let shown = config.describe().into_iter().map(|key| {
        CreatableTopicConfigs::default()
            .with_config_source(super::configs::source(config, key.name))
            .with_name(text(key.name))
            .with_value(Some(text(key.value)))
    });
    shown.collect()
}

/// DeleteTopics.
pub(super) fn delete(ctx: &Context, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), Uuid::nil()));
    let by_either = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.topic_id));
    let results = by_name.chain(by_either).map(|(name, id)| {
        let found = match &name {
            Some(name) => Ok(name.to_string()),
            None => match ctx.shared.topics.get_by_id(id) {
                Some(topic) => Ok(topic.name.clone()),
                None => Err(Refusal::from(ResponseError::UnknownTopicId)),
            },
        };
        let known = found.as_ref().ok().map(|name| text(&**name).into());
        let (code, why) = verdict(found.and_then(|name| delete_one(ctx, &name)));
        DeletableTopicResult::default()
            .with_name(known)
            .with_topic_id(id)
            .with_error_code(code)
            .with_error_message(why)
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

/// Groups begin anew on a topic made under the same name.
fn delete_one(ctx: &Context, name: &str) -> Result<(), Refusal> {
    let forget = || {
        let coordinator = &ctx.shared.coordinator;
        coordinator.forget_topics(|topic| topic == name, ctx.now_ms())
    };
    ctx.shared.topics.delete(name, forget)
}

//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs, of topics and of the broker.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request::AlterConfigsRequest;
use kafka_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};
use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse as IncrementalResourceResponse, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Context, text, verdict};
use crate::error::Refusal;
use crate::identity::BROKER_ID;
use crate::topic_config::{Described, TopicConfig, ValueKind, items};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from, in Kafka's numbers.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER_SETTINGS: i8 = 4;
const BY_DEFAULT: i8 = 5;

/// Where a topic's value comes from.
pub(super) fn source(config: &TopicConfig, key: &str) -> i8 {
    if config.given.contains_key(key) {
        FROM_TOPIC
    } else {
        BY_DEFAULT
    }
}

/// DescribeConfigs.
pub(super) fn describe(ctx: &Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let found = values(ctx, &resource);
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match found {
            Ok(configs) => result.with_configs(configs),
            Err(refusal) => result
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(refusal.why))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn values(
    ctx: &Context,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let show = |key: Described, source: i8, read_only: bool| {
        DescribeConfigsResourceResult::default()
            .with_name(text(key.name))
            .with_value(Some(text(key.value)))
            .with_config_source(source)
            .with_read_only(read_only)
            .with_config_type(key.kind as i8)
    };
    let mut values: Vec<_> = match resource.resource_type {
        TOPIC => {
            let topic = ctx.shared.topics.get(&resource.resource_name);
            let config = topic
                .ok_or(ResponseError::UnknownTopicOrPartition)?
                .config();
            let shown = config.describe().into_iter();
            shown
                .map(|key| {
                    let from = source(&config, key.name);
                    show(key, from, false)
                })
                .collect()
        }
        BROKER if is_this_broker(&resource.resource_name) => broker_values(ctx)
            .into_iter()
            .map(|key| show(key, FROM_BROKER_SETTINGS, true))
            .collect(),
        _ => {
            let why = format!("topics and broker {BROKER_ID} have configurations, nothing else");
            return Err(Refusal::new(ResponseError::InvalidRequest, why));
        }
    };
    if let Some(keys) = &resource.configuration_keys {
        values.retain(|value| keys.contains(&value.name));
    }
    Ok(values)
}

fn is_this_broker(name: &str) -> bool {
    name.is_empty() || name == BROKER_ID.to_string()
}

fn broker_values(ctx: &Context) -> Vec<Described> {
    let settings = &ctx.shared.settings;
    let of = |name, value: String, kind| Described { name, value, kind };
    vec![
        of(
            "auto.create.topics.enable",
            settings.auto_create_topics.to_string(),
            ValueKind::Boolean,
        ),
        of(
            "log.dir",
            settings.dir.display().to_string(),
            ValueKind::String,
        ),
        of(
            "log.retention.bytes",
            settings.retention_bytes.to_string(),
            ValueKind::Long,
        ),
        of(
            "log.retention.ms",
            settings.retention_ms.to_string(),
            ValueKind::Long,
        ),
        of(
            "log.segment.bytes",
            settings.segment_bytes.to_string(),
            ValueKind::Int,
        ),
        of(
            "message.max.bytes",
            settings.max_message_bytes.to_string(),
            ValueKind::Int,
        ),
        of(
            "num.partitions",
            settings.default_partitions.to_string(),
            ValueKind::Int,
        ),
        of(
            "socket.request.max.bytes",
            settings.max_request_bytes.to_string(),
            ValueKind::Int,
        ),
    ]
}

/// AlterConfigs: the keys given replace all that were set.
pub(super) fn alter(ctx: &Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let validate_only = request.validate_only;
    let responses = request.resources.into_iter().map(|resource| {
        let pairs = resource.configs.iter();
        let pairs = pairs.map(|one| (one.name.to_string(), value(one.value.as_ref())));
        let all: BTreeMap<_, _> = pairs.collect();
        let done = change(
            ctx,
            resource.resource_type,
            &resource.resource_name,
            validate_only,
            |_, set| {
                *set = all;
                Ok(())
            },
        );
        let (code, why) = verdict(done);
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(why)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// IncrementalAlterConfigs: single keys are set, removed, or their lists changed.
pub(super) fn alter_incrementally(
    ctx: &Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let validate_only = request.validate_only;
    let responses = request.resources.into_iter().map(|resource| {
        let changes = &resource.configs;
        let done = change(
            ctx,
            resource.resource_type,
            &resource.resource_name,
            validate_only,
            |in_effect, set| {
                let mut changes = changes.iter();
                changes.try_for_each(|one| apply(in_effect, set, one))
            },
        );
        let (code, why) = verdict(done);
        IncrementalResourceResponse::default()
            .with_error_code(code)
            .with_error_message(why)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn change(
    ctx: &Context,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&TopicConfig, &mut BTreeMap<String, String>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        let why = "only topics can be reconfigured; the broker's settings are read at its start";
        return Err(Refusal::new(ResponseError::InvalidRequest, why));
    }
    ctx.shared.topics.configure(name, validate_only, change)
}

fn value(of: Option<&StrBytes>) -> String {
    of.map(ToString::to_string).unwrap_or_default()
}

/// Makes one change to what is `set` on a topic. Lists are changed from what is in effect, which may
/// be a default.
fn apply(
    in_effect: &TopicConfig,
    set: &mut BTreeMap<String, String>,
    change: &AlterableConfig,
) -> Result<(), Refusal> {
    let (key, new) = (change.name.to_string(), value(change.value.as_ref()));
    let list = || match set.get(&key) {
        Some(list) => list.clone(),
        None => default(in_effect, &key),
    };
    if matches!(change.config_operation, 2 | 3) && is_single(in_effect, &key) {
        let why = format!("{key} is no list: it can't be appended to or subtracted from");
        return Err(Refusal::new(ResponseError::InvalidConfig, why));
    }
    match change.config_operation {
        0 => drop(set.insert(key, new)),
        1 => drop(set.remove(&key)),
        2 => {
            let list = list();
            let mut all: Vec<_> = items(&list).collect();
            all.extend(items(&new).filter(|item| !items(&list).any(|has| has == *item)));
            set.insert(key, all.join(","));
        }
        3 => {
            let list = list();
            let left = items(&list).filter(|item| !items(&new).any(|gone| gone == *item));
            let left: Vec<_> = left.collect();
            set.insert(key, left.join(","));
        }
        other => {
            let why = format!("unknown operation {other} on {key}");
            return Err(Refusal::new(ResponseError::InvalidRequest, why));
        }
    }
    Ok(())
}

/// Whether a key holds one value and no list.
fn is_single(in_effect: &TopicConfig, key: &str) -> bool {
    let mut known = in_effect.describe().into_iter();
    known.any(|known| known.name == key && known.kind != ValueKind::List)
}

/// The value of a key that is not set on the topic; nothing where the key has no effect here.
fn default(in_effect: &TopicConfig, key: &str) -> String {
    let mut known = in_effect.describe().into_iter();
    let found = known.find(|known| known.name == key);
    found.map(|known| known.value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;

    /// What `cleanup.policy` is after one change.
    fn changed(before: Option<&str>, operation: i8, value: &str) -> String {
        let key = "cleanup.policy";
        let pairs = before.map(|value| (key.to_owned(), value.to_owned()));
        let mut set: BTreeMap<_, _> = pairs.into_iter().collect();
        let in_effect = TopicConfig::new(&Settings::default(), set.clone()).unwrap();
        let change = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value(Some(text(value)));
        apply(&in_effect, &mut set, &change).unwrap();
        default(&TopicConfig::new(&Settings::default(), set).unwrap(), key)
    }

    #[test]
    fn lists_are_changed_from_what_is_in_effect() {
        assert_eq!(changed(None, APPEND, "compact"), "delete,compact");
        assert_eq!(changed(None, SUBTRACT, "delete"), "");
        assert_eq!(changed(Some("compact"), APPEND, "delete"), "compact,delete");
        assert_eq!(changed(Some("compact"), APPEND, "compact"), "compact");
        let both = Some("compact, delete");
        assert_eq!(changed(both, SUBTRACT, "compact"), "delete");
    }

    #[test]
    fn a_single_value_takes_nothing_more() {
        let in_effect = TopicConfig::new(&Settings::default(), BTreeMap::new()).unwrap();
        let change = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_config_operation(APPEND)
            .with_value(Some(text("5")));
        let mut set = BTreeMap::new();
        assert!(apply(&in_effect, &mut set, &change).is_err());
        assert!(set.is_empty());
    }
}

//! ApiVersions: what this broker speaks.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

/// Each API with its lowest and highest version. What is not here is not answered. Produce is listed
/// from version 0 on all the same: see [`super::old_produce`].
const SUPPORTED: [(ApiKey, i16, i16); 28] = [
    (ApiKey::Produce, 3, 12),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 9),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 5),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    // Listed only to be refused in words: librdkafka waits for ever where it is missing.
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
];

/// Is this version answered?
pub(super) fn is_supported(api: ApiKey, version: i16) -> bool {
    let found = SUPPORTED.iter().find(|(key, _, _)| *key == api);
    found.is_some_and(|(_, min, max)| (*min..=*max).contains(&version))
}

/// The answer for a version of ApiVersions that we do not know: the list, in the oldest form.
pub(super) fn unsupported() -> ApiVersionsResponse {
    handle().with_error_code(ResponseError::UnsupportedVersion.code())
}

/// The list.
pub(super) fn handle() -> ApiVersionsResponse {
    let listed = SUPPORTED.iter().map(|(api, min, max)| {
        let min = if *api == ApiKey::Produce { 0 } else { *min };
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(min)
            .with_max_version(*max)
    });
    ApiVersionsResponse::default().with_api_keys(listed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn produce_is_listed_from_0_on_and_taken_from_3_on() {
        let listed = handle().api_keys;
        let produce = listed
            .iter()
            .find(|one| one.api_key == ApiKey::Produce as i16);
        assert_eq!(produce.map(|one| one.min_version), Some(0));
        assert!(!is_supported(ApiKey::Produce, 2) && is_supported(ApiKey::Produce, 3));
    }
}

//! The requests that the broker answers: which versions, who answers them, how answers are framed.

mod bounds;
mod configs;
mod fetch;
mod groups;
mod metadata;
mod offsets;
mod old_produce;
mod partitions;
mod produce;
mod producers;
mod topics;
mod versions;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

use crate::error::Refusal;
use crate::shared::Shared;
use crate::topics::Topic;

/// What a request's handler knows besides the request.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Context {
    fn now_ms(&self) -> i64 {
        (self.shared.clock)()
    }

    /// The host that clients are to connect to: as set, or the address by which this one came.
    fn host(&self) -> StrBytes {
        let set = self.shared.settings.advertised_host.clone();
        StrBytes::from_string(set.unwrap_or_else(|| self.local.ip().to_string()))
    }

    fn port(&self) -> i32 {
        i32::from(self.local.port())
    }

    /// Where the settings ask for it, waits until what was done to committed offsets is on disk.
    /// What the disk refuses is the coordinator being away: clients try that again, while they take
    /// `KAFKA_STORAGE_ERROR` from a coordinator for the end.
    async fn force_offsets(&self, done: Result<(), Refusal>) -> Result<(), Refusal> {
        let forced = match done {
            Ok(()) => self.offsets_on_disk().await,
            refused => refused,
        };
        forced.map_err(|refusal| match refusal.code {
            ResponseError::KafkaStorageError => {
                Refusal::new(ResponseError::CoordinatorNotAvailable, refusal.why)
            }
            _ => refusal,
        })
    }

    async fn offsets_on_disk(&self) -> Result<(), Refusal> {
        let log = self.shared.coordinator.offsets_log();
        let next_offset = log.lock().next_offset();
        let forced = self.shared.force(vec![(log, next_offset)]).await;
        forced.map_err(|failed| {
            tracing::error!(error = %failed, "forcing committed offsets to disk");
            Refusal::new(ResponseError::KafkaStorageError, failed.to_string())
        })
    }

    /// The topic that a request names by id or, where that is nil, by name.
    fn topic(&self, name: &str, id: Uuid) -> Option<Arc<Topic>> {
        if id.is_nil() {
            self.shared.topics.get(name)
        } else {
            self.shared.topics.get_by_id(id)
        }
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("a request of {0} bytes is too short")]
    Short(usize),
    #[error("unknown api {0}")]
    UnknownApi(i16),
    #[error("version {version} of {api:?} is not supported")]
    Version { api: ApiKey, version: i16 },
    #[error("{api:?} version {version} can't be read or answered: {why}")]
    Codec {
        api: ApiKey,
        version: i16,
        why: String,
    },
    #[error("an unacknowledged produce request was refused: {0}")]
    Unacknowledged(String),
}

/// One request on its way through.
struct Call {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: StrBytes,
    body: Bytes,
}

impl Call {
    fn parse(mut frame: Bytes) -> Result<Call, BadRequest> {
        if frame.len() < 8 {
            return Err(BadRequest::Short(frame.len()));
        }
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let api = ApiKey::try_from(key).map_err(|()| BadRequest::UnknownApi(key))?;
        let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        if !versions::is_supported(api, version) && !old_produce::is_one(api, version) {
            // The one request whose version a client can't know beforehand.
            if api != ApiKey::ApiVersions {
                return Err(BadRequest::Version { api, version });
            }
            let client_id = StrBytes::default();
            return Ok(Call {
                api,
                version,
                correlation_id,
                client_id,
                body: Bytes::new(),
            });
        }
        let header = RequestHeader::decode(&mut frame, api.request_header_version(version))
            .map_err(|why| BadRequest::Codec {
                api,
                version,
                why: why.to_string(),
            })?;
        let client_id = header.client_id.unwrap_or_default();
        Ok(Call {
            api,
            version,
            correlation_id,
            client_id,
            body: frame,
        })
    }

    fn decode<Q: Decodable>(&mut self) -> Result<Q, BadRequest> {
        bounds::check::<Q>(self.api, self.version, &self.body).map_err(|why| self.codec(why))?;
        Q::decode(&mut self.body, self.version).map_err(|why| self.codec(why))
    }

    fn codec(&self, why: impl ToString) -> BadRequest {
        BadRequest::Codec {
            api: self.api,
            version: self.version,
            why: why.to_string(),
        }
    }

    fn encode(&self, answer: &impl Encodable) -> Result<Option<BytesMut>, BadRequest> {
        self.encode_as(self.version, answer)
    }

    fn encode_as(
        &self,
        version: i16,
        answer: &impl Encodable,
    ) -> Result<Option<BytesMut>, BadRequest> {
        let size = answer
            .compute_size(version)
            .map_err(|why| self.codec(why))?;
        let mut out = BytesMut::with_capacity(size + 16);
        out.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        let header_version = self.api.response_header_version(version);
        header
            .encode(&mut out, header_version)
            .map_err(|why| self.codec(why))?;
        answer
            .encode(&mut out, version)
            .map_err(|why| self.codec(why))?;
        let len = i32::try_from(out.len() - 4).map_err(|why| self.codec(why))?;
        out[..4].copy_from_slice(&len.to_be_bytes());
        Ok(Some(out))
    }
}

/// Answers one request. None where the client wants no answer.
pub(crate) async fn answer(ctx: &Context, frame: Bytes) -> Result<Option<BytesMut>, BadRequest> {
    let mut call = Call::parse(frame)?;
    let version = call.version;
    macro_rules! reply {
        ($handle:expr) => {{
            let request = call.decode()?;
            let answer = $handle(ctx, request);
            call.encode(&answer)
        }};
    }
    match call.api {
        ApiKey::Produce if old_produce::is_one(call.api, version) => {
            old_produce::refuse(&call).map(Some)
        }
        ApiKey::Produce => {
            let answer = produce::handle(ctx, call.decode()?).await?;
            answer.map_or(Ok(None), |answer| call.encode(&answer))
        }
        ApiKey::Fetch => {
            let request = call.decode()?;
            call.encode(&fetch::handle(ctx, version, request).await)
        }
        ApiKey::ApiVersions if !versions::is_supported(call.api, version) => {
            call.encode_as(0, &versions::unsupported())
        }
        ApiKey::ApiVersions => call.encode(&versions::handle()),
        ApiKey::Metadata => reply!(|c, q| metadata::handle(c, version, q)),
        ApiKey::DescribeCluster => reply!(metadata::describe_cluster),
        ApiKey::ListOffsets => reply!(|c, q| offsets::list(c, version, q)),
        ApiKey::OffsetForLeaderEpoch => reply!(offsets::for_leader_epoch),
        ApiKey::DeleteRecords => reply!(offsets::delete_records),
        ApiKey::CreateTopics => reply!(topics::create),
        ApiKey::DeleteTopics => reply!(topics::delete),
        ApiKey::CreatePartitions => reply!(partitions::create),
        ApiKey::DescribeLogDirs => reply!(partitions::describe_log_dirs),
        ApiKey::DescribeConfigs => reply!(configs::describe),
        ApiKey::AlterConfigs => reply!(configs::alter),
        ApiKey::IncrementalAlterConfigs => reply!(configs::alter_incrementally),
        ApiKey::InitProducerId => reply!(producers::init),
        ApiKey::FindCoordinator => reply!(|c, q| groups::find_coordinator(c, version, q)),
        ApiKey::JoinGroup => {
            let request = call.decode()?;
            let answer = groups::join(ctx, version, call.client_id.as_str(), request).await;
            call.encode(&answer)
        }
        ApiKey::SyncGroup => {
            let request = call.decode()?;
            call.encode(&groups::sync(ctx, request).await)
        }
        ApiKey::Heartbeat => reply!(groups::heartbeat),
        ApiKey::LeaveGroup => reply!(|c, q| groups::leave(c, version, q)),
        ApiKey::ConsumerGroupHeartbeat => reply!(groups::refuse_new_protocol),
        ApiKey::OffsetCommit => {
            let request = call.decode()?;
            call.encode(&groups::offsets::commit(ctx, request).await)
        }
        ApiKey::OffsetFetch => reply!(|c, q| groups::offsets::fetch(c, version, q)),
        ApiKey::OffsetDelete => {
            let request = call.decode()?;
            call.encode(&groups::offsets::delete(ctx, request).await)
        }
        ApiKey::ListGroups => reply!(groups::admin::list),
        ApiKey::DescribeGroups => reply!(|c, q| groups::admin::describe(c, version, q)),
        ApiKey::DeleteGroups => {
            let request = call.decode()?;
            call.encode(&groups::admin::delete(ctx, request).await)
        }
        api => Err(BadRequest::Version { api, version }),
    }
}

/// The error code and message of an outcome, as most answers carry them.
fn verdict(outcome: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(()) => (0, None),
        Err(refusal) => (
            refusal.code.code(),
            Some(StrBytes::from_string(refusal.why)),
        ),
    }
}

/// A string as the protocol crate holds it.
fn text(of: impl Into<String>) -> StrBytes {
    StrBytes::from_string(of.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;

    use super::*;
    use crate::settings::Settings;

    /// A broker as a request sees it.
    pub(super) fn context(dir: &Path) -> Context {
        let settings = Settings {
            dir: dir.to_owned(),
            ..Settings::default()
        };
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Context {
            shared: Arc::new(crate::broker::open(settings, Arc::new(|| 5)).unwrap()),
            peer: nowhere,
            local: nowhere,
        }
    }

    #[tokio::test]
    async fn what_the_disk_refuses_of_a_group_may_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = context(dir.path());
        for (code, told) in [
            (
                ResponseError::KafkaStorageError,
                ResponseError::CoordinatorNotAvailable,
            ),
            (ResponseError::NonEmptyGroup, ResponseError::NonEmptyGroup),
        ] {
            let refused = ctx.force_offsets(Err(code.into())).await;
            assert_eq!(refused.unwrap_err().code, told);
        }
        ctx.force_offsets(Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn offsets_of_a_group_that_is_not_known_can_not_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = context(dir.path());
        let request = OffsetDeleteRequest::default().with_group_id(StrBytes::from("g").into());
        let answer = groups::offsets::delete(&ctx, request).await;
        assert_eq!(answer.error_code, ResponseError::GroupIdNotFound.code());
    }
}

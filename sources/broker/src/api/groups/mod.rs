//! Group membership: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and the refusal
//! of the newer group protocol (KIP-848).

pub(super) mod admin;
pub(super) mod offsets;

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use tokio::sync::oneshot;

use super::{Context, text};
use crate::groups::{Answer, Join, Joined, Sync, Synced, Waits};
use crate::identity::BROKER_ID;

/// Sessions that a member may ask for.
const SESSION_MS: std::ops::RangeInclusive<i32> = 100..=1_800_000;
/// `FindCoordinator` for a group, not for a transaction.
const OF_GROUP: i8 = 0;

fn code(answer: Answer<()>) -> i16 {
    answer.map_or_else(|error| error.code(), |()| 0)
}

/// FindCoordinator: it is always here, except for transactions, which are nowhere.
pub(super) fn find_coordinator(
    ctx: &Context,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let refused = (request.key_type != OF_GROUP).then(|| {
        let why = text("this broker has no transactions");
        (
            ResponseError::TransactionalIdAuthorizationFailed.code(),
            why,
        )
    });
    let (error_code, why) = refused.clone().unzip();
    let (node, host, port) = match refused {
        Some(_) => (-1, text(""), -1),
        None => (BROKER_ID, ctx.host(), ctx.port()),
    };
    let error_code = error_code.unwrap_or(0);
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error_code)
            .with_error_message(why)
            .with_node_id(node.into())
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(node.into())
            .with_host(host.clone())
            .with_port(port)
            .with_error_code(error_code)
            .with_error_message(why.clone())
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

/// JoinGroup: answers when the whole group has joined.
pub(super) async fn join(
    ctx: &Context,
    version: i16,
    client_id: &str,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let refuse = |error: ResponseError, member: &str| {
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(Some(text("")))
            .with_member_id(text(member))
    };
    let member = request.member_id.to_string();
    if request.group_id.is_empty() {
        return refuse(ResponseError::InvalidGroupId, &member);
    }
    if !SESSION_MS.contains(&request.session_timeout_ms) {
        return refuse(ResponseError::InvalidSessionTimeout, &member);
    }
    let (answer, joined) = oneshot::channel();
    let join = to_join(ctx, version, client_id, &request);
    let waits = ctx
        .shared
        .coordinator
        .with(&request.group_id, |group, now| {
            group.join(now, join, answer)
        });
    if let Waits::ComeBackAs(id) = waits {
        return refuse(ResponseError::MemberIdRequired, &id);
    }
    match joined.await.unwrap_or(Err(ResponseError::UnknownMemberId)) {
        Ok(joined) => joined_response(version, joined),
        Err(error) => refuse(error, &member),
    }
}

fn to_join(ctx: &Context, version: i16, client_id: &str, request: &JoinGroupRequest) -> Join {
    let millis = |ms: i32| Duration::from_millis(ms.max(0) as u64);
    // The first version had one timeout for both.
    let rebalance_ms = if version == 0 {
        request.session_timeout_ms
    } else {
        request.rebalance_timeout_ms
    };
    let protocols = request.protocols.iter();
    Join {
        member: request.member_id.to_string(),
        new_id: ctx.shared.coordinator.new_member_id(client_id),
        instance: request.group_instance_id.as_ref().map(ToString::to_string),
        client_id: client_id.to_owned(),
        client_host: format!("/{}", ctx.peer.ip()),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|one| (one.name.to_string(), one.metadata.clone()))
            .collect(),
        needs_id_first: version >= 4,
        can_skip_assignment: version >= 9,
    }
}

fn joined_response(version: i16, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.id))
            .with_group_instance_id(member.instance.map(text))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type((version >= 7).then(|| text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skips_assignment)
        .with_member_id(text(joined.member))
        .with_members(members.collect())
}

/// SyncGroup: answers when the leader has assigned.
pub(super) async fn sync(ctx: &Context, request: SyncGroupRequest) -> SyncGroupResponse {
    let (answer, synced) = oneshot::channel();
    let assignments = request.assignments.iter();
    let sync = Sync {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_deref(),
        protocol: request.protocol_name.as_deref(),
        assignments: assignments
            .map(|one| (one.member_id.to_string(), one.assignment.clone()))
            .collect(),
    };
    let asked = ctx
        .shared
        .coordinator
        .with_known(&request.group_id, |group, now| {
            group.sync(now, sync, answer);
            Ok(())
        });
    let outcome: Answer<Synced> = match asked {
        Ok(()) => synced.await.unwrap_or(Err(ResponseError::UnknownMemberId)),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(Some(text(synced.protocol_type)))
            .with_protocol_name(Some(text(synced.protocol)))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

/// Heartbeat.
pub(super) fn heartbeat(ctx: &Context, request: HeartbeatRequest) -> HeartbeatResponse {
    let instance = request.group_instance_id.as_deref();
    let lives = ctx
        .shared
        .coordinator
        .with_known(&request.group_id, |group, now| {
            group.heartbeat(now, &request.member_id, instance, request.generation_id)
        });
    HeartbeatResponse::default().with_error_code(code(lives))
}

/// LeaveGroup: of one member or, from version 3 on, of several.
pub(super) fn leave(ctx: &Context, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let leave = |member: &str, instance: Option<&str>| {
        code(
            ctx.shared
                .coordinator
                .with_known(&request.group_id, |group, now| {
                    group.leave(now, member, instance)
                }),
        )
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(leave(&request.member_id, None));
    }
    let leave_one = |one: &MemberIdentity| {
        let instance = one.group_instance_id.as_deref();
        MemberResponse::default()
            .with_member_id(one.member_id.clone())
            .with_group_instance_id(one.group_instance_id.clone())
            .with_error_code(leave(&one.member_id, instance))
    };
    LeaveGroupResponse::default().with_members(request.members.iter().map(leave_one).collect())
}

/// ConsumerGroupHeartbeat: this broker knows the classic protocol only.
pub(super) fn refuse_new_protocol(
    _: &Context,
    _: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let why = "this broker knows the classic group protocol only: set group.protocol=classic";
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_error_message(Some(text(why)))
}

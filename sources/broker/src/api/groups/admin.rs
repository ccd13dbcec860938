//! ListGroups, DescribeGroups and DeleteGroups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{
    DeletableGroupResult, DeleteGroupsResponse,
};
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use super::super::{Context, text, verdict};
use crate::groups::Group;

/// The name of the only group protocol there is.
const CLASSIC: &str = "Classic";

/// ListGroups.
pub(in crate::api) fn list(ctx: &Context, request: ListGroupsRequest) -> ListGroupsResponse {
    let is_wanted = |filter: &[kafka_protocol::protocol::StrBytes], is: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    let all = ctx.shared.coordinator.list().into_iter();
    let wanted = all.filter(|group| {
        is_wanted(&request.states_filter, group.state.name())
            && is_wanted(&request.types_filter, CLASSIC)
    });
    let groups = wanted.map(|group| {
        ListedGroup::default()
            .with_group_id(text(group.id).into())
            .with_protocol_type(text(group.protocol_type))
            .with_group_state(text(group.state.name()))
            .with_group_type(text(CLASSIC))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// DescribeGroups. Before version 6 an unknown group was a dead one, since then it is an error.
pub(in crate::api) fn describe(
    ctx: &Context,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let found = ctx.shared.coordinator.look(&id, describe_one);
        let described = found.unwrap_or_else(|| {
            let missing = if version < 6 {
                0
            } else {
                ResponseError::GroupIdNotFound.code()
            };
            DescribedGroup::default()
                .with_error_code(missing)
                .with_group_state(text("Dead"))
        });
        described
            .with_group_id(id)
            .with_authorized_operations(i32::MIN)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe_one(group: &Group) -> DescribedGroup {
    let members = group.members.iter().map(|(id, member)| {
        DescribedGroupMember::default()
            .with_member_id(text(&**id))
            .with_group_instance_id(member.instance.clone().map(text))
            .with_client_id(text(&*member.client_id))
            .with_client_host(text(&*member.client_host))
            .with_member_metadata(member.metadata(&group.protocol))
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(&*group.protocol_type))
        .with_protocol_data(text(&*group.protocol))
        .with_members(members.collect())
}

/// DeleteGroups.
pub(in crate::api) async fn delete(
    ctx: &Context,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let done = ctx.shared.coordinator.delete(&id, ctx.now_ms());
        let (code, _) = verdict(ctx.force_offsets(done).await);
        let result = DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(code);
        results.push(result);
    }
    DeleteGroupsResponse::default().with_results(results)
}

//! InitProducerId: ids for idempotent producers.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use super::Context;
use crate::error::Refusal;

/// Gives out a new id; transactional producers are refused, in the way that ends them at once.
pub(super) fn init(ctx: &Context, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let given = match request.transactional_id {
        Some(_) => Err(Refusal::from(
            ResponseError::TransactionalIdAuthorizationFailed,
        )),
        None => ctx.shared.identity.next_producer_id(),
    };
    let response = InitProducerIdResponse::default();
    match given {
        Ok(id) => response.with_producer_id(id.into()).with_producer_epoch(0),
        Err(refusal) => response
            .with_error_code(refusal.code.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}

//! Produce before version 3, which is listed and refused.
//!
//! Older librdkafka (2.3 for one) compresses by gzip, snappy and lz4 only where version 0 is listed,
//! whatever version it then speaks; elsewhere it sends records as they are and says nothing. Apache
//! Kafka 4 lists these versions for the same reason and refuses them too (KAFKA-18659).

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::produce_request::ProduceRequest;
use kafka_protocol::protocol::Decodable;

use super::{BadRequest, Call, bounds};

/// The first version that is taken. It put the transactional id before what was there already.
const FIRST_TAKEN: i16 = 3;
const NO_TRANSACTIONAL_ID: [u8; 2] = (-1i16).to_be_bytes();

/// Is this such a request?
pub(super) fn is_one(api: ApiKey, version: i16) -> bool {
    api == ApiKey::Produce && (0..FIRST_TAKEN).contains(&version)
}

/// Refuses each partition that the request names.
pub(super) fn refuse(call: &Call) -> Result<BytesMut, BadRequest> {
    let mut body = Bytes::from([&NO_TRANSACTIONAL_ID, &*call.body].concat());
    bounds::check::<ProduceRequest>(call.api, FIRST_TAKEN, &body).map_err(|why| call.codec(why))?;
    let request = ProduceRequest::decode(&mut body, FIRST_TAKEN).map_err(|why| call.codec(why))?;
    if request.acks == 0 {
        let version = call.version;
        return Err(BadRequest::Version {
            api: call.api,
            version,
        });
    }
    let mut out = BytesMut::new();
    out.put_i32(0);
    out.put_i32(call.correlation_id);
    put_refusals(&mut out, call.version, &request);
    let len = i32::try_from(out.len() - 4).map_err(|why| call.codec(why))?;
    out[..4].copy_from_slice(&len.to_be_bytes());
    Ok(out)
}

/// Writes the answer by hand, as the protocol crate no longer knows its form.
fn put_refusals(out: &mut BytesMut, version: i16, request: &ProduceRequest) {
    const NOWHERE: i64 = -1;
    out.put_i32(request.topic_data.len() as i32);
    for topic in &request.topic_data {
        out.put_i16(topic.name.len() as i16);
        out.put_slice(topic.name.as_bytes());
        out.put_i32(topic.partition_data.len() as i32);
        for partition in &topic.partition_data {
            out.put_i32(partition.index);
            out.put_i16(ResponseError::UnsupportedVersion.code());
            out.put_i64(NOWHERE);
            if version >= 2 {
                out.put_i64(NOWHERE);
            }
        }
    }
    if version >= 1 {
        // For how long the client is to pause.
        out.put_i32(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_old_version_is_refused_in_its_own_form() {
        let name = b"\0\x01t";
        let asked = [
            &1i16.to_be_bytes()[..],
            &1_000i32.to_be_bytes(),
            &1i32.to_be_bytes(),
            name,
            &1i32.to_be_bytes(),
            &7i32.to_be_bytes(),
            &3i32.to_be_bytes(),
            b"abc",
        ]
        .concat();
        for version in 0..FIRST_TAKEN {
            let call = Call {
                api: ApiKey::Produce,
                version,
                correlation_id: 5,
                client_id: Default::default(),
                body: Bytes::from(asked.clone()),
            };
            assert!(is_one(call.api, version));
            let nowhere = (-1i64).to_be_bytes();
            let stamp = if version >= 2 { &nowhere[..] } else { &[] };
            let pause = if version >= 1 { &[0; 4][..] } else { &[] };
            let said = [
                &5i32.to_be_bytes()[..],
                &1i32.to_be_bytes(),
                name,
                &1i32.to_be_bytes(),
                &7i32.to_be_bytes(),
                &35i16.to_be_bytes(),
                &nowhere,
                stamp,
                pause,
            ]
            .concat();
            let answer = refuse(&call).unwrap();
            assert_eq!(answer[..4], (said.len() as i32).to_be_bytes());
            assert_eq!(answer[4..], said, "version {version}");
        }
    }
}

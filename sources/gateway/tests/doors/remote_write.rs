//! The door of Prometheus remote write.

use reqwest::StatusCode;

use crate::house::{NOW, answer, house};

/// A length-delimited protobuf field; fields below 16 and parts below 128 bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128, "one length byte");
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

pub(crate) fn write_request(name: &str, value: f64, time: i64) -> Vec<u8> {
    let label = |name: &str, value: &str| {
        field(
            1,
            &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    let mut left = time as u64;
    while left >= 0x80 {
        sample.push(left as u8 | 0x80);
        left >>= 7;
    }
    sample.push(left as u8);
    let series = [
        label("__name__", name),
        label("host", "a"),
        field(2, &sample),
    ]
    .concat();
    snap::raw::Encoder::new()
        .compress_vec(&field(1, &series))
        .expect("small")
}

#[tokio::test]
async fn remote_write_is_204_and_what_must_not_come_again_400() {
    let house = house().await;
    let post = |kind: &'static str, body: Vec<u8>| {
        house
            .post("/api/v1/write")
            .header("content-type", kind)
            .body(body)
    };
    let v1 = "application/x-protobuf";
    let good = post(v1, write_request("up", 1.0, NOW)).header("content-encoding", "snappy");
    assert_eq!(answer(good).await.0, StatusCode::NO_CONTENT);
    let plain = post(v1, write_request("up", 2.0, NOW + 1));
    assert_eq!(answer(plain).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        answer(post(v1, b"nonsense".to_vec())).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        answer(post(v1, write_request("", 2.0, NOW))).await.0,
        StatusCode::BAD_REQUEST
    );
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let refused = answer(post(v2, write_request("up", 1.0, NOW))).await;
    assert_eq!(refused.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = answer(post("text/plain", write_request("up", 1.0, NOW))).await;
    assert_eq!(text.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(house.series(), [r#"default:up{"host": "a"}"#; 2]);
}

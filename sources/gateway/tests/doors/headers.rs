//! What headers say: encodings and tenants.

use std::io::Write;

use reqwest::StatusCode;
use serde_json::json;

use crate::house::{JsonBody, answer, gzip, house, sample};

#[tokio::test]
async fn encodings_and_tenants_are_understood() {
    let house = house().await;
    let body = |host: &str| serde_json::to_vec(&sample("m", host, 1.0)).expect("JSON");
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&body("deflate")).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let packed = [
        ("gzip", gzip(&body("gzip"))),
        (
            "zstd",
            zstd::encode_all(&*body("zstd"), 1).expect("in memory"),
        ),
        (
            "snappy",
            snap::raw::Encoder::new()
                .compress_vec(&body("snappy"))
                .expect("in memory"),
        ),
        ("deflate", zlib),
        ("identity", body("identity")),
    ];
    for (encoding, bytes) in packed {
        let header = if encoding == "gzip" {
            "X-Scope-OrgID"
        } else {
            "tenant"
        };
        let request = house
            .post("/api/v1/metrics")
            .header("content-encoding", encoding)
            .header(header, "acme")
            .body(bytes);
        let (status, told) = answer(request).await;
        assert_eq!(
            (status, &told["accepted"]),
            (StatusCode::ACCEPTED, &json!(1)),
            "{encoding} {told}"
        );
    }
    let rows = house.rows();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.tenant == "acme"), "{rows:?}");
    let brotli = house
        .post("/api/v1/metrics")
        .header("content-encoding", "br")
        .body("x");
    assert_eq!(answer(brotli).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let nobody = house
        .post("/api/v1/metrics")
        .header("tenant", " ")
        .body_json(&json!([]));
    let (status, told) = answer(nobody).await;
    assert_eq!(
        (status, &told["rejected"]),
        (StatusCode::BAD_REQUEST, &json!(0)),
        "nothing was looked at: {told}"
    );
    for headers in [["tenant", "x-tenant"], ["tenant", "tenant"]] {
        let two = house.post("/api/v1/metrics").header(headers[0], "a");
        let two = two.header(headers[1], "b").body_json(&json!([]));
        assert_eq!(answer(two).await.0, StatusCode::BAD_REQUEST, "{headers:?}");
    }
}

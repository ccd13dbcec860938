//! Checks AWS Signature Version 4 as Amazon describes it, so that a client with a wrong secret, or
//! one that signs wrongly, is refused here too.

use std::fmt::Write;

use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};

use super::{KEY_ID, SECRET};

/// What stands for itself in a query; everything else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Makes sure that the request was signed with our key; otherwise returns S3's word for why not.
pub(super) fn check(head: &Parts, body: &[u8]) -> Result<(), &'static str> {
    let header = |name: &str| head.headers.get(name)?.to_str().ok();
    let given = header("authorization").ok_or("AccessDenied")?;
    let given = given
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("AccessDenied")?;
    let field = |name: &str| {
        let mut fields = given.split(',');
        fields.find_map(|it| it.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(credential), Some(signed), Some(signature)) = (
        field("Credential"),
        field("SignedHeaders"),
        field("Signature"),
    ) else {
        return Err("AuthorizationHeaderMalformed");
    };
    let (key_id, scope) = credential
        .split_once('/')
        .ok_or("AuthorizationHeaderMalformed")?;
    if key_id != KEY_ID {
        return Err("InvalidAccessKeyId");
    }
    let sum = header("x-amz-content-sha256").ok_or("InvalidRequest")?;
    if !sum.contains("UNSIGNED") && sum != hex(digest::digest(&digest::SHA256, body).as_ref()) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let date = header("x-amz-date").ok_or("AccessDenied")?;
    let canonical =
        hex(digest::digest(&digest::SHA256, canonical(head, signed, sum).as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            mac(&key, part)
        });
    if hex(&mac(&key, &to_sign)) == signature {
        Ok(())
    } else {
        Err("SignatureDoesNotMatch")
    }
}

/// The request in the one form that both sides sign.
fn canonical(head: &Parts, signed: &str, sum: &str) -> String {
    let query = head.uri.query().unwrap_or_default();
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    pairs.sort_unstable();
    let mut text = format!(
        "{}\n{}\n{}\n",
        head.method,
        head.uri.path(),
        pairs.join("&")
    );
    for name in signed.split(';') {
        let values = head.headers.get_all(name).iter();
        let values: Vec<&str> = values
            .filter_map(|value| Some(value.to_str().ok()?.trim()))
            .collect();
        let _ = writeln!(text, "{name}:{}", values.join(","));
    }
    text + "\n" + signed + "\n" + sum
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

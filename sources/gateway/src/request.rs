//! What every door does with a request before it looks at the bytes: tenant, size, encoding.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::body;
use crate::error::PushError;
use crate::gateway::Gateway;

/// A request as it is pushed.
pub(crate) struct Request {
    pub(crate) tenant: String,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: &'static str,
    pub(crate) body: Bytes,
    /// Its room among the bytes under way.
    pub(crate) room: OwnedSemaphorePermit,
}

/// Any of them; two that differ are refused. SQL's door knows the same ones.
const TENANT_HEADERS: [&str; 3] = ["x-tenant", "x-scope-orgid", "tenant"];
const TENANT_BYTES_MOST: usize = 256;

/// Encodings by their header's words.
const ENCODINGS: [(&str, &str); 6] = [
    ("identity", "identity"),
    ("gzip", "gzip"),
    ("x-gzip", "gzip"),
    ("zstd", "zstd"),
    ("snappy", "snappy"),
    ("deflate", "deflate"),
];

impl Request {
    /// Reads the body within its limit. `usual_encoding` is what a request without a
    /// `content-encoding` has.
    pub(crate) async fn read(
        gateway: &Gateway,
        headers: &HeaderMap,
        body: Body,
        usual_encoding: &'static str,
    ) -> Result<Self, PushError> {
        let tenant = tenant(headers, &gateway.settings().tenant)?;
        let content_encoding = encoding(headers, usual_encoding)?;
        let (body, room) = body::read(gateway, body).await?;
        let content_type = text(headers, CONTENT_TYPE.as_str()).map(str::to_owned);
        Ok(Self {
            tenant,
            content_type,
            content_encoding,
            body,
            room,
        })
    }

    /// The content type without parameters, in small letters.
    pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
        let text = text(headers, CONTENT_TYPE.as_str())?;
        Some(
            text.split(';')
                .next()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase(),
        )
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn tenant(headers: &HeaderMap, usual: &str) -> Result<String, PushError> {
    let mut named = TENANT_HEADERS.iter().flat_map(|name| {
        headers
            .get_all(*name)
            .iter()
            .map(move |value| (name, value))
    });
    let Some((header, value)) = named.next() else {
        return Ok(usual.to_owned());
    };
    if named.any(|(_, other)| other != value) {
        return Err(PushError::Refused(
            "two headers name different tenants".into(),
        ));
    }
    let refused = |what: &str| PushError::Refused(format!("the header `{header}` {what}"));
    let tenant = value
        .to_str()
        .map_err(|_| refused("is not plain text"))?
        .trim();
    if tenant.is_empty() {
        return Err(refused("names no tenant"));
    }
    if tenant.len() > TENANT_BYTES_MOST {
        return Err(refused(&format!(
            "is longer than {TENANT_BYTES_MOST} bytes"
        )));
    }
    Ok(tenant.to_owned())
}

fn encoding(headers: &HeaderMap, usual: &'static str) -> Result<&'static str, PushError> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(usual);
    };
    let word = value.to_str().unwrap_or("").trim();
    if word.is_empty() {
        return Ok(usual);
    }
    let known = ENCODINGS
        .iter()
        .find(|known| known.0.eq_ignore_ascii_case(word));
    known.map(|known| known.1).ok_or_else(|| {
        let text =
            format!("content-encoding {word:?}; known are gzip, zstd, snappy, deflate, identity");
        PushError::MediaType(text)
    })
}

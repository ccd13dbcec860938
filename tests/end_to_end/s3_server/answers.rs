//! Requests and answers of the S3 protocol, as far as the lake uses it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use percent_encoding::percent_decode_str;

use super::BUCKET;
use super::objects::{Object, Objects};

/// Few, so that every listing worth its name has several pages.
const MOST_LISTED: usize = 5;

type Answer = Response<Full<Bytes>>;

/// A request that is understood and may be carried out.
#[derive(Clone)]
pub(super) enum Asked {
    Put {
        key: String,
        body: Bytes,
        create: bool,
    },
    Get {
        key: String,
        range: Option<String>,
        /// Only the headers.
        head: bool,
    },
    Delete {
        keys: Vec<String>,
        many: bool,
    },
    List(BTreeMap<String, String>),
}

impl Asked {
    /// What a request asks, or the status and word that refuse it.
    pub(super) fn parse(
        head: &Parts,
        body: Bytes,
        ignores_conditions: bool,
    ) -> Result<Self, (u16, &'static str)> {
        let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        if bucket != BUCKET {
            return Err((404, "NoSuchBucket"));
        }
        let key = key.to_owned();
        let query = head.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let header = |name| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        Ok(match &head.method {
            &Method::PUT if query.is_empty() => Self::Put {
                key,
                body,
                create: header("if-none-match").as_deref() == Some("*") && !ignores_conditions,
            },
            &Method::GET if query.contains_key("list-type") => Self::List(query),
            method @ (&Method::GET | &Method::HEAD) if !key.is_empty() => Self::Get {
                key,
                range: header("range"),
                head: method == Method::HEAD,
            },
            &Method::DELETE => Self::Delete {
                keys: vec![key],
                many: false,
            },
            &Method::POST if query.contains_key("delete") => Self::Delete {
                keys: keys(&String::from_utf8_lossy(&body)),
                many: true,
            },
            _ => return Err((501, "NotImplemented")),
        })
    }

    /// Whether it changes the bucket.
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete { .. })
    }

    /// Whether it puts an object only where there is none.
    pub(super) fn creates(&self) -> bool {
        matches!(self, Self::Put { create: true, .. })
    }

    /// Carries it out.
    pub(super) fn answer(self, objects: &mut Objects) -> Answer {
        match self {
            Self::Put { key, body, create } => match objects.put(&key, body, create) {
                Some(tag) => with(Response::builder().header("etag", tag), Bytes::new()),
                None => refusal(412, "PreconditionFailed"),
            },
            Self::Get { key, range, head } => match objects.get(&key) {
                Some(object) => get(object, range.as_deref(), head),
                None => refusal(404, "NoSuchKey"),
            },
            Self::Delete { keys, many } => {
                keys.iter().for_each(|key| objects.delete(key));
                let body = if many { deleted(&keys) } else { String::new() };
                with(
                    Response::builder().status(if many { 200 } else { 204 }),
                    body,
                )
            }
            Self::List(query) => listing(objects, &query),
        }
    }
}

/// An answer that says no, with S3's own word for why.
pub(super) fn refusal(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    with(Response::builder().status(status), body)
}

fn with(answer: hyper::http::response::Builder, body: impl Into<Bytes>) -> Answer {
    answer.body(Full::new(body.into())).expect("valid headers")
}

fn get(object: &Object, range: Option<&str>, head: bool) -> Answer {
    let modified = object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let answer = Response::builder()
        .header("etag", &object.tag)
        .header("last-modified", modified.to_string());
    let length = object.body.len();
    if head {
        return with(answer.header("content-length", length), Bytes::new());
    }
    let Some(range) = range else {
        return with(answer, object.body.clone());
    };
    match bytes_of(range, length) {
        Some(part) => {
            let told = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let answer = answer.status(206).header("content-range", told);
            with(answer, object.body.slice(part))
        }
        None => refusal(416, "InvalidRange"),
    }
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n` of an object of `length` bytes.
fn bytes_of(range: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let part = match (first, last) {
        ("", count) => length.saturating_sub(count.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => first.parse().ok()?..length.min(last.parse::<usize>().ok()? + 1),
    };
    (part.start < part.end).then_some(part)
}

fn listing(objects: &Objects, query: &BTreeMap<String, String>) -> Answer {
    let asked = |name| query.get(name).map_or("", String::as_str);
    let after = asked("continuation-token").max(asked("start-after"));
    let page = objects.page(asked("prefix"), asked("delimiter"), after, MOST_LISTED);
    let mut xml = format!(
        "<ListBucketResult><IsTruncated>{}</IsTruncated>",
        page.next.is_some()
    );
    for (key, object) in &page.objects {
        let (modified, tag, size) = (object.modified, &object.tag, object.body.len());
        let _ = write!(
            xml,
            "<Contents><Key>{}</Key><LastModified>{modified:.3}</LastModified><ETag>{}</ETag>\
             <Size>{size}</Size></Contents>",
            escaped(key),
            escaped(tag)
        );
    }
    for folder in &page.folders {
        let folder = escaped(folder);
        let _ = write!(
            xml,
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        );
    }
    if let Some(next) = page.next {
        let next = escaped(&next);
        let _ = write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>");
    }
    xml.push_str("</ListBucketResult>");
    with(Response::builder(), xml)
}

fn deleted(keys: &[String]) -> String {
    let one = |key: &String| format!("<Deleted><Key>{}</Key></Deleted>", escaped(key));
    let all: String = keys.iter().map(one).collect();
    format!("<DeleteResult>{all}</DeleteResult>")
}

/// The keys that a request to delete many names.
fn keys(xml: &str) -> Vec<String> {
    let named = xml.split("<Key>").skip(1);
    named
        .filter_map(|rest| Some(unescaped(rest.split_once("</Key>")?.0)))
        .collect()
}

const ESCAPES: [(&str, &str); 4] = [
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("\"", "&quot;"),
];

fn escaped(text: &str) -> String {
    let replace = |text: String, (plain, named): &(&str, &str)| text.replace(plain, named);
    ESCAPES.iter().fold(text.to_owned(), replace)
}

fn unescaped(text: &str) -> String {
    let replace = |text: String, (plain, named): &(&str, &str)| text.replace(named, plain);
    ESCAPES.iter().rev().fold(text.to_owned(), replace)
}

//! To a gateway: `POST /api/v1/metrics`, one entry a request.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{Failure, Outcome};
use crate::error::AgentError;
use crate::settings::AgentSettings;
use crate::spool::Entry;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an answer is read: more than a gateway says of a scrape that it refuses whole.
const ANSWER_BYTES_MOST: usize = 1 << 20;
/// How much of it is told in a log.
const TOLD_BYTES_MOST: usize = 512;

/// A client with one kept-alive connection.
pub(crate) struct Http {
    client: Client,
    url: Url,
    tenant: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken {
        rejected: u64,
    },
    /// The same bytes will be refused again.
    Refused,
    Later(Failure),
}

/// What a gateway says of samples, and nothing else that speaks HTTP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Receipt {
    #[serde(rename = "accepted")]
    _accepted: u64,
    rejected: u64,
}

impl Http {
    pub(crate) fn open(settings: &AgentSettings, url: Url) -> Result<Self, AgentError> {
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A login page that a proxy leads to has taken no samples.
            .redirect(Policy::none())
            .user_agent(concat!("tidegauge-agent/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            url,
            tenant: settings.tenant.clone(),
        })
    }

    pub(crate) async fn deliver(&mut self, entries: &[Entry]) -> Outcome {
        let mut outcome = Outcome::default();
        for entry in entries {
            match self.post(entry).await {
                Answer::Taken { rejected } => outcome.refused_samples += rejected,
                Answer::Refused => outcome.refused_samples += u64::from(entry.samples),
                Answer::Later(failure) => {
                    outcome.failure = Some(failure);
                    break;
                }
            }
            outcome.settled += 1;
        }
        outcome
    }

    async fn post(&self, entry: &Entry) -> Answer {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "zstd")
            .body(entry.payload.clone());
        if let Some(tenant) = &self.tenant {
            request = request.header("tenant", tenant);
        }
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer::Later(Failure {
                reason: chain(&error),
                retry_after: None,
            }),
        }
    }
}

async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = text(response).await;
    judge(status, &headers, &body)
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &str) -> Answer {
    let header = |name| headers.get(name).and_then(|text| text.to_str().ok());
    let receipt: Option<Receipt> = serde_json::from_str(body).ok();
    let told = &body[..body.floor_char_boundary(TOLD_BYTES_MOST)];
    let reason = match (status.is_success(), receipt) {
        (true, Some(Receipt { rejected, .. })) => return Answer::Taken { rejected },
        (false, _) if is_final(status, receipt) => {
            tracing::warn!(%status, answer = told, "the gateway refused a scrape");
            return Answer::Refused;
        }
        (true, None) => format!(
            "{status} came without `accepted` and `rejected`, so not from a gateway; look at the \
             agent's `to` and at proxies on the way: {told}"
        ),
        (false, _) => match header(LOCATION) {
            Some(place) => format!(
                "the gateway answered {status} and led to {place}, which is not followed; set the \
                 agent's `to` to where the gateway is"
            ),
            None => format!("the gateway answered {status}: {told}"),
        },
    };
    let retry_after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    Answer::Later(Failure {
        reason,
        retry_after: retry_after.map(Duration::from_secs),
    })
}

/// Whether the bytes themselves are at fault. A wrong address, password or tenant is not: someone
/// will mend it, and until then the samples are kept. 400 is said of both, but a gateway counts
/// samples only of bytes that it has looked at.
fn is_final(status: StatusCode, receipt: Option<Receipt>) -> bool {
    match status {
        StatusCode::BAD_REQUEST => receipt.is_some_and(|receipt| receipt.rejected > 0),
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => true,
        _ => false,
    }
}

async fn text(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MOST {
            break;
        }
    }
    bytes.truncate(ANSWER_BYTES_MOST);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An error with its causes: the outermost alone only says that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, &HeaderMap::new(), body)
    }

    #[test]
    fn only_a_gateways_receipt_is_delivery() {
        let partial = r#"{"status":"partial","accepted":1,"rejected":3,"errors":[]}"#;
        assert_eq!(answer(202, partial), Answer::Taken { rejected: 3 });
        for body in ["", "ok", "<html>log in</html>", r#"{"status":"ok"}"#] {
            let later = answer(200, body);
            assert!(matches!(later, Answer::Later(_)), "{body:?} {later:?}");
        }
        let long = answer(500, &"ä".repeat(ANSWER_BYTES_MOST));
        let Answer::Later(failure) = long else {
            panic!("{long:?}")
        };
        assert!(failure.reason.len() < 2 * TOLD_BYTES_MOST);
    }

    #[test]
    fn only_faulty_bytes_are_given_up() {
        let unread =
            r#"{"status":"error","accepted":0,"rejected":1,"errors":[{"error":"no JSON"}]}"#;
        for status in [400, 413, 415, 422] {
            assert_eq!(answer(status, unread), Answer::Refused, "{status}");
        }
        for status in [301, 302, 401, 403, 404, 408, 429, 500, 502, 503] {
            let later = answer(status, unread);
            assert!(matches!(later, Answer::Later(_)), "{status} {later:?}");
        }
        let tenant =
            r#"{"status":"error","accepted":0,"rejected":0,"errors":[{"error":"no tenant"}]}"#;
        for body in [tenant, "Bad Request"] {
            let later = answer(400, body);
            assert!(matches!(later, Answer::Later(_)), "{body} {later:?}");
        }
    }
}

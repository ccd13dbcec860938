//! To a gateway: `POST /api/v1/metrics`, one entry a request.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::{Failure, Outcome};
use crate::error::AgentError;
use crate::settings::AgentSettings;
use crate::spool::Entry;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an answer is read.
const ANSWER_BYTES_MOST: usize = 64 << 10;

/// A client with one kept-alive connection.
pub(crate) struct Http {
    client: Client,
    url: Url,
    tenant: Option<String>,
}

enum Answer {
    Taken {
        rejected: u64,
    },
    /// The same bytes will be refused again.
    Refused,
    Later(Failure),
}

impl Http {
    pub(crate) fn open(settings: &AgentSettings, url: Url) -> Result<Self, AgentError> {
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
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
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|text| text.to_str().ok()?.trim().parse().ok());
    let body = text(response).await;
    if status.is_success() {
        return Answer::Taken {
            rejected: rejected(&body),
        };
    }
    if is_final(status) {
        tracing::warn!(%status, answer = body, "the gateway refused a scrape");
        return Answer::Refused;
    }
    Answer::Later(Failure {
        reason: format!("the gateway answered {status}: {body}"),
        retry_after: retry_after.map(Duration::from_secs),
    })
}

/// Whether the bytes themselves are at fault. A wrong address, password or tenant is not: someone
/// will mend it, and until then the samples are kept.
fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
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

/// How many samples the gateway says it could not take.
fn rejected(body: &str) -> u64 {
    let answer: Option<serde_json::Value> = serde_json::from_str(body).ok();
    answer
        .and_then(|answer| answer.get("rejected")?.as_u64())
        .unwrap_or(0)
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

    #[test]
    fn what_is_refused_is_counted() {
        assert_eq!(
            rejected(r#"{"status":"partial","accepted":1,"rejected":3,"errors":[]}"#),
            3
        );
        assert_eq!(rejected("ok"), 0);
    }

    #[test]
    fn only_faulty_bytes_are_given_up() {
        for status in [400, 413, 415, 422] {
            assert!(
                is_final(StatusCode::from_u16(status).expect("a status")),
                "{status}"
            );
        }
        for status in [401, 403, 404, 408, 429, 500, 502, 503] {
            assert!(
                !is_final(StatusCode::from_u16(status).expect("a status")),
                "{status}"
            );
        }
    }
}

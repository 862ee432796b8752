//! One call to the API server: bounded in time, repeated where the server or the connection may be well again soon.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::{Refusal, Unreachable, Why};

/// One attempt waits this long for an answer. The API server itself gives up on a call after a minute, but answers what a
/// control plane asks of it in milliseconds.
const ATTEMPT: Duration = Duration::from_secs(10);

/// The wait before the second attempt; it doubles from one attempt to the next, up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What an API server says on a connection that it has, once it was asked to end.
const ENDING: &str = "apiserver is shutting down";

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The media type and the body.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// It is about a Secret: the server's words are not to be repeated.
    pub secret: bool,
    /// What is worth another attempt.
    pub again: Again,
    /// After this no attempt begins or goes on.
    pub deadline: Instant,
}

/// What is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Whatever may pass by itself.
    Passing,
    /// That, but no conflict: the call was made from an object as read, which the caller has to read again.
    NoConflict,
    /// Nothing.
    Nothing,
}

impl Call {
    /// A call without a body.
    pub fn new(method: Method, path: impl Into<String>, deadline: Instant) -> Self {
        Self { method, path: path.into(), body: None, secret: false, again: Again::Passing, deadline }
    }

    /// Makes the call until it has an outcome that another attempt would not change, or its deadline has come.
    pub async fn run(&self, client: &Client) -> Result<Vec<u8>, Why> {
        let mut wait = WAIT_MIN;
        loop {
            let why = match self.attempt(client).await {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            let asked = match &why {
                Why::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            let again = Instant::now() + wait.max(asked);
            if !self.is_passing(&why) || again >= self.deadline {
                return Err(why);
            }
            sleep_until(again).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Makes the call once.
    async fn attempt(&self, client: &Client) -> Result<Vec<u8>, Why> {
        let ends = self.deadline.min(Instant::now() + ATTEMPT);
        let once = async {
            let response = client.send(self.request()?).await.map_err(|error| unreachable(&error))?;
            let (parts, body) = response.into_parts();
            let body = body.collect_bytes().await.map_err(|error| unreachable(&error))?;
            if parts.status.is_success() {
                return Ok(body.to_vec());
            }
            if parts.status == StatusCode::SERVICE_UNAVAILABLE && String::from_utf8_lossy(&body).contains(ENDING) {
                return Err(Why::Unreachable(Unreachable::Ending));
            }
            let seconds = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            Err(Why::Refused(Refusal::read(parts.status.as_u16(), retry_after, &body, self.secret)))
        };
        timeout_at(ends, once).await.unwrap_or(Err(Why::Unreachable(Unreachable::Timeout)))
    }

    fn request(&self) -> Result<Request<Body>, Why> {
        let mut builder =
            Request::builder().method(&self.method).uri(&self.path).header(header::ACCEPT, "application/json");
        let body = match &self.body {
            Some((kind, bytes)) => {
                builder = builder.header(header::CONTENT_TYPE, *kind);
                bytes.clone()
            }
            None => Vec::new(),
        };
        builder.body(Body::from(body)).map_err(|error| Why::Object(error.to_string()))
    }

    /// Another attempt may go better, without anybody doing anything. A server that is not there is for the caller to wait for.
    fn is_passing(&self, why: &Why) -> bool {
        self.again != Again::Nothing
            && match why {
                Why::Refused(refusal) if refusal.code == 409 => self.again == Again::Passing,
                // What is applied need not be there; its namespace, which the API server makes when it has started, is not yet.
                Why::Refused(refusal) if refusal.code == 404 => matches!(self.body, Some((super::APPLY, _))),
                Why::Refused(refusal) => matches!(refusal.code, 429 | 500 | 502 | 503 | 504),
                Why::Unreachable(Unreachable::Torn(_) | Unreachable::Timeout) => true,
                _ => false,
            }
    }
}

fn unreachable(error: &kube::Error) -> Why {
    Why::Unreachable(Unreachable::of(error))
}

/// The object in an answer.
pub(super) fn object(answer: &[u8]) -> Result<Value, Why> {
    serde_json::from_slice(answer).map_err(|error| Why::Answer(format!("line {}", error.line())))
}

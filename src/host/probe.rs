//! Whether a component says that it is well: `https://127.0.0.1:10257/healthz`, `http://127.0.0.1:10248/healthz`.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri};
use kube::Client;
use kube::client::Body;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::api::client;
use super::api::{Unreachable, failed_checks};

/// A component that does not answer in this time is not well.
const ANSWER: Duration = Duration::from_secs(3);

/// Of an answer that is not well this many characters are told.
const SHOWN: usize = 300;

/// Asks one endpoint once. It is well if it answers 200.
///
/// Nothing is proved by its certificate, and nothing secret is sent: components make up serving certificates of their own where
/// they have been given none, and kubeadm does not verify them either.
///
/// # Errors
/// In words, why it is not well.
pub fn probe(runtime: &Handle, url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut config = client::base(url.strip_suffix(path).unwrap_or(url))?;
    config.accept_invalid_certs = true;
    let entered = runtime.enter();
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    drop(entered);
    let asked = async {
        let request = Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
        let response = client.send(request).await.map_err(|error| Unreachable::of(&error).to_string())?;
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::OK {
            return Ok(());
        }
        let body = body.collect_bytes().await.map_err(|error| Unreachable::of(&error).to_string())?;
        let text: String = failed_checks(String::from_utf8_lossy(&body).trim()).chars().take(SHOWN).collect();
        Err(format!("it answered {}: {text}", parts.status.as_u16()))
    };
    runtime.block_on(async { timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(Unreachable::Timeout.to_string())) })
}

//! Whether a component says that it is well: `https://127.0.0.1:10257/healthz`, `http://127.0.0.1:10248/healthz`.

use std::time::Duration;

use futures::future::join_all;
use http::{Request, StatusCode};
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

/// Asks endpoints once, side by side. One is well if it answers 200. What comes of it has their order.
///
/// Nothing is proved by their certificates, and nothing secret is sent: components make up serving certificates of their own where
/// they have been given none, and kubeadm does not verify them either. An error says in words why one is not well.
#[must_use]
pub fn probe(runtime: &Handle, urls: &[&str]) -> Vec<Result<(), String>> {
    let entered = runtime.enter();
    let client = client::of_nobody();
    drop(entered);
    let client = match client {
        Ok(client) => client,
        Err(why) => return urls.iter().map(|_| Err(why.clone())).collect(),
    };
    let all = join_all(urls.iter().map(|url| async {
        timeout(ANSWER, ask(&client, url)).await.unwrap_or_else(|_| Err(Unreachable::Timeout.to_string()))
    }));
    runtime.block_on(all)
}

async fn ask(client: &Client, url: &str) -> Result<(), String> {
    let request = Request::get(url).body(Body::empty()).map_err(|_| format!("{url} is no URL"))?;
    let response = client.send(request).await.map_err(|error| Unreachable::of(&error).to_string())?;
    let (parts, body) = response.into_parts();
    if parts.status == StatusCode::OK {
        return Ok(());
    }
    let body = body.collect_bytes().await.map_err(|error| Unreachable::of(&error).to_string())?;
    let text: String = failed_checks(String::from_utf8_lossy(&body).trim()).chars().take(SHOWN).collect();
    Err(format!("it answered {}: {text}", parts.status.as_u16()))
}

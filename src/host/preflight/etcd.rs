//! The version of an etcd that is somebody else's: `GET /version`, as kubeadm asks.

use std::time::Duration;

use http::Request;
use kube::client::Body;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::cluster::ExternalEtcd;
use crate::host::api::tls::{Identity, Trust};
use crate::host::api::{Unreachable, client};

/// How long an endpoint may take.
const ANSWER: Duration = Duration::from_secs(5);

/// So often is it asked, where the connection breaks without a word. An etcd that does not take a certificate says so and hangs up, and what
/// it says may be lost with the connection.
const ASKED_MOST: usize = 3;

/// Asks one endpoint, with the certificates of the configuration.
///
/// # Errors
/// In words, why there is no answer.
pub(super) fn version(runtime: &Handle, endpoint: &str, etcd: &ExternalEtcd) -> Result<String, String> {
    let read = |path: &str| std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"));
    let trust = match etcd.ca_file.as_str() {
        "" => Trust::System,
        path => Trust::Authorities(read(path)?),
    };
    let identity = if etcd.cert_file.is_empty() || etcd.key_file.is_empty() {
        None
    } else {
        Some(Identity { certificate: read(&etcd.cert_file)?.into(), key: read(&etcd.key_file)?.into() })
    };
    let entered = runtime.enter();
    let client = client::once(endpoint.trim_end_matches('/'), &trust, identity.as_ref())
        .map_err(|why| format!("cannot use {} with {} and {}: {why}", etcd.cert_file, etcd.key_file, etcd.ca_file))?;
    drop(entered);
    let asked = async {
        let mut times = 1;
        let response = loop {
            let request = Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
            match client.send(request).await.map_err(|error| Unreachable::of(&error)) {
                Err(Unreachable::Torn(_)) if times < ASKED_MOST => times += 1,
                answer => break answer.map_err(|why| in_words(&why, etcd))?,
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect_bytes().await.map_err(|error| in_words(&Unreachable::of(&error), etcd))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let version = answer["etcdserver"].as_str();
        version.map(str::to_owned).ok_or_else(|| format!("it answered {} and no version", parts.status.as_u16()))
    };
    let answer = runtime.block_on(async { tokio::time::timeout(ANSWER, asked).await });
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER.as_secs())))
}

/// Why there is no answer, with the file of the configuration that is to blame: the other side says in an alert that it does not take the
/// client's certificate.
fn in_words(why: &Unreachable, etcd: &ExternalEtcd) -> String {
    match why {
        Unreachable::Tls(alert) if alert.contains("received fatal alert") && !etcd.cert_file.is_empty() => {
            format!("it does not accept the certificate {}: {alert}", etcd.cert_file)
        }
        Unreachable::Tls(fault) if !etcd.ca_file.is_empty() => {
            format!("it is not to be trusted by the CA {}: {fault}", etcd.ca_file)
        }
        Unreachable::Torn(_) if !etcd.cert_file.is_empty() => {
            format!("{why}, as with a client whose certificate it does not take: {}", etcd.cert_file)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_without_a_word_is_told_with_the_certificate_that_etcd_may_not_take() {
        let [ca_file, cert_file, key_file] = ["/ca.crt", "/client.crt", "/client.key"].map(str::to_owned);
        let etcd = ExternalEtcd { endpoints: Vec::new(), ca_file, cert_file, key_file };
        let torn = Unreachable::Torn("connection was not ready".to_owned());
        assert!(in_words(&torn, &etcd).contains("/client.crt"));
        assert!(!in_words(&torn, &ExternalEtcd { cert_file: String::new(), ..etcd }).contains("certificate"));
    }
}

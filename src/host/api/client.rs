//! An HTTP client with the credential of a kubeconfig. Nothing of it comes from the environment: no `KUBECONFIG`, no proxy.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{Cluster, Config, Kubeconfig};
use tower::{BoxError, ServiceExt as _};

use crate::pki;

use super::error::Why;

/// A connection on which an answer is awaited is asked after this long whether it still lives, and is given up when it does not say so
/// in time: all calls share one, so the next would wait on it in vain. Both together are less than an attempt of a call may take.
const PING: Duration = Duration::from_secs(5);
const PONG: Duration = Duration::from_secs(4);

/// A client for the current context of a kubeconfig, in a runtime that the caller has entered.
///
/// # Errors
/// [`Why::Kubeconfig`], without anything secret.
pub(super) fn of_kubeconfig(text: &str, server: Option<&str>) -> Result<Client, Why> {
    let config = config(text, server).map_err(Why::Kubeconfig)?;
    connected(&config).map_err(|error| Why::Kubeconfig(error.to_string()))
}

/// A client with the credential of a configuration.
fn connected(config: &Config) -> Result<Client, kube::Error> {
    let http = http(config)?.map_err(BoxError::from);
    let client = ClientBuilder::new(http, config.default_namespace.clone())
        .with_layer(&config.extra_headers_layer()?)
        .with_layer(&config.base_uri_layer());
    Ok(match config.auth_layer()? {
        Some(credential) => client.with_layer(&credential).build(),
        None => client.build(),
    })
}

/// A client that has no credential, trusts whoever answers, and is given whole URLs. A runtime has to be entered.
///
/// # Errors
/// In words, why there can be none.
pub(in crate::host) fn of_nobody() -> Result<Client, String> {
    let mut config = Config::new(Uri::from_static("http://localhost"));
    config.accept_invalid_certs = true;
    config.root_cert = Some(Vec::new());
    let http = http(&config).map_err(|error| error.to_string())?;
    Ok(ClientBuilder::new(http, config.default_namespace).build())
}

/// HTTP/2 where the server has it: then all calls share one connection, and one TLS handshake.
fn http(config: &Config) -> Result<legacy::Client<HttpsConnector<HttpConnector>, Body>, kube::Error> {
    let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    if let Some(name) = config.tls_server_name.as_ref().and_then(|name| name.clone().try_into().ok()) {
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.timer(TokioTimer::new()).http2_keep_alive_interval(PING).http2_keep_alive_timeout(PONG);
    Ok(builder.build(tls.enable_all_versions().build()))
}

fn config(text: &str, server: Option<&str>) -> Result<Config, String> {
    // The parser's own message could quote a key.
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| "it is no kubeconfig".to_owned())?;
    let current = kubeconfig.current_context.unwrap_or_default();
    let context = kubeconfig.contexts.into_iter().find(|named| named.name == current).and_then(|named| named.context);
    let context = context.ok_or("its current context is not in it")?;
    let cluster = kubeconfig.clusters.into_iter().find(|named| named.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster).ok_or("the cluster of its current context is not in it")?;
    let user = kubeconfig.auth_infos.into_iter().find(|named| Some(&named.name) == context.user.as_ref());
    let user = user.and_then(|named| named.auth_info).ok_or("the user of its current context is not in it")?;

    let address = server.or(cluster.server.as_deref()).ok_or("it names no server")?;
    let mut config = base(address)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    match authorities(&cluster)? {
        Some(authorities) => config.root_cert = Some(authorities),
        None => config.root_cert_file = cluster.certificate_authority.map(Into::into),
    }
    config.auth_info = user;
    Ok(config)
}

/// A configuration without a credential, whose calls the caller repeats and bounds in time.
///
/// # Errors
/// The address is no URL.
pub(in crate::host) fn base(address: &str) -> Result<Config, String> {
    let uri: Uri = address.parse().map_err(|_| format!("{address} is no URL"))?;
    if uri.scheme().is_none() || uri.host().is_none() {
        return Err(format!("{address} is no URL"));
    }
    let mut config = Config::new(uri);
    config.default_retry = false;
    // No authority is trusted that is not named.
    config.root_cert = Some(Vec::new());
    Ok(config)
}

/// The certificates of the authorities that a cluster's entry embeds.
fn authorities(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let Some(data) = &cluster.certificate_authority_data else { return Ok(None) };
    let compact: String = data.split_ascii_whitespace().collect();
    let pem = STANDARD.decode(compact).map_err(|_| "its certificate-authority-data is not base64".to_owned())?;
    pki::certificate_ders(&pem).map(Some).map_err(|error| format!("its certificate-authority-data: {error}"))
}

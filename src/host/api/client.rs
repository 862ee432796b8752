//! An HTTP client with the credential of a kubeconfig. Nothing of it comes from the environment: no `KUBECONFIG`, no proxy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::Client;
use kube::config::{Cluster, Config, Kubeconfig};

use crate::pki;

use super::error::Why;

/// A client for the current context of a kubeconfig, in a runtime that the caller has entered.
///
/// # Errors
/// [`Why::Kubeconfig`], without anything secret.
pub(super) fn of_kubeconfig(text: &str, server: Option<&str>) -> Result<Client, Why> {
    let config = config(text, server).map_err(Why::Kubeconfig)?;
    Client::try_from(config).map_err(|error| Why::Kubeconfig(error.to_string()))
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

//! An HTTP client with the credential of a kubeconfig. Nothing of it comes from the environment: no `KUBECONFIG`, no proxy.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::Config;
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceExt as _};
use zeroize::Zeroizing;

use crate::kubeconfig::access::{Access, Authorization, Content, access};

use super::error::Why;
use super::tls::{self, Identity, Trust};

/// A connection on which an answer is awaited is asked after this long whether it still lives, and is given up when it does not say so
/// in time: all calls share one, so the next would wait on it in vain. Both together are less than an attempt of a call may take.
const PING: Duration = Duration::from_secs(5);
const PONG: Duration = Duration::from_secs(4);

/// In the absence of a namespace in a call, which all of ours name.
const NAMESPACE: &str = "default";

/// A client for the current context of a kubeconfig, in a runtime that the caller has entered.
///
/// # Errors
/// [`Why::Kubeconfig`], without anything secret.
pub(super) fn of_kubeconfig(text: &str, server: Option<&str>) -> Result<Client, Why> {
    access(text).and_then(|access| connected(access, server)).map_err(Why::Kubeconfig)
}

fn connected(access: Access, server: Option<&str>) -> Result<Client, String> {
    let address = server.unwrap_or(&access.server);
    if address.is_empty() {
        return Err("it names no server".to_owned());
    }
    let trust = match access.authorities {
        _ if access.insecure => Trust::Anybody,
        Some(authorities) => Trust::Authorities(content(authorities)?.to_vec()),
        // No authority is trusted that is not named.
        None => Trust::Authorities(Vec::new()),
    };
    let identity = access
        .certificate
        .map(|(certificate, key)| Ok::<_, String>(Identity { certificate: content(certificate)?, key: content(key)? }));
    let base = base(address)?;
    let https = https(&trust, identity.transpose()?.as_ref(), access.server_name.as_deref())?;
    let http = http(https.enable_all_versions().build()).map_err(BoxError::from);
    let authorization = access.authorization.map(Arc::new);
    let authorize = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(value) = authorization.as_deref().and_then(header) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request
    });
    Ok(ClientBuilder::new(http, NAMESPACE).with_layer(&base).with_layer(&authorize).build())
}

fn content(content: Content) -> Result<Zeroizing<Vec<u8>>, String> {
    match content {
        Content::Embedded(pem) => Ok(pem),
        Content::File(path) => {
            fs::read(&path).map(Zeroizing::new).map_err(|error| format!("cannot read {path}: {error}"))
        }
    }
}

/// What is shown of a credential. A file is read anew each time, since who gives tokens out changes them.
fn header(authorization: &Authorization) -> Option<HeaderValue> {
    let text = Zeroizing::new(match authorization {
        Authorization::Token(token) => format!("Bearer {}", token.as_str()),
        Authorization::TokenFile(path) => format!("Bearer {}", Zeroizing::new(fs::read_to_string(path).ok()?).trim()),
        Authorization::Password(name, password) => {
            let pair = Zeroizing::new(format!("{name}:{}", password.as_str()));
            format!("Basic {}", STANDARD.encode(pair.as_bytes()))
        }
    });
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client that has no credential, trusts whoever answers, and is given whole URLs. A runtime has to be entered.
///
/// # Errors
/// In words, why there can be none.
pub(in crate::host) fn of_nobody() -> Result<Client, String> {
    let https = https(&Trust::Anybody, None, None)?;
    Ok(ClientBuilder::new(http(https.enable_all_versions().build()), NAMESPACE).build())
}

/// A client that speaks HTTP/1 with a server, for one call. A runtime has to be entered.
///
/// # Errors
/// In words, what of it cannot be used.
pub(in crate::host) fn once(address: &str, trust: &Trust, identity: Option<&Identity>) -> Result<Client, String> {
    let base = base(address)?;
    let https = https(trust, identity, None)?;
    Ok(ClientBuilder::new(http(https.enable_http1().build()), NAMESPACE).with_layer(&base).build())
}

type Https = HttpsConnectorBuilder<hyper_rustls::builderstates::WantsProtocols1>;

fn https(trust: &Trust, identity: Option<&Identity>, server_name: Option<&str>) -> Result<Https, String> {
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls::config(trust, identity)?).https_or_http();
    match server_name.and_then(|name| name.to_owned().try_into().ok()) {
        Some(name) => Ok(tls.with_server_name_resolver(FixedServerNameResolver::new(name))),
        None => Ok(tls),
    }
}

/// Where the server has HTTP/2 all calls share one connection, and one TLS handshake.
fn http(connector: HttpsConnector<HttpConnector>) -> legacy::Client<HttpsConnector<HttpConnector>, Body> {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.timer(TokioTimer::new()).http2_keep_alive_interval(PING).http2_keep_alive_timeout(PONG);
    builder.build(connector)
}

fn base(address: &str) -> Result<kube::client::middleware::BaseUriLayer, String> {
    let uri: Uri = address.parse().map_err(|_| format!("{address} is no URL"))?;
    if uri.scheme().is_none() || uri.host().is_none() {
        return Err(format!("{address} is no URL"));
    }
    Ok(Config::new(uri).base_uri_layer())
}

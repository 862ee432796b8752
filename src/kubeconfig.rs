//! Kubeconfigs with one client certificate, as kubeadm writes them, and what any kubeconfig says.

pub mod access;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::node::Node;
use crate::observed::{CredentialSeen, KubeconfigFacts};
use crate::pki::{self, MAX_INPUT, PrivateKey};
use crate::resource::KubeconfigSpec;

/// A client certificate and its key, as a kubeconfig has them.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// In the kubeconfig, each as PEM.
    Embedded {
        /// The certificate.
        certificate: &'a str,
        /// The key.
        key: &'a str,
    },
    /// Both in this file.
    File(&'a str),
}

/// The kubeconfig, byte for byte as client-go's `clientcmd.WriteToFile` writes it for kubeadm. The CA's certificate is PEM.
#[must_use]
pub fn render(spec: &KubeconfigSpec, ca: &str, credential: Credential<'_>) -> Zeroizing<String> {
    let scalar = |text: &str| crate::yaml::to_string(&Value::from(text)).trim_end().to_owned();
    let (cluster, server, user) = (scalar(&spec.cluster), scalar(&spec.server), scalar(&spec.user));
    let context = scalar(&format!("{}@{}", spec.user, spec.cluster));
    let ca = STANDARD.encode(ca);
    let credential = Zeroizing::new(match credential {
        Credential::Embedded { certificate, key } => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            STANDARD.encode(certificate),
            Zeroizing::new(STANDARD.encode(key)).as_str()
        ),
        Credential::File(path) => {
            let path = scalar(path);
            format!("    client-certificate: {path}\n    client-key: {path}\n")
        }
    });
    Zeroizing::new(format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: {server}
  name: {cluster}
contexts:
- context:
    cluster: {cluster}
    user: {user}
  name: {context}
current-context: {context}
kind: Config
users:
- name: {user}
  user:
{}",
        credential.as_str()
    ))
}

/// What the current context of a kubeconfig amounts to. `issuer` is the PEM of the CA that is wanted in it.
///
/// # Errors
/// In words, without anything of the content, where no client could use it.
pub fn inspect(bytes: &[u8], issuer: Option<&[u8]>) -> Result<KubeconfigFacts, String> {
    if bytes.len() > MAX_INPUT {
        return Err(format!("it is larger than {MAX_INPUT} bytes"));
    }
    let config = parse(bytes)?;
    if !(config.kind.is_empty() || config.kind == "Config") {
        return Err("its kind is not Config".into());
    }
    let context = find(config.contexts, &config.current_context).ok_or("its current context is not in it")?.context;
    let cluster = find(config.clusters, &context.cluster).ok_or("the cluster of its current context is not in it")?;
    let user = find(config.users, &context.user).ok_or("the user of its current context is not in it")?.user;
    let ca_is_issuer = issuer.map(|issuer| embeds(cluster.cluster.certificate_authority_data.as_deref(), issuer));
    Ok(KubeconfigFacts {
        cluster: context.cluster,
        server: cluster.cluster.server,
        user: context.user,
        context: config.current_context,
        ca_is_issuer,
        credential: credential(user, issuer),
    })
}

/// The client certificate and the key that are in a kubeconfig, for the user of its current context, each as PEM.
#[must_use]
pub fn embedded(bytes: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let config = parse(bytes).ok()?;
    let context = find(config.contexts, &config.current_context)?.context;
    let user = find(config.users, &context.user)?.user;
    let text = |pem: &[u8]| Some(format!("{}\n", std::str::from_utf8(pem).ok()?.trim_end()));
    let (certificate, key) = (decode(&user.client_certificate_data?)?, decode(&user.client_key_data?.0)?);
    Some((text(&certificate)?, Zeroizing::new(text(&key)?)))
}

fn parse(bytes: &[u8]) -> Result<Config, String> {
    if let Some(config) = rendered(bytes) {
        return Ok(config);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no kubeconfig")?;
    // The parsers' own messages would quote the line, and with it perhaps a key.
    let node = Node::parse(text, 0).map_err(|error| format!("it is no kubeconfig, by line {}", error.line))?;
    serde_json::from_value(node.to_value()).map_err(|_| "it is no kubeconfig".to_owned())
}

/// Reads what [`render`] writes, line by line, in a fraction of the time that a YAML parser takes; `None` for all else, even if it
/// says the same.
fn rendered(bytes: &[u8]) -> Option<Config> {
    let mut lines = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split('\n');
    let mut value = |before: &str| lines.next()?.strip_prefix(before);
    let fixed = |line: Option<&str>| line.filter(|rest| rest.is_empty()).map(|_| ());
    fixed(value("apiVersion: v1"))?;
    fixed(value("clusters:"))?;
    fixed(value("- cluster:"))?;
    let ca = data(value("    certificate-authority-data: ")?)?;
    let server = scalar(value("    server: ")?)?;
    let cluster = scalar(value("  name: ")?)?;
    fixed(value("contexts:"))?;
    fixed(value("- context:"))?;
    let context = Context { cluster: scalar(value("    cluster: ")?)?, user: scalar(value("    user: ")?)? };
    let context = NamedContext { context, name: scalar(value("  name: ")?)? };
    let current_context = scalar(value("current-context: ")?)?;
    fixed(value("kind: Config"))?;
    fixed(value("users:"))?;
    let name = scalar(value("- name: ")?)?;
    fixed(value("  user:"))?;
    let certificate = data(value("    client-certificate-data: ")?)?;
    let key = data(value("    client-key-data: ")?)?;
    let user = User {
        client_certificate_data: Some(certificate.to_owned()),
        client_key_data: Some(Secret::from(key.to_owned())),
        ..User::default()
    };
    let at_the_end = lines.next().is_none();
    let place = Cluster { server, certificate_authority_data: Some(ca.to_owned()), ..Cluster::default() };
    at_the_end.then(|| Config {
        kind: "Config".to_owned(),
        current_context,
        clusters: Some(vec![NamedCluster { name: cluster, cluster: place }]),
        contexts: Some(vec![context]),
        users: Some(vec![NamedUser { name, user }]),
    })
}

/// A text that stands as itself in YAML.
fn scalar(text: &str) -> Option<String> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(':')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@[]".contains(&byte));
    (plain && crate::yaml::to_string(&Value::from(text)).trim_end() == text).then(|| text.to_owned())
}

/// PEM in base64, as it stands.
fn data(text: &str) -> Option<&str> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    (text.starts_with("LS0t") && text.bytes().all(letters)).then_some(text)
}

/// The credential, in client-go's order: data counts before files.
fn credential(user: User, issuer: Option<&[u8]>) -> CredentialSeen {
    let others = [
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
        ("token", user.token.is_some()),
        ("tokenFile", user.token_file.is_some()),
        ("username", user.username.is_some()),
    ];
    if let Some((name, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
        return CredentialSeen::Other(name.into());
    }
    match (user.client_certificate_data, user.client_key_data, user.client_certificate, user.client_key) {
        (Some(certificate), Some(key), ..) => read_embedded(&certificate, &key.0, issuer),
        (None, None, Some(certificate), Some(key)) => CredentialSeen::Files { certificate, key, content: None },
        (None, None, None, None) => CredentialSeen::Other("none".into()),
        _ => CredentialSeen::Other("a certificate and key of which not both are there, or one is in a file".into()),
    }
}

/// An embedded certificate with its key.
fn read_embedded(certificate: &str, key: &str, issuer: Option<&[u8]>) -> CredentialSeen {
    let pem = decode(certificate);
    let key = decode(key).and_then(|pem| PrivateKey::from_pem(&pem).ok());
    let pair = pem.as_ref().zip(key).is_some_and(|(pem, key)| pki::keys_match(pem, &key));
    let certificate = match &pem {
        Some(pem) => pki::inspect(pem, issuer).map(Box::new),
        None => Err("it is not base64".into()),
    };
    CredentialSeen::Embedded { certificate, pair }
}

/// The issuer's certificate, of which the first counts, is among the embedded ones.
fn embeds(data: Option<&str>, issuer: &[u8]) -> bool {
    let embedded = data.and_then(decode).and_then(|pem| pki::certificate_ders(&pem).ok()).unwrap_or_default();
    pki::certificate_ders(issuer).is_ok_and(|ders| ders.first().is_some_and(|der| embedded.contains(der)))
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let compact = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
    STANDARD.decode(compact.as_bytes()).ok().map(Zeroizing::new)
}

/// An entry of one of the three lists.
trait Named {
    fn name(&self) -> &str;
}

/// The first entry of that name, which is the one that client-go keeps.
fn find<T: Named>(list: Option<Vec<T>>, name: &str) -> Option<T> {
    list?.into_iter().find(|entry| entry.name() == name)
}

macro_rules! named {
    ($($entry:ident),*) => {$(
        impl Named for $entry {
            fn name(&self) -> &str {
                &self.name
            }
        }
    )*};
}
named!(NamedCluster, NamedContext, NamedUser);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Config {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    current_context: String,
    clusters: Option<Vec<NamedCluster>>,
    contexts: Option<Vec<NamedContext>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default)]
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

/// A user. Secrets are cleared from memory when it goes; of what is not used only the presence is read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<Secret>,
    token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    auth_provider: Option<serde::de::IgnoredAny>,
    exec: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    impersonated: Option<serde::de::IgnoredAny>,
}

/// Text that is cleared from memory when it goes.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[cfg(test)]
mod tests;

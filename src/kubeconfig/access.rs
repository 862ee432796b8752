//! How a client gets to a cluster: where its server is, whom to trust there, and what to show of oneself.

use zeroize::Zeroizing;

use super::{User, decode, find, parse};

/// What the current context of a kubeconfig says to a client.
pub struct Access {
    /// The server's URL; empty where none is named.
    pub server: String,
    /// The name that is to be in the server's certificate, where it is not the URL's.
    pub server_name: Option<String>,
    /// Whoever answers is trusted.
    pub insecure: bool,
    /// The CAs of which one has signed the server's certificate.
    pub authorities: Option<Content>,
    /// A client certificate and its key.
    pub certificate: Option<(Content, Content)>,
    /// What is in the header `Authorization`.
    pub authorization: Option<Authorization>,
}

/// PEM, or the file that has it.
pub enum Content {
    /// In the kubeconfig.
    Embedded(Zeroizing<Vec<u8>>),
    /// The path of a file.
    File(String),
}

/// A credential that is in each request.
pub enum Authorization {
    /// A bearer token.
    Token(Zeroizing<String>),
    /// The path of a file that has a bearer token, which may change.
    TokenFile(String),
    /// A name and a password.
    Password(String, Zeroizing<String>),
}

/// Reads a kubeconfig.
///
/// # Errors
/// In words, without anything of the content, why no client can use it.
pub fn access(text: &str) -> Result<Access, String> {
    let config = parse(text.as_bytes())?;
    let context = find(config.contexts, &config.current_context).ok_or("its current context is not in it")?.context;
    let cluster = find(config.clusters, &context.cluster).ok_or("the cluster of its current context is not in it")?;
    let user = find(config.users, &context.user).ok_or("the user of its current context is not in it")?.user;
    let cluster = cluster.cluster;
    let authorities = content(
        "certificate-authority-data",
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority,
    )?;
    Ok(Access {
        server: cluster.server,
        server_name: cluster.tls_server_name,
        insecure: cluster.insecure_skip_tls_verify,
        authorities,
        certificate: certificate(&user)?,
        authorization: authorization(user)?,
    })
}

/// Data counts before a file, as in client-go.
fn content(field: &str, data: Option<&str>, file: Option<String>) -> Result<Option<Content>, String> {
    let data = data.filter(|data| !data.is_empty());
    let pem = data.map(|data| decode(data).ok_or_else(|| format!("its {field} is not base64"))).transpose()?;
    let file = file.filter(|path| !path.is_empty()).map(Content::File);
    Ok(pem.map(Content::Embedded).or(file))
}

fn certificate(user: &User) -> Result<Option<(Content, Content)>, String> {
    let key = user.client_key_data.as_ref().map(|key| key.0.as_str());
    let certificate =
        content("client-certificate-data", user.client_certificate_data.as_deref(), user.client_certificate.clone())?;
    match (certificate, content("client-key-data", key, user.client_key.clone())?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err("its user has of a certificate and its key only one".to_owned()),
    }
}

fn authorization(user: User) -> Result<Option<Authorization>, String> {
    let unused = [
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
        ("as", user.impersonated.is_some()),
    ];
    if let Some((name, _)) = unused.into_iter().find(|(_, is_there)| *is_there) {
        return Err(format!("its user has {name}, which planekeeper does not use: give it a certificate or a token"));
    }
    let token = user.token.map(|token| Authorization::Token(token.0));
    let password = user.password.map(|password| password.0).unwrap_or_default();
    let password = user.username.map(|name| Authorization::Password(name, password));
    Ok(user.token_file.map(Authorization::TokenFile).or(token).or(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cluster: &str, user: &str) -> Result<Access, String> {
        access(&format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://a', {cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        ))
    }

    #[test]
    fn data_counts_before_files_and_a_file_with_a_token_before_a_token() {
        let seen = read(
            "certificate-authority-data: aGk=, certificate-authority: /ca",
            "client-certificate: /c, client-key: /k, token: t, tokenFile: /t",
        )
        .unwrap();
        assert!(matches!(seen.authorities, Some(Content::Embedded(pem)) if *pem == *b"hi"));
        assert!(matches!(seen.certificate, Some((Content::File(_), Content::File(key))) if key == "/k"));
        assert!(matches!(seen.authorization, Some(Authorization::TokenFile(_))));
        let seen = read("tls-server-name: b, insecure-skip-tls-verify: true", "username: who, password: p").unwrap();
        assert_eq!((seen.server_name.as_deref(), seen.insecure), (Some("b"), true));
        assert!(matches!(seen.authorization, Some(Authorization::Password(name, _)) if name == "who"));
    }

    #[test]
    fn what_no_client_can_use_is_named_and_never_quoted() {
        for (user, word) in [
            ("exec: {command: hush}", "exec"),
            ("auth-provider: {name: hush}", "auth-provider"),
            ("token: hush, as: hush", "has as"),
            ("client-certificate-data: aGk=", "only one"),
            ("client-certificate: /c, client-key-data: '#hush'", "client-key-data"),
        ] {
            let error = read("", user).err().unwrap();
            assert!(error.contains(word) && !error.contains("hush"), "{error}");
        }
    }
}

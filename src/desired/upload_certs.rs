//! The objects of `kubeadm init --upload-certs`: what a further control plane needs of this one's certificates, encrypted, for two
//! hours. They are no part of what a cluster is, so they are made when somebody asks for them, and not kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cluster::{BootstrapToken, Cluster, Etcd, Token, TokenEnd};

use super::bootstrap_token;
use super::object::SYSTEM;
use super::rbac::{BOOTSTRAPPERS, group, role_binding, secret_reader};

/// The Secret with the certificates.
pub const NAME: &str = "kubeadm-certs";

/// The certificates are gone after so many seconds, with the token that owns them.
pub const LIFE: i64 = 2 * 60 * 60;

/// The files that are uploaded: the key in the Secret, and the path. One that is not there (the key of an external CA, the
/// certificates of an etcd without TLS) is uploaded empty, and a joining node makes no file of it.
#[must_use]
pub fn files(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let own = |name: &str| format!("{}/{name}", cluster.certificates_dir);
    let mut files: Vec<_> = ["ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.pub", "sa.key"]
        .map(|name| (name, own(name)))
        .into();
    match &cluster.etcd {
        Etcd::Local(_) => files.extend([("etcd-ca.crt", own("etcd/ca.crt")), ("etcd-ca.key", own("etcd/ca.key"))]),
        Etcd::External(etcd) => files.extend([
            ("external-etcd-ca.crt", etcd.ca_file.clone()),
            ("external-etcd.crt", etcd.cert_file.clone()),
            ("external-etcd.key", etcd.key_file.clone()),
        ]),
    }
    files
}

/// The Secret of a bootstrap token that nobody can use: when it ends, in seconds since 1970, it is deleted, and the
/// certificates with it.
#[must_use]
pub fn token(named: &Token, ends: i64) -> Value {
    let token = BootstrapToken {
        token: None,
        description: "Proxy for managing TTL for the kubeadm-certs secret".to_owned(),
        end: TokenEnd::At(ends),
        usages: Vec::new(),
        groups: Vec::new(),
    };
    bootstrap_token::secret(&token, named, Some(ends))
}

/// The Secret with the encrypted files, and who may read it: whoever joins. `token` is the token's Secret as the API server
/// has it, with its `uid`.
#[must_use]
pub fn objects(encrypted: &[(&'static str, Vec<u8>)], token: &Value) -> [Value; 3] {
    const ROLE: &str = "kubeadm:kubeadm-certs";
    let data: Map<_, _> =
        encrypted.iter().map(|(key, bytes)| ((*key).to_owned(), Value::from(STANDARD.encode(bytes)))).collect();
    let owner = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "name": token["metadata"]["name"],
        "uid": token["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": SYSTEM, "ownerReferences": [owner]},
        "data": data,
    });
    [secret, secret_reader(SYSTEM, ROLE, NAME), role_binding(SYSTEM, ROLE, &[group(BOOTSTRAPPERS)])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ExternalEtcd, fixture};

    #[test]
    fn the_files_of_an_external_etcd_are_uploaded_in_place_of_its_ca() {
        let mut cluster = fixture();
        let names = |cluster: &Cluster| files(cluster).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&cluster)[6..], ["etcd-ca.crt", "etcd-ca.key"]);
        assert_eq!(files(&cluster)[6].1, "/etc/kubernetes/pki/etcd/ca.crt");
        cluster.etcd = Etcd::External(ExternalEtcd {
            endpoints: Vec::new(),
            ca_file: "/a".to_owned(),
            cert_file: "/b".to_owned(),
            key_file: "/c".to_owned(),
        });
        assert_eq!(names(&cluster)[6..], ["external-etcd-ca.crt", "external-etcd.crt", "external-etcd.key"]);
    }

    #[test]
    fn nobody_can_join_by_the_token_that_owns_the_certificates() {
        let named = Token { id: "abcdef".to_owned(), secret: "0123456789abcdef".to_owned() };
        let data = token(&named, 7_200)["data"].as_object().unwrap().clone();
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "expiration", "token-id", "token-secret"]);
    }
}

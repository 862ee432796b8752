//! What a host was seen to have: one reading of every resource a pass.
//!
//! Unknown is not absent: what could not be read is an [`ObserveError`], and nothing is created over it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::KeyAlgorithm;
use crate::facts::{IssuedToken, Owner};
use crate::resource::{Id, Profile};

/// Every resource, as it was seen.
pub type Observed = BTreeMap<Id, Result<Seen, ObserveError>>;

/// A resource that could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read {what}: {why}")]
pub struct ObserveError {
    /// The path or the object.
    pub what: String,
    /// Why, as the system said it.
    pub why: String,
}

/// A resource as it was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Nothing is there.
    Absent,
    /// Something else stands at a path of the resource, and what follows says what and whether it may be moved away.
    Obstacle(Obstacle),
    /// A folder.
    Directory(Mode),
    /// A file.
    File(FileSeen),
    /// A pair of key files, at least one of which is there.
    KeyPair(KeyPairSeen),
    /// A certificate, its key, or both.
    Certificate(CertificateSeen),
    /// A kubeconfig.
    Kubeconfig(KubeconfigSeen),
    /// The record of bootstrap tokens; empty where it could not be understood.
    Tokens(TokensSeen),
    /// An API object; `None` where what is stored is no object.
    Object(Option<Value>),
    /// The runtime has the image.
    Image,
    /// A systemd unit.
    Unit(UnitSeen),
    /// A static Pod.
    StaticPod(StaticPodSeen),
    /// A condition holds, or what is seen instead.
    Gate(Result<(), String>),
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSeen {
    /// It runs; else systemd's words for what it does: `inactive (dead)`.
    pub active: Result<(), String>,
    /// It starts with the host; else systemd's word: `disabled`, `masked`.
    pub enabled: Result<(), String>,
    /// When its process started, in microseconds since 1970.
    pub started: Option<u64>,
    /// The files that it reads, with their last change in microseconds since 1970.
    pub reads: Vec<(String, u64)>,
}

/// A static Pod, as it runs. Where nothing does, that is waited for elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticPodSeen {
    /// When its container was made, in microseconds since 1970; none where none runs.
    pub started: Option<u64>,
    /// The files that it reads when it starts, with their last change in microseconds since 1970.
    pub reads: Vec<(String, u64)>,
    /// Its Lease, where it has one and the API server, which is ready, has been asked.
    pub lease: Option<LeaseSeen>,
}

/// A Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// When it was last renewed, in seconds since 1970; none where it never was.
    pub renewed: Option<i64>,
    /// Who holds it runs on another host, by a clock of its own.
    pub elsewhere: bool,
    /// Since when the API server runs, in seconds since 1970.
    pub api_since: i64,
}

/// Something at a path that is not what the resource would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The path.
    pub path: String,
    /// What it is.
    pub kind: ObstacleKind,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObstacleKind {
    /// A folder with nothing in it: it may go.
    EmptyDirectory,
    /// A folder with something in it: somebody's data, which stays.
    Directory,
    /// A symbolic link: it may go, what it points to stays.
    Link,
    /// A file where a folder should be: somebody's data, which stays.
    File,
    /// A socket, pipe or device: it stays.
    Special,
}

/// Mode and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileSeen {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its mode and owner.
    pub mode: Mode,
}

/// A pair of key files.
#[derive(Clone, Debug)]
pub struct KeyPairSeen {
    /// The private key.
    pub private: KeySeen,
    /// Mode and owner of the private key's file, where it is there.
    pub private_mode: Option<Mode>,
    /// The public key file: absent, or whether the private key's public half is among its keys.
    pub public: Option<bool>,
    /// Mode and owner of the public key's file.
    pub public_mode: Option<Mode>,
}

/// A private key, of which only this is ever kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySeen {
    /// No file.
    Absent,
    /// A file that holds no key that can be read.
    Unreadable,
    /// A key.
    Present(Option<KeyAlgorithm>),
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct CertificateSeen {
    /// The certificate: `None` where there is no file, an error where it holds none.
    pub certificate: Option<Result<CertificateFacts, String>>,
    /// Mode and owner of its file.
    pub certificate_mode: Option<Mode>,
    /// The key.
    pub key: KeySeen,
    /// Mode and owner of the key's file.
    pub key_mode: Option<Mode>,
    /// The key belongs to the certificate.
    pub pair: bool,
}

/// What a certificate says, and what its issuer makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// What a profile could have asked for: names, usages, algorithm (of its key, where it is one of ours).
    pub common_name: String,
    /// The subject's O values.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: std::collections::BTreeSet<String>,
    /// IP addresses.
    pub ip_addresses: std::collections::BTreeSet<std::net::IpAddr>,
    /// Extended key usage serverAuth.
    pub server: bool,
    /// Extended key usage clientAuth.
    pub client: bool,
    /// Basic constraints say CA, and no key usage says that it may not sign certificates.
    pub is_ca: bool,
    /// Algorithm of its key, where it is one that kubeadm knows.
    pub algorithm: Option<KeyAlgorithm>,
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// CN of the issuer.
    pub issuer: String,
    /// Start of validity, in seconds since 1970.
    pub not_before: i64,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
    /// The signature verifies with the issuer that is wanted and its name is the issuer's; `None` where there is no
    /// such issuer to ask.
    pub signed_by_issuer: Option<bool>,
}

/// A kubeconfig.
#[derive(Clone, Debug)]
pub struct KubeconfigSeen {
    /// What is in it, or why that cannot be understood.
    pub content: Result<KubeconfigFacts, String>,
    /// Mode and owner.
    pub mode: Mode,
}

/// What a kubeconfig says.
#[derive(Clone, Debug)]
pub struct KubeconfigFacts {
    /// Name of the cluster of the current context.
    pub cluster: String,
    /// Its URL.
    pub server: String,
    /// Name of the user of the current context.
    pub user: String,
    /// Name of the current context.
    pub context: String,
    /// The embedded CA certificate is the issuer's, byte for byte of its DER; `None` where there is no issuer to ask.
    pub ca_is_issuer: Option<bool>,
    /// The user's credential.
    pub credential: CredentialSeen,
}

/// A kubeconfig's credential.
#[derive(Clone, Debug)]
pub enum CredentialSeen {
    /// A client certificate and key, embedded.
    Embedded {
        /// The certificate, or why it cannot be read.
        certificate: Result<Box<CertificateFacts>, String>,
        /// The key belongs to it.
        pair: bool,
    },
    /// Paths of a certificate and a key file.
    Files {
        /// `client-certificate`.
        certificate: String,
        /// `client-key`.
        key: String,
        /// What is in the file, where both are the one that the kubelet renews: the certificate, or why it cannot be used.
        content: Option<Result<Box<CertificateFacts>, String>>,
    },
    /// Something else, named here without its value.
    Other(String),
}

/// The record of bootstrap tokens.
#[derive(Clone, Debug, Default)]
pub struct TokensSeen {
    /// By token id.
    pub tokens: BTreeMap<String, IssuedToken>,
    /// Mode and owner of the file.
    pub mode: Option<Mode>,
}

impl Profile {
    /// The profile of a CA: kubeadm's CN, which is a DNS name of it too.
    #[must_use]
    pub fn ca(common_name: &str, algorithm: KeyAlgorithm, validity: std::time::Duration) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organization: None,
            dns_names: [common_name.to_owned()].into(),
            ip_addresses: [].into(),
            server: false,
            client: false,
            algorithm,
            validity,
            renew_before: None,
            early: 0,
        }
    }
}

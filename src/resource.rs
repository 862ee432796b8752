//! What a control plane is made of, as data.
//!
//! A component is a function from [`crate::cluster::Cluster`] to a list of [`Resource`]s; the kinds of resource are few.
//! A certificate, key, kubeconfig or token is wanted as a predicate, never as bytes: no secret can reach a plan or a log.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{KeyAlgorithm, Location, RenewBefore, TokenEnd};
use crate::facts::Owner;

mod expansion;
mod list;
mod running;

pub use expansion::is_expanded;
pub use list::{Desired, GivenUp, Waiting};
pub use running::{
    Condition, GateSpec, ImageSpec, KubeletSpec, Lease, PodGate, Rollout, RunningSpec, SelfHostedSpec, StaticPodSpec,
    Trial, UnitSpec,
};

/// A resource's stable name, the same in plans, logs, status and tests: `file:/etc/kubernetes/manifests/etcd.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub String);

impl Id {
    /// The id of a folder.
    #[must_use]
    pub fn directory(path: &str) -> Self {
        Self(format!("directory:{path}"))
    }

    /// The id of a file.
    #[must_use]
    pub fn file(path: &str) -> Self {
        Self(format!("file:{path}"))
    }

    /// The id of a certificate with its key, by kubeadm's name of it: `certificate:etcd/server`.
    #[must_use]
    pub fn certificate(name: &str) -> Self {
        Self(format!("certificate:{name}"))
    }

    /// The id of a pair of key files: `keypair:sa`.
    #[must_use]
    pub fn key_pair(name: &str) -> Self {
        Self(format!("keypair:{name}"))
    }

    /// The id of a kubeconfig: `kubeconfig:admin.conf`.
    #[must_use]
    pub fn kubeconfig(name: &str) -> Self {
        Self(format!("kubeconfig:{name}"))
    }

    /// The id of a container image: `image:registry.k8s.io/pause:3.10.2`.
    #[must_use]
    pub fn image(reference: &str) -> Self {
        Self(format!("image:{reference}"))
    }

    /// The id of a systemd unit: `unit:kubelet.service`.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        Self(format!("unit:{name}"))
    }

    /// The id of a static Pod as it runs, by its component: `pod:kube-apiserver`.
    #[must_use]
    pub fn pod(component: &str) -> Self {
        Self(format!("pod:{component}"))
    }

    /// The id of a condition that what runs has to meet: `gate:kube-apiserver`.
    #[must_use]
    pub fn gate(name: &str) -> Self {
        Self(format!("gate:{name}"))
    }

    /// The id of an API object: `object:ConfigMap/kube-system/coredns`, with `-` for no namespace.
    #[must_use]
    pub fn object(kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self(format!("object:{kind}/{}/{name}", namespace.unwrap_or("-")))
    }

    /// The id of an API object, read off the object.
    #[must_use]
    pub fn of_object(object: &Value) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        Self::object(
            text("/kind").unwrap_or_default(),
            text("/metadata/namespace"),
            text("/metadata/name").unwrap_or_default(),
        )
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that is wanted on the host or in the cluster.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name.
    pub id: Id,
    /// The phase of kubeadm that makes it: `certs/apiserver`, `addon/coredns`.
    pub phase: &'static str,
    /// What must be in sync before it is written.
    pub needs: Vec<Id>,
    /// What else goes first where it is changed while it is in use: what restarts does so one after the other, each once what it
    /// depends on is well. Who makes what is not there does not wait for these.
    pub after: Vec<Id>,
    /// What is wanted.
    pub want: Want,
    /// Which lines of the configuration which of its fields come from.
    pub origins: Vec<Origin>,
    /// Fields that stay as they are seen to be, by the names that plans show: others own them.
    pub left: BTreeSet<String>,
}

/// Present, with what; or absent.
#[derive(Clone, Debug)]
pub enum Want {
    /// It is to be there.
    Present(Spec),
    /// It is not to be there. Absence is stated, never inferred.
    Absent(Target),
    /// It is somebody else's, there or not: it is looked at and never changed.
    Theirs {
        /// What.
        target: Target,
        /// Why it is not as it should be, where it is not.
        objection: Option<String>,
    },
}

/// What is to be absent.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file.
    File(String),
    /// A file, as long as it is what planekeeper wrote there.
    Written(Box<FileSpec>),
    /// An API object, by what names it: `apiVersion`, `kind`, `metadata`.
    Object(Value),
}

/// What is to be present.
#[derive(Clone, Debug)]
pub enum Spec {
    /// A folder.
    Directory(DirectorySpec),
    /// A file whose content is known.
    File(FileSpec),
    /// A private key and its public half: `sa.key`, `sa.pub`.
    KeyPair(KeyPairSpec),
    /// A certificate and its key.
    Certificate(CertificateSpec),
    /// A kubeconfig with a client certificate in it.
    Kubeconfig(KubeconfigSpec),
    /// The record of bootstrap tokens: which were made, and when they end.
    Tokens(TokensSpec),
    /// An API object. Fields that it does not name are not compared.
    Object(Value),
    /// A container image that the runtime has.
    Image(ImageSpec),
    /// A systemd unit that is enabled and runs.
    Unit(UnitSpec),
    /// A static Pod that runs with what is there now.
    StaticPod(RunningSpec),
    /// Something that comes by itself and that others wait for.
    Gate(GateSpec),
}

/// A folder.
#[derive(Clone, Debug)]
pub struct DirectorySpec {
    /// Absolute path.
    pub path: String,
    /// Its mode when it is made.
    pub mode: u32,
    /// A folder that is already there keeps its mode, as with kubeadm's `MkdirAll`.
    pub keep_mode: bool,
    /// Its owner when it is made.
    pub owner: Owner,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// Absolute path.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Its mode.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// Who must start anew to see a change of it.
    pub effect: Effect,
    /// Of a manifest on a live host: the Pod that the kubelet makes of it, and how long until it is well.
    pub pod: Option<Box<PodGate>>,
}

/// Content of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// These bytes.
    Text(String),
    /// This value as YAML: another spelling of the same value is in sync.
    Yaml(Value),
}

/// What a change does to what runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    None,
    /// The component reads it by itself.
    Reload(&'static str),
    /// The component restarts.
    Restart(&'static str),
    /// The kubelet restarts; no container does.
    RestartKubelet,
    /// An object of the API changes.
    Api,
}

/// A pair of key files.
#[derive(Clone, Debug)]
pub struct KeyPairSpec {
    /// Path of the private key.
    pub private: String,
    /// Path of the public key.
    pub public: String,
    /// The algorithm of a key that is made; one that is there keeps its own.
    pub algorithm: KeyAlgorithm,
    /// Their owner.
    pub owner: Owner,
    /// If one of these is there, there was a key before: no other is made.
    pub witnesses: Vec<Id>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Path of the certificate.
    pub certificate: String,
    /// Path of the key.
    pub key: String,
    /// What it says.
    pub profile: Profile,
    /// Who signs it.
    pub issuer: Issuer,
    /// Owner of both files.
    pub owner: Owner,
    /// Who must start anew, or not.
    pub effect: Effect,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The subject's CN.
    pub common_name: String,
    /// The subject's O.
    pub organization: Option<String>,
    /// DNS names.
    pub dns_names: BTreeSet<String>,
    /// IP addresses.
    pub ip_addresses: BTreeSet<IpAddr>,
    /// For servers.
    pub server: bool,
    /// For clients.
    pub client: bool,
    /// Algorithm of a key that is made; one that is there keeps its own.
    pub algorithm: KeyAlgorithm,
    /// How long one that is made is valid. It begins five minutes in the past, as kubeadm's do.
    pub validity: Duration,
    /// Made anew when less than this is left; `None` is a third of its life.
    pub renew_before: Option<RenewBefore>,
    /// It is made anew by so much earlier than that, in thousandths of the most that it may be: certificates of many hosts, made at one
    /// time, do not all come to an end of their lives at one time.
    pub early: u16,
}

/// Who signs.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// It is a CA. If one of the witnesses is there, there was a CA before: no other is made.
    SelfSigned {
        /// Resources that a CA of this name has signed.
        witnesses: Vec<Id>,
    },
    /// A CA of this host.
    Ca(CaRef),
    /// It signs itself and is no CA, for a server whose name nobody checks. One that somebody else made is as good, as long as it lasts.
    Own,
}

/// A CA, as who is signed by it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaRef {
    /// Its id.
    pub id: Id,
    /// Path of its certificate.
    pub certificate: String,
    /// Path of its key.
    pub key: String,
}

/// A kubeconfig with one cluster, one user and one context.
#[derive(Clone, Debug)]
pub struct KubeconfigSpec {
    /// Its path.
    pub path: String,
    /// The cluster's name.
    pub cluster: String,
    /// The API server's URL.
    pub server: String,
    /// The user's name; the context is `user@cluster`.
    pub user: String,
    /// The client certificate in it.
    pub profile: Profile,
    /// Who signs that; its certificate is in the kubeconfig too.
    pub issuer: CaRef,
    /// Where the kubelet keeps a client certificate of its own, which it renews by itself.
    pub rotated: Option<Rotated>,
    /// Its mode.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// Who must start anew, or not.
    pub effect: Effect,
}

/// A client certificate that its user renews by itself, in one file with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The file: a link to the newest one.
    pub path: String,
    /// The kubeconfig has to point there; where this is false, it may.
    pub required: bool,
}

/// The record of bootstrap tokens.
#[derive(Clone, Debug)]
pub struct TokensSpec {
    /// Its path.
    pub path: String,
    /// The tokens that are wanted: an id, or none for the one that is made up.
    pub tokens: Vec<(Option<String>, TokenEnd)>,
    /// Give a token that ended a new life.
    pub renew_ended: bool,
    /// Its owner.
    pub owner: Owner,
}

/// Where a field of a resource comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The field as plans show it: `--audit-log-maxage`, `.data.Corefile`; empty for the whole resource.
    pub field: String,
    /// The place in the configuration.
    pub place: Location,
}

impl Target {
    /// Its path, where it is a file.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File(path) => Some(path),
            Self::Written(spec) => Some(&spec.path),
            Self::Object(_) => None,
        }
    }
}

impl Resource {
    /// A resource that is to be there.
    #[must_use]
    pub fn present(id: Id, phase: &'static str, needs: Vec<Id>, spec: Spec) -> Self {
        Self::new(id, phase, needs, Want::Present(spec))
    }

    /// A resource that is wanted in some way.
    #[must_use]
    pub fn new(id: Id, phase: &'static str, needs: Vec<Id>, want: Want) -> Self {
        Self { id, phase, needs, after: Vec::new(), want, origins: Vec::new(), left: BTreeSet::new() }
    }

    /// An API object that is to be there. Every object needs its own phase only; a namespace is Kubernetes' own.
    #[must_use]
    pub fn object(phase: &'static str, object: Value) -> Self {
        Self::present(Id::of_object(&object), phase, Vec::new(), Spec::Object(object))
    }

    /// What else has to be seen to judge it and to make it: what it needs, who signs it, who bears witness of it; of what disturbs a
    /// component, what has to be well before.
    pub fn depends_on(&self) -> impl Iterator<Item = &Id> {
        let none: &[Id] = &[];
        let (others, issuer) = match &self.want {
            Want::Present(Spec::KeyPair(spec)) => (spec.witnesses.as_slice(), None),
            Want::Present(Spec::Certificate(spec)) => match &spec.issuer {
                Issuer::SelfSigned { witnesses } => (witnesses.as_slice(), None),
                Issuer::Ca(ca) => (none, Some(&ca.id)),
                Issuer::Own => (none, None),
            },
            Want::Present(Spec::Kubeconfig(spec)) => (none, Some(&spec.issuer.id)),
            _ => (none, None),
        };
        let before = match &self.want {
            Want::Present(Spec::StaticPod(_)) => self.after.as_slice(),
            Want::Present(Spec::File(file)) if file.pod.is_some() => self.after.as_slice(),
            _ => none,
        };
        self.needs.iter().chain(before).chain(others).chain(issuer)
    }

    /// With origins.
    #[must_use]
    pub fn from(mut self, origins: Vec<Origin>) -> Self {
        self.origins = origins;
        self
    }
}

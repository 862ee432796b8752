//! The control plane that is wanted: always valid, complete and free of defaults still to be filled in.
//!
//! [`crate::config`] is the only maker of a [`Cluster`]. Whoever holds one need not check anything again, and
//! [`crate::desired`] therefore cannot fail. Durations are [`Duration`]s; paths are absolute paths on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::versions::Release;

mod certificate_key;
#[cfg(test)]
mod fixture;
mod lines;
mod settings;

pub use certificate_key::CertificateKey;
#[cfg(test)]
pub(crate) use fixture::fixture;
pub use lines::{Lines, Location};
pub use settings::{DriftPolicy, DriftRule, FileModes, Hosting, RenewBefore, STATUS_ADDRESS, Settings};

/// What one host's control plane should be.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `kubernetesVersion`.
    pub version: Version,
    /// What the release of [`Cluster::version`] needs.
    pub release: &'static Release,
    /// `clusterName`.
    pub name: String,
    /// `nodeRegistration`.
    pub node: NodeRegistration,
    /// `localAPIEndpoint`.
    pub endpoint: ApiEndpoint,
    /// `controlPlaneEndpoint`, always with its port: kubeadm adds the bind port where there is none.
    pub control_plane_endpoint: Option<String>,
    /// `networking`.
    pub networking: Networking,
    /// `apiServer`.
    pub api_server: ControlPlaneComponent,
    /// `apiServer.certSANs`, in lower case.
    pub api_server_cert_sans: Vec<String>,
    /// `controllerManager`.
    pub controller_manager: ControlPlaneComponent,
    /// `scheduler`.
    pub scheduler: ControlPlaneComponent,
    /// `etcd`.
    pub etcd: Etcd,
    /// `dns`, and which server it is.
    pub dns: Dns,
    /// `proxy.disabled`.
    pub proxy_disabled: bool,
    /// `certificatesDir`, without a slash at its end.
    pub certificates_dir: String,
    /// `imageRepository`.
    pub image_repository: String,
    /// `featureGates` of kubeadm.
    pub feature_gates: BTreeMap<String, bool>,
    /// `encryptionAlgorithm`.
    pub key_algorithm: KeyAlgorithm,
    /// `certificateValidityPeriod`.
    pub certificate_validity: Duration,
    /// `caCertificateValidityPeriod`.
    pub ca_certificate_validity: Duration,
    /// `certificateKey`, where the file names one.
    pub certificate_key: Option<CertificateKey>,
    /// `bootstrapTokens`; never empty, as in kubeadm.
    pub bootstrap_tokens: Vec<BootstrapToken>,
    /// `timeouts`.
    pub timeouts: Timeouts,
    /// The patches of `patches.directory`, in the order in which kubeadm applies them: by file name.
    pub patches: Vec<Patch>,
    /// `skipPhases`, as kubeadm names them: `addon/coredns`, or `addon` for all below it.
    pub skip_phases: BTreeSet<String>,
    /// The cluster-wide `KubeletConfiguration`.
    pub kubelet: ComponentConfig,
    /// The `KubeProxyConfiguration`.
    pub kube_proxy: ComponentConfig,
    /// The `ClusterConfiguration` as kubeadm uploads it to the ConfigMap `kubeadm-config`: v1beta4, defaults filled in.
    pub uploaded: Value,
    /// The audit policy, where auditing is on.
    pub audit: Option<Audit>,
    /// planekeeper's own settings.
    pub settings: Settings,
    /// Where in the configuration each field stands.
    pub lines: Lines,
}

/// `nodeRegistration`.
#[derive(Clone, Debug)]
pub struct NodeRegistration {
    /// The Node's name; also etcd's member name and a SAN.
    pub name: String,
    /// The CRI endpoint with its scheme, `unix:///var/run/containerd/containerd.sock`.
    pub cri_socket: String,
    /// The Node's taints; empty means none.
    pub taints: Vec<Taint>,
    /// Flags of the kubelet beyond kubeadm's own.
    pub kubelet_extra_args: Vec<Arg>,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// One image at a time.
    pub image_pull_serial: bool,
    /// Preflight checks whose errors count as warnings.
    pub ignore_preflight_errors: Vec<String>,
}

/// A Node's taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value; empty means none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// `localAPIEndpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// `advertiseAddress`.
    pub address: IpAddr,
    /// `bindPort`.
    pub port: u16,
    /// Who says so.
    pub origin: AddressOrigin,
}

/// Who says what the address of this host's API server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOrigin {
    /// The configuration names it.
    Named,
    /// It is that of the default route, which may be another one tomorrow; in the record of a configuration, that of when it was in force.
    DefaultRoute,
    /// The record of a configuration that an earlier build left does not have it: it is that of today's default route.
    Unrecorded,
}

impl ApiEndpoint {
    /// `address:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn host_port(&self) -> String {
        std::net::SocketAddr::new(self.address, self.port).to_string()
    }
}

/// `networking`.
#[derive(Clone, Debug)]
pub struct Networking {
    /// `serviceSubnet` as written: one CIDR, or two with a comma between.
    pub service_subnet: String,
    /// `podSubnet` as written.
    pub pod_subnet: Option<String>,
    /// `dnsDomain`.
    pub dns_domain: String,
    /// The first address of each service subnet, which the Service `kubernetes` has. In the order written.
    pub api_service_addresses: Vec<IpAddr>,
    /// The tenth address of the first service subnet, which the cluster's DNS has.
    pub dns_address: IpAddr,
}

/// A flag of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The flag without its dashes.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// `apiServer`, `controllerManager` or `scheduler`.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneComponent {
    /// `extraArgs`.
    pub extra_args: Vec<Arg>,
    /// `extraVolumes`.
    pub extra_volumes: Vec<HostPathMount>,
    /// `extraEnvs`, each a `core/v1` `EnvVar`.
    pub extra_envs: Vec<Value>,
}

/// A folder or file of the host that a component sees.
#[derive(Clone, Debug)]
pub struct HostPathMount {
    /// The volume's name.
    pub name: String,
    /// The path on the host.
    pub host_path: String,
    /// The path in the container.
    pub mount_path: String,
    /// Mounted read-only.
    pub read_only: bool,
    /// The `hostPath` volume's type, `DirectoryOrCreate` and so on; empty means unchecked.
    pub path_type: String,
}

/// `etcd`.
#[derive(Clone, Debug)]
pub enum Etcd {
    /// A static Pod on this host.
    Local(LocalEtcd),
    /// Somebody else's.
    External(ExternalEtcd),
}

/// `etcd.local`.
#[derive(Clone, Debug)]
pub struct LocalEtcd {
    /// `dataDir`.
    pub data_dir: String,
    /// `imageRepository`, where it is not the cluster's.
    pub image_repository: Option<String>,
    /// `imageTag`, where it is not the release's.
    pub image_tag: Option<String>,
    /// `extraArgs`.
    pub extra_args: Vec<Arg>,
    /// `extraEnvs`, each a `core/v1` `EnvVar`.
    pub extra_envs: Vec<Value>,
    /// `serverCertSANs`.
    pub server_cert_sans: Vec<String>,
    /// `peerCertSANs`.
    pub peer_cert_sans: Vec<String>,
}

/// `etcd.external`. A path is empty where it is not set.
#[derive(Clone, Debug)]
pub struct ExternalEtcd {
    /// `endpoints`.
    pub endpoints: Vec<String>,
    /// `caFile`.
    pub ca_file: String,
    /// `certFile`.
    pub cert_file: String,
    /// `keyFile`.
    pub key_file: String,
}

/// `dns`, and PlanekeeperConfiguration's `dns.type`.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Which server.
    pub kind: DnsKind,
    /// `disabled`.
    pub disabled: bool,
    /// `imageRepository`, where it is not the cluster's.
    pub image_repository: Option<String>,
    /// `imageTag`, where it is not the release's.
    pub image_tag: Option<String>,
}

/// The DNS server of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsKind {
    /// kubeadm's.
    CoreDns,
    /// The older one, of three containers.
    KubeDns,
}

/// `encryptionAlgorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyAlgorithm {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    EcdsaP256,
    EcdsaP384,
}

impl KeyAlgorithm {
    /// kubeadm's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
        }
    }

    /// Whether keys are made by searching for primes, which takes a processor long.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// Every algorithm that kubeadm knows.
    pub const ALL: [Self; 5] = [Self::EcdsaP256, Self::EcdsaP384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];
}

/// One of `bootstrapTokens`.
#[derive(Clone, Debug)]
pub struct BootstrapToken {
    /// The token, where the file names one; otherwise one is made up once and remembered.
    pub token: Option<Token>,
    /// When it ends.
    pub end: TokenEnd,
    /// `usages`: `signing`, `authentication`.
    pub usages: Vec<String>,
    /// `groups`.
    pub groups: Vec<String>,
    /// `description`; empty means none.
    pub description: String,
}

/// A bootstrap token. Its secret half has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The public half, six characters.
    pub id: String,
    /// The secret half, sixteen characters.
    pub secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.…)", self.id)
    }
}

/// When a bootstrap token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// `ttl: 0s`.
    Never,
    /// So long after it was first made: `ttl`.
    After(Duration),
    /// `expires`, in seconds since 1970.
    At(i64),
}

/// `timeouts`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Timeouts {
    pub control_plane_component_health_check: Duration,
    pub kubelet_health_check: Duration,
    pub kubernetes_api_call: Duration,
    pub etcd_api_call: Duration,
    pub tls_bootstrap: Duration,
    pub discovery: Duration,
    pub upgrade_manifests: Duration,
}

/// A file of `patches.directory`, parsed.
#[derive(Clone, Debug)]
pub struct Patch {
    /// What it patches: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubeletconfiguration`
    /// or `corednsdeployment`.
    pub target: String,
    /// How.
    pub kind: PatchKind,
    /// What: an object for a merge, a list of operations for a JSON patch. One file may hold several.
    pub value: Value,
    /// The file's name, for messages.
    pub file: String,
}

/// How a patch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// A strategic merge, by the API's merge keys. kubeadm's default.
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

/// A component's own configuration.
#[derive(Clone, Debug)]
pub struct ComponentConfig {
    /// Every field that kubeadm's serializer would write, zero values included, defaults filled in.
    pub value: Value,
    /// A document of the user's, not the defaults alone: kubeadm then leaves the hash annotation off.
    pub user_supplied: bool,
}

/// Auditing by the API server.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The `audit.k8s.io/v1` Policy.
    pub policy: Value,
}

/// A version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads `v1.37.2` or `1.37.2`, and nothing less exact.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.').map(|part| {
            let plain =
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if plain { part.parse::<u32>().map_err(|_| ()) } else { Err(()) }
        });
        let mut next = || parts.next().unwrap_or(Err(()));
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        if parts.next().is_some() { Err(()) } else { Ok(version) }
    }
}

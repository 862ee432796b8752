//! `kubeadm.k8s.io/v1beta4`: what kubeadm reads and uploads today.
//!
//! As in Go, an empty text or list is the same as none; what kubeadm's `omitempty` leaves out is left out when it is
//! written again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::env::EnvVar;
use crate::config::duration::GoDuration;

/// The group and version.
pub const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";

/// What all control planes of a cluster have in common.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterConfiguration {
    /// The release, `v1.37.2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// The name of the cluster in kubeconfigs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// The stable address of the API servers, `host:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub control_plane_endpoint: String,
    /// The folder of certificates and keys.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificates_dir: String,
    /// Where images come from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// Algorithm of keys, `RSA-2048`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub encryption_algorithm: String,
    /// Life of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_validity_period: Option<GoDuration>,
    /// Life of a CA's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate_validity_period: Option<GoDuration>,
    /// kubeadm's feature gates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// Addresses.
    pub networking: Networking,
    /// etcd.
    pub etcd: Etcd,
    /// The API server.
    pub api_server: ApiServer,
    /// The controller manager.
    pub controller_manager: ControlPlaneComponent,
    /// The scheduler.
    pub scheduler: ControlPlaneComponent,
    /// The DNS server.
    pub dns: Dns,
    /// kube-proxy.
    pub proxy: Proxy,
}

/// Addresses of a cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Networking {
    /// CIDRs of Services.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subnet: String,
    /// CIDRs of Pods.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_subnet: String,
    /// Domain of Services.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dns_domain: String,
}

/// A flag.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Arg {
    /// Without its dashes.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A folder or file of the host in a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostPathMount {
    /// The volume's name.
    pub name: String,
    /// The path on the host.
    pub host_path: String,
    /// The path in the container.
    pub mount_path: String,
    /// Mounted read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The `hostPath` volume's type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_type: String,
}

/// The controller manager or the scheduler.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneComponent {
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
    /// Mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<HostPathMount>,
    /// Environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_envs: Vec<EnvVar>,
}

/// The API server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiServer {
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
    /// Mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<HostPathMount>,
    /// Environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_envs: Vec<EnvVar>,
    /// More names and addresses in its certificate.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    pub cert_sans: Vec<String>,
}

/// The DNS server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dns {
    /// Where the image comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// The image's tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_tag: String,
    /// It is not installed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// kube-proxy.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// It is not installed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// etcd: one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Etcd {
    /// On this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEtcd>,
    /// Somebody else's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
}

/// etcd as a static Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalEtcd {
    /// Where the image comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// The image's tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_tag: String,
    /// Folder of its data.
    pub data_dir: String,
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
    /// Environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_envs: Vec<EnvVar>,
    /// More names in its serving certificate.
    #[serde(rename = "serverCertSANs", skip_serializing_if = "Vec::is_empty")]
    pub server_cert_sans: Vec<String>,
    /// More names in its peer certificate.
    #[serde(rename = "peerCertSANs", skip_serializing_if = "Vec::is_empty")]
    pub peer_cert_sans: Vec<String>,
}

/// Somebody else's etcd.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalEtcd {
    /// URLs of its members.
    pub endpoints: Vec<String>,
    /// URLs for metrics and health, since 1.36.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_endpoints: Vec<String>,
    /// Its CA.
    pub ca_file: String,
    /// Client certificate.
    pub cert_file: String,
    /// Key of the client certificate.
    pub key_file: String,
}

/// What is this host's own. It holds secrets and therefore has no `Debug`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InitConfiguration {
    /// Bootstrap tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_tokens: Vec<BootstrapToken>,
    /// Nothing is to be changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The Node.
    pub node_registration: NodeRegistration,
    /// This host's API server.
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: ApiEndpoint,
    /// Key of the uploaded certificates.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate_key: String,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// Patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// How long to wait for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// A bootstrap token. It has no `Debug`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BootstrapToken {
    /// `id.secret`; none is not the same as an empty one, which kubeadm refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// When it ends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expires: String,
    /// `signing`, `authentication`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<String>,
    /// Groups of who uses it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// The Node of this host.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeRegistration {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Socket of the container runtime.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cri_socket: String,
    /// Taints; none given is not the same as an empty list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<Taint>>,
    /// Flags of the kubelet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubelet_extra_args: Vec<Arg>,
    /// Preflight checks whose errors are warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// When images are pulled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_pull_policy: String,
    /// One image at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_serial: Option<bool>,
}

/// A taint.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Effect.
    pub effect: String,
}

/// An API server's own address.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiEndpoint {
    /// Address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advertise_address: String,
    /// Port; 0 is none given.
    pub bind_port: i32,
}

/// Patches.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Patches {
    /// Their folder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
}

/// How long to wait for what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// For a component to be healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_component_health_check: Option<GoDuration>,
    /// For the kubelet to be healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_health_check: Option<GoDuration>,
    /// For an API call.
    #[serde(rename = "kubernetesAPICall", skip_serializing_if = "Option::is_none")]
    pub kubernetes_api_call: Option<GoDuration>,
    /// For a call of etcd.
    #[serde(rename = "etcdAPICall", skip_serializing_if = "Option::is_none")]
    pub etcd_api_call: Option<GoDuration>,
    /// For the kubelet to have its certificate.
    #[serde(rename = "tlsBootstrap", skip_serializing_if = "Option::is_none")]
    pub tls_bootstrap: Option<GoDuration>,
    /// For discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<GoDuration>,
    /// For a changed static Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_manifests: Option<GoDuration>,
}

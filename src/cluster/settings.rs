//! planekeeper's own settings, as they were written or by default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// planekeeper's own settings: the kind `PlanekeeperConfiguration`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to do about drift, by resource; the last rule that matches counts.
    pub drift: Vec<DriftRule>,
    /// How long before its end a certificate is made anew; `None` is a third of its life.
    pub renew_before: Option<RenewBefore>,
    /// Modes of files.
    pub file_modes: FileModes,
    /// The `ConfigMap` in `kube-system` that the kubelet follows, where it follows one.
    pub kubelet_config_map: Option<String>,
    /// Environment of every static Pod of Kubernetes: what kubeadm takes from the proxy variables of its own environment.
    pub proxy_environment: BTreeMap<String, String>,
    /// A token that ended is made anew, rather than left out.
    pub renew_ended_tokens: bool,
    /// Where the status is served over HTTP: an address of the loopback interface; `None` is nowhere.
    pub status_address: Option<SocketAddr>,
    /// The status is told of in the cluster; `None` is where planekeeper set it up, and not where it took it over.
    pub publish_status: Option<bool>,
    /// Where the components of the control plane run.
    pub hosting: Hosting,
}

/// Where the API server, the controller manager and the scheduler run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// As static Pods.
    StaticPods,
    /// In Pods of `DaemonSet`s.
    SelfHosted,
}

/// How long before its end a certificate is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewBefore {
    /// So long.
    Time(Duration),
    /// When so many hundredths of its life are left: between 1 and 99.
    Share(u8),
}

/// Where the status is served by default. The ports of Kubernetes' own components on a host end at 10260, and those of the cloud providers'
/// at 10263.
pub const STATUS_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10264);

/// One rule of `drift`.
#[derive(Clone, Debug)]
pub struct DriftRule {
    /// Ids that it is about, with `*` for any text.
    pub resources: String,
    /// The fields of these that it is about, by the names that plans show, with `*` for any text; none for each as a whole.
    pub fields: Vec<String>,
    /// What to do.
    pub policy: DriftPolicy,
}

/// What to do where a resource differs without the configuration having changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftPolicy {
    /// Make it right.
    Repair,
    /// Say so and leave it.
    Report,
    /// Leave it and count it as unchanged.
    Leave,
}

/// Whose file modes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileModes {
    /// What kubeadm sets.
    Kubeadm,
    /// The CIS benchmark's: 0600 for the kubelet's configuration too.
    Cis,
}

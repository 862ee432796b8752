//! What each Kubernetes release needs: one table.
//!
//! A row says what the kubeadm that planekeeper follows makes for that release. 1.34 and 1.35 follow the kubeadm of the
//! same release; 1.36 and 1.37 follow kubeadm 1.37, which sets up the minor before its own with its own etcd and CoreDNS
//! (kubeadm's `SupportedEtcdVersion` and `CoreDNSVersion`).

use crate::cluster::Version;

/// A minor release of Kubernetes.
#[allow(clippy::struct_excessive_bools)] // a table of what a release does and does not
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// The minor version.
    pub minor: u32,
    /// Tag of the image `etcd`.
    pub etcd: &'static str,
    /// Tag of the image `coredns/coredns`.
    pub coredns: &'static str,
    /// Tag of the image `pause`.
    pub pause: &'static str,
    /// The controller manager sees the FlexVolume folder of the host (kubeadm dropped it in 1.36).
    pub flexvolume: bool,
    /// An etcd before 3.6 is told by the experimental names of its flags (kubeadm dropped it in 1.36).
    pub etcd_experimental_flags: bool,
    /// The kubelet is told the pause image by `--pod-infra-container-image` (kubeadm dropped it in 1.35).
    pub pod_infra_container_image_flag: bool,
    /// The API server's client certificate for kubelets is in `kubeadm:cluster-admins`; since 1.36 a binding of its own,
    /// `kubeadm:apiserver-kubelet-client`, gives it what it needs.
    pub kubelet_client_is_cluster_admin: bool,
    /// The `mode` that kubeadm writes into a kube-proxy configuration without one.
    pub kube_proxy_mode: &'static str,
}

/// The releases that planekeeper knows, oldest first.
pub const RELEASES: [Release; 4] = [
    Release {
        minor: 34,
        etcd: "3.6.5-0",
        coredns: "v1.12.1",
        pause: "3.10.1",
        flexvolume: true,
        etcd_experimental_flags: true,
        pod_infra_container_image_flag: true,
        kubelet_client_is_cluster_admin: true,
        kube_proxy_mode: "",
    },
    Release {
        minor: 35,
        etcd: "3.6.6-0",
        coredns: "v1.13.1",
        pause: "3.10.1",
        flexvolume: true,
        etcd_experimental_flags: true,
        pod_infra_container_image_flag: false,
        kubelet_client_is_cluster_admin: true,
        kube_proxy_mode: "",
    },
    Release {
        minor: 36,
        etcd: "3.7.0-0",
        coredns: "v1.14.6",
        pause: "3.10.2",
        flexvolume: false,
        etcd_experimental_flags: false,
        pod_infra_container_image_flag: false,
        kubelet_client_is_cluster_admin: false,
        kube_proxy_mode: "iptables",
    },
    Release {
        minor: 37,
        etcd: "3.7.0-0",
        coredns: "v1.14.6",
        pause: "3.10.2",
        flexvolume: false,
        etcd_experimental_flags: false,
        pod_infra_container_image_flag: false,
        kubelet_client_is_cluster_admin: false,
        kube_proxy_mode: "iptables",
    },
];

/// Tag of KubeDNS's three images (Kubernetes' own `cluster/addons/dns/kube-dns`).
pub const KUBE_DNS_TAG: &str = "1.26.8";

/// The row of a version, where planekeeper knows it.
#[must_use]
pub fn release(version: Version) -> Option<&'static Release> {
    RELEASES.iter().find(|release| version.major == 1 && release.minor == version.minor)
}

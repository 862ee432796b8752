//! Folders of the host.
//!
//! kubeadm makes them on the way, with `MkdirAll`: the mode counts for a folder that is made, and one that is there keeps
//! its own. Here they are resources, so that a plan shows them and what lies in them can wait for them.

use crate::cluster::{Cluster, Etcd};
use crate::facts::Facts;
use crate::resource::{Desired, DirectorySpec, Id, Resource, Spec};

/// kubeadm's folder.
pub const KUBERNETES: &str = "/etc/kubernetes";
/// Static Pods: everything in it without a dot in front runs.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The kubelet's.
pub const KUBELET: &str = "/var/lib/kubelet";
/// The kubelet's certificates.
pub const KUBELET_PKI: &str = "/var/lib/kubelet/pki";
/// planekeeper's own.
pub const STATE: &str = "/var/lib/planekeeper";
/// The audit policy's.
pub const AUDIT: &str = "/etc/kubernetes/audit";
/// The audit logs'.
pub const AUDIT_LOGS: &str = "/var/log/kubernetes/audit";

/// Folders that belong to no single phase of kubeadm, so that no `skipPhases` leaves them out.
const SHARED: &str = "directories";

/// Every folder, parents first.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let certificates = cluster.certificates_dir.as_str();
    let etcd_certificates = etcd_certificates(cluster);
    let mut folders: Vec<(&str, &'static str, u32)> =
        vec![(KUBERNETES, SHARED, 0o755), (MANIFESTS, SHARED, 0o700), (certificates, "certs", 0o755)];
    if let Etcd::Local(etcd) = &cluster.etcd {
        // kubeadm makes it for the first of these.
        let made =
            ["etcd-ca", "etcd-server", "etcd-peer", "etcd-healthcheck-client"].map(|leaf| format!("certs/{leaf}"));
        if !made.iter().all(|phase| cluster.skip_phases.contains(phase)) {
            folders.push((&etcd_certificates, "certs", 0o755));
        }
        folders.push((etcd.data_dir.trim_end_matches('/'), "etcd/local", 0o700));
    }
    folders.push((KUBELET, "kubelet-start", 0o700));
    if facts.live {
        // The kubelet would make it so when it starts.
        folders.push((KUBELET_PKI, "kubelet-start", 0o755));
    }
    if !facts.adopted {
        folders.push((STATE, SHARED, 0o700));
    }
    if cluster.audit.is_some() {
        folders.push((AUDIT, "control-plane/apiserver", 0o700));
        folders.push((AUDIT_LOGS, "control-plane/apiserver", 0o700));
    }
    let mut desired = Desired::default();
    for (path, phase, mode) in folders {
        // Only what is planekeeper's own is held to its mode: nobody else chose another one for it.
        let keep_mode = ![STATE, AUDIT, AUDIT_LOGS].contains(&path);
        let spec = DirectorySpec { path: path.to_owned(), mode, keep_mode, owner: facts.owner };
        let above = desired.resources.iter().rev().find(|other| is_below(path, other)).map(|other| other.id.clone());
        desired.push(Resource::present(Id::directory(path), phase, above.into_iter().collect(), Spec::Directory(spec)));
    }
    desired
}

/// The path lies in the folder of another resource.
fn is_below(path: &str, other: &Resource) -> bool {
    let above = other.id.0.strip_prefix("directory:").and_then(|above| path.strip_prefix(above));
    above.is_some_and(|rest| rest.starts_with('/'))
}

/// Where etcd's certificates are, below the cluster's.
#[must_use]
pub fn etcd_certificates(cluster: &Cluster) -> String {
    format!("{}/etcd", cluster.certificates_dir)
}

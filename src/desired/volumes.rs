//! Folders and files of the host that the control plane's containers see.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, ExternalEtcd, HostPathMount};
use crate::facts::{CA_FOLDERS, Facts};

/// Where most hosts have the CA certificates of the world.
const CA_CERTIFICATES: &str = "/etc/ssl/certs";
/// `hostPath` type of a folder.
const FOLDER: &str = "DirectoryOrCreate";
/// `hostPath` type of a file.
const FILE: &str = "FileOrCreate";

/// Mounts by their name, which is unique and orders them: a later one replaces an earlier one of the same name.
#[derive(Clone, Debug, Default)]
pub struct Mounts(BTreeMap<String, HostPathMount>);

impl Mounts {
    /// With a folder, seen at its own path.
    #[must_use]
    pub fn folder(self, name: &str, path: &str, read_only: bool) -> Self {
        self.with(mount(name, path, read_only, FOLDER))
    }

    /// With a file, seen at its own path and not to be written.
    #[must_use]
    pub fn file(self, name: &str, path: &str) -> Self {
        self.with(mount(name, path, true, FILE))
    }

    /// With what the user wants: a name of kubeadm's is replaced.
    #[must_use]
    pub fn extra(self, mounts: &[HostPathMount]) -> Self {
        mounts.iter().cloned().fold(self, Self::with)
    }

    /// With the folders of the host's CA certificates. `/etc/ssl/certs` may hold links into the others, so those that the
    /// host has are seen too.
    #[must_use]
    pub fn ca_certificates(self, facts: &Facts) -> Self {
        facts.ca_folders.iter().fold(self.folder("ca-certs", CA_CERTIFICATES, true), |mounts, path| {
            mounts.folder(&path.trim_start_matches('/').replace('/', "-"), path, true)
        })
    }

    /// With the cluster's certificates.
    #[must_use]
    pub fn certificates(self, cluster: &Cluster) -> Self {
        self.folder("k8s-certs", &cluster.certificates_dir, true)
    }

    /// With the folders of an external etcd's certificates, where no other mount shows them.
    #[must_use]
    pub fn external_etcd(self, etcd: &ExternalEtcd, certificates_dir: &str) -> Self {
        external_etcd_folders(etcd, certificates_dir)
            .iter()
            .enumerate()
            .fold(self, |mounts, (index, path)| mounts.folder(&format!("etcd-certs-{index}"), path, true))
    }

    /// By name.
    #[must_use]
    pub fn list(self) -> Vec<HostPathMount> {
        self.0.into_values().collect()
    }

    fn with(mut self, mount: HostPathMount) -> Self {
        self.0.insert(mount.name.clone(), mount);
        self
    }
}

/// A folder, seen at its own path.
#[must_use]
pub fn folder(name: &str, path: &str, read_only: bool) -> HostPathMount {
    mount(name, path, read_only, FOLDER)
}

fn mount(name: &str, path: &str, read_only: bool, path_type: &str) -> HostPathMount {
    HostPathMount {
        name: name.to_owned(),
        host_path: path.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        path_type: path_type.to_owned(),
    }
}

/// kubeadm compares these paths as plain text (`getEtcdCertVolumes`): `/etc/etcd-2` counts as below `/etc/etcd`, and a
/// folder of CA certificates counts as mounted whether or not the host has it. The same file must give the same Pod.
fn external_etcd_folders(etcd: &ExternalEtcd, certificates_dir: &str) -> BTreeSet<String> {
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for file in [&etcd.ca_file, &etcd.cert_file, &etcd.key_file] {
        let Some((folder, _)) = file.rsplit_once('/') else { continue };
        let folder = if folder.is_empty() { "/" } else { folder };
        let mounted = CA_FOLDERS.iter().chain([&CA_CERTIFICATES, &certificates_dir]);
        if mounted.into_iter().any(|path| folder.starts_with(path)) {
            continue;
        }
        let below_another =
            folders.iter().any(|other| !other.starts_with(folder) && folder.starts_with(other.as_str()));
        folders.retain(|other| !other.starts_with(folder));
        if !below_another {
            folders.insert(folder.to_owned());
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(ca: &str, cert: &str, key: &str) -> Vec<String> {
        let etcd = ExternalEtcd {
            endpoints: Vec::new(),
            ca_file: ca.to_owned(),
            cert_file: cert.to_owned(),
            key_file: key.to_owned(),
        };
        external_etcd_folders(&etcd, "/etc/kubernetes/pki").into_iter().collect()
    }

    #[test]
    fn an_external_etcds_folders_are_mounted_once_and_only_if_nothing_else_shows_them() {
        assert_eq!(folders("/etc/etcd/ca/a.crt", "/etc/etcd/b.crt", "/srv/b.key"), ["/etc/etcd", "/srv"]);
        assert_eq!(folders("/etc/etcd/a.crt", "/etc/etcd/client/b.crt", "/etc/etcd/client/b.key"), ["/etc/etcd"]);
        assert!(folders("/etc/ssl/certs/a.crt", "/etc/kubernetes/pki/etcd/b.crt", "").is_empty());
        assert!(folders("/etc/pki/tls/certs/a.crt", "", "").is_empty());
    }

    #[test]
    fn a_volume_of_the_user_replaces_one_of_the_same_name() {
        let mine = HostPathMount { path_type: String::new(), ..folder("ca-certs", "/opt/certs", false) };
        let list = Mounts::default().ca_certificates(&Facts::default()).extra(&[mine]).list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].host_path, "/opt/certs");
    }
}

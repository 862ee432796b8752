//! Folders that are given to planekeeper alone: it sets their modes, and `reset` empties them.

use super::super::report::Report;
use super::super::syntax;
use super::{MANIFESTS, note};
use crate::system_folders::{holds, is_shared, plain};

/// kubeadm's folder.
const KUBERNETES: &str = "/etc/kubernetes";
/// The kubelet's.
const KUBELET: &str = "/var/lib/kubelet";

/// Checks the folder of etcd's data, beside that of the certificates. etcd lets nobody else into it, and writes to it at any time.
pub fn of_data(field: &str, path: &str, certificates: &str, report: &mut Report) {
    if note(report, field, syntax::absolute_path(path)).is_none() {
        return;
    }
    let path = plain(path);
    let others = [MANIFESTS, KUBELET, &plain(certificates)].iter().any(|other| holds(&path, other));
    if is_shared(&path) || others {
        report
            .error(field, format!("{path} is a folder that others use: give etcd one of its own, like /var/lib/etcd"));
    }
}

/// Checks the folder of the certificates. That of kubeadm's other files may be it too, as kubeadm allows.
pub fn of_certificates(field: &str, path: &str, report: &mut Report) {
    if note(report, field, syntax::absolute_path(path)).is_none() {
        return;
    }
    let path = plain(path);
    if path != KUBERNETES && (is_shared(&path) || [MANIFESTS, KUBELET].contains(&path.as_str())) {
        let message = format!(
            "{path} is a folder that others use: give the certificates one of their own, like /etc/kubernetes/pki"
        );
        report.error(field, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(check: impl Fn(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        check(&mut report);
        report.finish().0.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn etcd_gets_no_folder_that_others_use() {
        let check = |path: &str| problems(|report| of_data("dataDir", path, "/etc/kubernetes/pki", report));
        for taken in ["/", "//", "/etc", "/etc/", "/var/lib", "/etc/kubernetes", "/etc/kubernetes/pki", "/usr", "/tmp"]
        {
            assert!(matches!(&check(taken)[..], [one] if one.contains("others use")), "{taken}: {:?}", check(taken));
        }
        for own in ["/var/lib/etcd", "/mnt", "/usr/local/etcd", "/data/etcd/", "/tmp/etcd", "/var/lib/kubelet-etcd"] {
            assert!(check(own).is_empty(), "{own}: {:?}", check(own));
        }
    }

    #[test]
    fn certificates_get_no_folder_that_others_use() {
        let check = |path: &str| problems(|report| of_certificates("certificatesDir", path, report));
        for taken in ["/", "/etc", "/etc/kubernetes/manifests/", "/var/lib/kubelet", "/var/lib/planekeeper", "/root"] {
            assert_eq!(check(taken).len(), 1, "{taken}");
        }
        for own in ["/etc/kubernetes/pki", "/etc/kubernetes", "/etc/kubernetes/ssl", "/etc/ssl/kubernetes"] {
            assert!(check(own).is_empty(), "{own}: {:?}", check(own));
        }
    }
}

//! What differs between releases.

use crate::preflight::{Finding, Scene};
use crate::versions::RELEASES;

/// The minor version of the kubeadm whose checks count: planekeeper follows kubeadm 1.37 for the release before it too
/// (see [`crate::versions`]).
pub(super) const fn kubeadm_minor(release: u32) -> u32 {
    if release == 36 { 37 } else { release }
}

/// The ports of the scheduler and of the controller manager: before 1.17 kubeadm's checks were for those without TLS.
pub(super) const fn component_ports(minor: u32) -> (u16, u16) {
    if minor < 17 { (10251, 10252) } else { (10259, 10257) }
}

/// The identifier of the check of a service, which kubeadm 1.34 wrote with a capital.
pub(super) fn service_id(kubeadm: u32, service: &str) -> String {
    let mut letters = service.chars();
    match letters.next().filter(|_| kubeadm < 35) {
        Some(first) => format!("Service-{}{}", first.to_ascii_uppercase(), letters.as_str()),
        None => format!("Service-{service}"),
    }
}

/// The identifier of the check of the release.
pub(super) const ID: &str = "KubernetesVersion";

/// The release is one that this build knows. The configuration of another is refused before.
pub(super) fn supported(scene: &Scene) -> Finding {
    let version = scene.cluster.version;
    match crate::versions::release(version) {
        Some(_) => Finding::ok(version.to_string()),
        None => unknown(&format!("{version} is not a release that this planekeeper knows")),
    }
}

/// It is not.
pub(super) fn unknown(found: &str) -> Finding {
    let [oldest, .., newest] = &RELEASES;
    let needed = format!("v1.{} to v1.{}", oldest.minor, newest.minor);
    Finding::error(found, needed, "set kubernetesVersion, or install a planekeeper that knows it")
}

//! `kubernetesVersion` and `featureGates`.

use std::collections::BTreeMap;

use super::super::report::Report;
use super::super::words;
use crate::cluster::Version;
use crate::versions::{RELEASES, Release, release};

const FIELD: &str = "ClusterConfiguration.kubernetesVersion";
/// What is installed where no version is given: the newest that this build was measured against.
const NEWEST: Version = Version { major: 1, minor: 37, patch: 2 };

/// The version, exact, and its row.
pub fn check(text: &str, report: &mut Report) -> Option<(Version, &'static Release)> {
    if text.is_empty() {
        let message = format!(
            "is not set: planekeeper takes {NEWEST}, the newest it knows. Write it down, so that a newer planekeeper \
             does not change it"
        );
        report.warn(FIELD, message);
        return Some((NEWEST, release(NEWEST)?));
    }
    let Ok(version) = text.parse::<Version>() else {
        let label = !text.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
        let message = if label {
            format!("{text:?} is a label that has to be looked up in the network: write the version itself, {NEWEST}")
        } else {
            format!("{text:?} is not an exact release: write it like {NEWEST}")
        };
        report.error(FIELD, message);
        return None;
    };
    let Some(row) = release(version) else {
        let known: Vec<_> = RELEASES.iter().map(|release| format!("v1.{}", release.minor)).collect();
        let known = words::list(known.iter().map(String::as_str));
        report.error(FIELD, format!("{version} is not a release that this planekeeper knows: it knows {known}"));
        return None;
    };
    Some((version, row))
}

/// The feature gates of kubeadm that a release has (kubeadm's `InitFeatureGates`; 1.36 is set up by kubeadm 1.37).
fn gates(minor: u32) -> &'static [&'static str] {
    match minor {
        ..=34 => &[
            "ControlPlaneKubeletLocalMode",
            "NodeLocalCRISocket",
            "PublicKeysECDSA",
            "RootlessControlPlane",
            "WaitForAllControlPlaneComponents",
        ],
        35 => &["ControlPlaneKubeletLocalMode", "NodeLocalCRISocket", "PublicKeysECDSA", "RootlessControlPlane"],
        _ => &["RootlessControlPlane"],
    }
}

/// The feature gates that kubeadm has locked, in the release that it locks them in; it takes another value and ignores it.
const LOCKED: [(&str, u32); 2] = [("WaitForAllControlPlaneComponents", 34), ("ControlPlaneKubeletLocalMode", 35)];

/// Feature gates that the release's kubeadm does not have are refused, and those that would make another control plane
/// than planekeeper does.
pub fn check_gates(wanted: &BTreeMap<String, bool>, minor: u32, report: &mut Report) {
    for (name, on) in wanted {
        let known = gates(minor);
        let message = if !known.contains(&name.as_str()) {
            words::unknown("feature gate of kubeadm in this release", name, known.iter().copied())
        } else if name == "RootlessControlPlane" && *on {
            "is on, but planekeeper runs the control plane as root only: remove it. kubeadm is to drop this gate too, for \
             the user namespaces of the kubelet"
                .to_owned()
        } else if !on && LOCKED.contains(&(name.as_str(), minor)) {
            format!("is always on in 1.{minor}: remove it")
        } else {
            continue;
        };
        report.error(format!("ClusterConfiguration.featureGates.{name}"), message);
    }
}

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

/// Feature gates that the release's kubeadm does not have are refused.
pub fn check_gates(wanted: &BTreeMap<String, bool>, minor: u32, report: &mut Report) {
    for name in wanted.keys().filter(|name| !gates(minor).contains(&name.as_str())) {
        let message = words::unknown("feature gate of kubeadm in this release", name, gates(minor).iter().copied());
        report.error(format!("ClusterConfiguration.featureGates.{name}"), message);
    }
}

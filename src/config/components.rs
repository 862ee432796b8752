//! The configurations of the kubelet and kube-proxy: what goes beyond their defaults, which are in
//! [`super::component`].

use serde_json::Value;

use super::component::{kube_proxy, kubelet};
use super::report::Report;
use super::validate::MANIFESTS;
use super::{component, schema, words};
use crate::cluster::{ComponentConfig, Networking};
use crate::problem::Problem;
use crate::versions::Release;

/// Modes of kube-proxy on Linux.
const PROXY_MODES: [&str; 3] = ["iptables", "ipvs", "nftables"];

/// The schema of `KubeletConfiguration`.
#[must_use]
pub fn kubelet_schema() -> Value {
    schema::of::<kubelet::types::KubeletConfiguration>()
}

/// The schema of `KubeProxyConfiguration`.
#[must_use]
pub fn kube_proxy_schema() -> Value {
    schema::of::<kube_proxy::types::KubeProxyConfiguration>()
}

/// The cluster-wide `KubeletConfiguration`.
pub fn kubelet(
    written: Option<&Value>,
    release: &Release,
    networking: &Networking,
    certificates_dir: &str,
    report: &mut Report,
) -> Option<ComponentConfig> {
    if let Some(written) = written {
        for field in component::fields_unknown_to(kubelet::KIND, written, release.minor) {
            let message =
                format!("is not a field of the kubelet of 1.{}, which would not start: remove it", release.minor);
            report.error(format!("{}.{field}", kubelet::KIND), message);
        }
        for (field, message) in kubelet::limits::problems(written) {
            report.error(format!("{}.{field}", kubelet::KIND), message);
        }
        for (field, message) in kubelet::limits::doubts(written) {
            report.warn(format!("{}.{field}", kubelet::KIND), message);
        }
        let folder = written.get("staticPodPath").and_then(Value::as_str).unwrap_or_default();
        if !folder.is_empty() && folder.trim_end_matches('/') != MANIFESTS {
            let message = format!("is {folder:?}, but the static Pods are in {MANIFESTS}: remove the field");
            report.error(format!("{}.staticPodPath", kubelet::KIND), message);
        }
    }
    let cluster_dns = networking.dns_address;
    let defaults = kubelet::KubeletDefaults { cluster_dns, dns_domain: &networking.dns_domain, certificates_dir };
    completed(kubelet::complete(written, &defaults), report)
}

/// The `KubeProxyConfiguration`.
pub fn kube_proxy(
    written: Option<&Value>,
    defaults: &kube_proxy::KubeProxyDefaults<'_>,
    report: &mut Report,
) -> Option<ComponentConfig> {
    let mode = written.and_then(|written| written.get("mode")).and_then(Value::as_str).unwrap_or_default();
    if !mode.is_empty() && !PROXY_MODES.contains(&mode) {
        report.error(format!("{}.mode", kube_proxy::KIND), words::unknown("mode", mode, PROXY_MODES));
    }
    completed(kube_proxy::complete(written, defaults), report)
}

fn completed(result: Result<component::Completed, Vec<Problem>>, report: &mut Report) -> Option<ComponentConfig> {
    match result {
        Ok((config, advice)) => {
            for problem in advice {
                report.warn(problem.field, problem.message);
            }
            Some(config)
        }
        Err(problems) => {
            for problem in problems {
                report.error(problem.field, problem.message);
            }
            None
        }
    }
}

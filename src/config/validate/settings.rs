//! `PlanekeeperConfiguration`, the audit policy and `timeouts`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::super::duration::GoDuration;
use super::super::kubeadm::v1beta4::Timeouts as WrittenTimeouts;
use super::super::planekeeper::{
    ControlPlaneHosting, DnsType, DriftPolicy as Policy, DriftRule as WrittenRule, DynamicKubeletConfig,
    FilePermissions, PlanekeeperConfiguration, WhenEnded,
};
use super::super::report::Report;
use super::super::{audit, syntax, words};
use super::note;
use crate::cluster::{
    Audit, DnsKind, DriftPolicy, DriftRule, FileModes, Hosting, RenewBefore, STATUS_ADDRESS, Settings, Timeouts,
};
use crate::facts::Machine;

const KIND: &str = "PlanekeeperConfiguration";
/// Other `ConfigMap`s of `kube-system` that are wanted or used.
const KEPT_CONFIG_MAPS: [&str; 5] =
    ["kubeadm-config", "coredns", "kube-dns", "kube-proxy", "extension-apiserver-authentication"];

/// planekeeper's own settings.
pub fn check(
    written: &PlanekeeperConfiguration,
    life: Option<Duration>,
    machine: &Machine,
    report: &mut Report,
) -> Settings {
    for (index, rule) in written.drift.rules.iter().enumerate() {
        drift_rule(rule, &format!("{KIND}.drift.rules[{index}]"), report);
    }
    proxy_environment(&written.proxy_environment, machine, report);
    let every = DriftRule { resources: "*".to_owned(), fields: Vec::new(), policy: policy(written.drift.policy) };
    let rules = written.drift.rules.iter().map(|rule| DriftRule {
        resources: rule.resources.clone(),
        fields: rule.fields.clone(),
        policy: policy(rule.policy),
    });
    Settings {
        drift: std::iter::once(every).chain(rules).collect(),
        renew_before: written
            .certificates
            .renew_before
            .as_deref()
            .and_then(|before| renew_before(before, life, report)),
        file_modes: match written.file_permissions {
            FilePermissions::Kubeadm => FileModes::Kubeadm,
            FilePermissions::CIS => FileModes::Cis,
        },
        kubelet_config_map: kubelet_config_map(&written.dynamic_kubelet_config, report),
        proxy_environment: written.proxy_environment.clone(),
        renew_ended_tokens: written.bootstrap_tokens.when_ended == WhenEnded::Renew,
        status_address: status_address(written.status.address.as_deref(), report),
        publish_status: written.status.publish,
        hosting: match written.control_plane_hosting {
            ControlPlaneHosting::StaticPods => Hosting::StaticPods,
            ControlPlaneHosting::SelfHosted => Hosting::SelfHosted,
        },
    }
}

fn drift_rule(rule: &WrittenRule, place: &str, report: &mut Report) {
    let resources = &rule.resources;
    if !resources.contains([':', '*']) {
        let message = format!("{resources:?} is not an id of resources: write it like file:/etc/kubernetes/*");
        report.error(format!("{place}.resources"), message);
    } else if !rule.fields.is_empty() && !["object:", "file:"].iter().any(|kind| resources.starts_with(kind)) {
        let message = format!(
            "{resources:?} is not of objects or files, whose fields can be told apart: write it like object:Deployment/*"
        );
        report.error(format!("{place}.resources"), message);
    }
    for (index, field) in rule.fields.iter().enumerate() {
        let has_path = ["mode", "owner"].contains(&field.as_str())
            || ["*", ".", "--"].iter().any(|begin| field.starts_with(begin) && field.len() > begin.len());
        if !has_path {
            let message = format!(
                "{field:?} is not a field as plans show it: write it like .spec.replicas, .data.Corefile, --v, mode or owner"
            );
            report.error(format!("{place}.fields[{index}]"), message);
        }
    }
}

const fn policy(written: Policy) -> DriftPolicy {
    match written {
        Policy::Repair => DriftPolicy::Repair,
        Policy::Report => DriftPolicy::Report,
        Policy::Leave => DriftPolicy::Leave,
    }
}

/// Which DNS server.
#[must_use]
pub const fn dns_kind(written: DnsType) -> DnsKind {
    match written {
        DnsType::CoreDNS => DnsKind::CoreDns,
        DnsType::KubeDNS => DnsKind::KubeDns,
    }
}

/// The name is checked even where nobody follows it: it would be wrong later.
fn kubelet_config_map(written: &DynamicKubeletConfig, report: &mut Report) -> Option<String> {
    let field = format!("{KIND}.dynamicKubeletConfig.configMap");
    note(report, &field, syntax::dns_subdomain(&written.config_map));
    if KEPT_CONFIG_MAPS.contains(&written.config_map.as_str()) {
        let message = format!("{:?} is for something else in every cluster: write another name", written.config_map);
        report.error(&field, message);
    }
    let kubelet = "KubeletConfiguration";
    if written.enabled && report.lines.0.contains_key(kubelet) {
        let name = &written.config_map;
        let message = format!(
            "counts until there is a ConfigMap kube-system/{name}, which the kubelet follows: change that then"
        );
        report.warn(kubelet, message);
    }
    written.enabled.then(|| written.config_map.clone())
}

/// Whoever can reach the address can read the status, and nobody is asked who they are: so it is of this host alone.
fn status_address(written: Option<&str>, report: &mut Report) -> Option<SocketAddr> {
    let text = match written {
        None => return Some(STATUS_ADDRESS),
        Some("") => return None,
        Some(text) => text,
    };
    let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback() && address.port() > 0);
    if address.is_none() {
        let message = format!(
            "{text:?} is no address of the loopback interface with a port: write it like {STATUS_ADDRESS}, or \"\" for none"
        );
        report.error(format!("{KIND}.status.address"), message);
    }
    address
}

fn renew_before(written: &str, life: Option<Duration>, report: &mut Report) -> Option<RenewBefore> {
    let field = format!("{KIND}.certificates.renewBefore");
    if let Some(share) = written.strip_suffix('%') {
        let share = share.parse().ok().filter(|share| (1..=99).contains(share)).map(RenewBefore::Share);
        if share.is_none() {
            report.error(field, format!("{written:?} is no share of a life: write 1% to 99%, like 33%"));
        }
        return share;
    }
    let before = written.parse().ok().and_then(GoDuration::to_std).filter(|before| !before.is_zero());
    if before.is_none() {
        report.error(
            &field,
            format!(
                "{written:?} is not a time before the end: write it like 720h, or as a share of the life, like 33%"
            ),
        );
    }
    if let (Some(before), Some(life)) = (before, life)
        && before >= life
    {
        let life = GoDuration::from(life);
        report
            .error(field, format!("{written} is a certificate's whole life, {life}: it would be made anew every time"));
    }
    before.map(RenewBefore::Time)
}

/// Names as kubeadm takes them from its environment: whatever ends in `_proxy`, in any case.
fn proxy_environment(written: &BTreeMap<String, String>, machine: &Machine, report: &mut Report) {
    let field = format!("{KIND}.proxyEnvironment");
    for (name, value) in written {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || !name.to_ascii_lowercase().ends_with("_proxy") {
            let message =
                words::unknown("proxy variable", name, ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"]);
            report.error(format!("{field}.{name}"), message);
        } else if value.is_empty() {
            report.error(format!("{field}.{name}"), "is empty: give it a value or remove it");
        }
    }
    let missing: Vec<_> = machine.proxy_variables.keys().filter(|name| !written.contains_key(*name)).collect();
    if !missing.is_empty() {
        let names = words::list(missing.into_iter().map(String::as_str));
        let message = format!(
            "the environment has {names}, which kubeadm would give to the static Pods and planekeeper does not: to have \
             them there, write them in proxyEnvironment of a {} {KIND}",
            super::super::planekeeper::API_VERSION
        );
        report.warn(field, message);
    }
}

/// Auditing: on with a policy, or where it is asked for.
pub fn audit(enabled: Option<bool>, policy: Option<&Value>, report: &mut Report) -> Option<Audit> {
    if let Some(policy) = policy {
        match serde_json::from_value(policy.clone()) {
            Ok(typed) => audit::validate(&typed, report),
            Err(error) => report.error("Policy", error.to_string()),
        }
    }
    match (enabled, policy) {
        (Some(false), Some(_)) => {
            report.warn("Policy", "has no effect: audit.enabled is false in the PlanekeeperConfiguration");
            None
        }
        (Some(false) | None, None) => None,
        (Some(true), None) => Some(Audit { policy: audit::default_policy() }),
        (_, Some(policy)) => {
            let mut policy = policy.clone();
            policy["apiVersion"] = audit::API_VERSION.into();
            policy["kind"] = "Policy".into();
            Some(Audit { policy })
        }
    }
}

/// How long to wait for what, with kubeadm's defaults filled in.
pub fn timeouts(written: &mut WrittenTimeouts, report: &mut Report) -> Timeouts {
    let mut check = |field: &str, written: &mut Option<GoDuration>, minutes: u64| {
        let default = Duration::from_secs(minutes * 60);
        let given = written.get_or_insert_with(|| default.into());
        given.to_std().filter(|given| !given.is_zero()).unwrap_or_else(|| {
            let message = format!("{given} is no time to wait: write it like {}", GoDuration::from(default));
            report.error(format!("InitConfiguration.timeouts.{field}"), message);
            default
        })
    };
    Timeouts {
        control_plane_component_health_check: check(
            "controlPlaneComponentHealthCheck",
            &mut written.control_plane_component_health_check,
            4,
        ),
        kubelet_health_check: check("kubeletHealthCheck", &mut written.kubelet_health_check, 4),
        kubernetes_api_call: check("kubernetesAPICall", &mut written.kubernetes_api_call, 1),
        etcd_api_call: check("etcdAPICall", &mut written.etcd_api_call, 2),
        tls_bootstrap: check("tlsBootstrap", &mut written.tls_bootstrap, 5),
        discovery: check("discovery", &mut written.discovery, 5),
        upgrade_manifests: check("upgradeManifests", &mut written.upgrade_manifests, 5),
    }
}

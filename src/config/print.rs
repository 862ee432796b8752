//! The configuration as text again: `config print` and `config migrate`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::component::{kube_proxy, kubelet};
use super::documents::{DocumentKind, Documents};
use super::duration::GoDuration;
use super::kubeadm::v1beta4;
use super::{Loaded, planekeeper};
use crate::cluster::{Cluster, DnsKind, DriftPolicy, FileModes, Hosting, RenewBefore, Taint, TokenEnd};
use crate::problem::Problem;

/// The complete effective configuration: every document, with all defaults. It can be shown to others: of a token only the
/// public half is in it, and no key of uploaded certificates.
#[must_use]
pub fn print(loaded: &Loaded) -> Vec<Value> {
    let cluster = &loaded.cluster;
    let mut documents = vec![
        init(loaded),
        cluster.uploaded.clone(),
        with_header(&cluster.kubelet.value, kubelet::API_VERSION, kubelet::KIND),
        with_header(&cluster.kube_proxy.value, kube_proxy::API_VERSION, kube_proxy::KIND),
    ];
    documents.extend(cluster.audit.as_ref().map(|audit| audit.policy.clone()));
    documents.push(settings(cluster));
    documents
}

/// The configuration with kubeadm's documents as v1beta4, all others as they are. Comments are lost. Documents for other
/// commands of kubeadm stay as they were written.
///
/// # Errors
/// What is wrong with the shape of documents.
pub fn migrate(documents: Documents) -> Result<Vec<Value>, Vec<Problem>> {
    let mut migrated = Vec::new();
    for (kind, api_version) in [
        (DocumentKind::InitConfiguration, v1beta4::API_VERSION),
        (DocumentKind::ClusterConfiguration, v1beta4::API_VERSION),
        (DocumentKind::KubeletConfiguration, kubelet::API_VERSION),
        (DocumentKind::KubeProxyConfiguration, kube_proxy::API_VERSION),
        (DocumentKind::Policy, super::audit::API_VERSION),
        (DocumentKind::PlanekeeperConfiguration, planekeeper::API_VERSION),
    ] {
        let moved = documents.control_plane_timeout.clone().filter(|_| kind == DocumentKind::InitConfiguration);
        let value = documents.value(kind).cloned().or_else(|| moved.as_ref().map(|_| json!({})));
        let Some(mut value) = value else { continue };
        if let Some(timeout) = moved
            && value.pointer("/timeouts/controlPlaneComponentHealthCheck").is_none()
        {
            value["timeouts"]["controlPlaneComponentHealthCheck"] = timeout;
        }
        migrated.push(with_header(&value, api_version, kind.name()));
    }
    migrated.extend(documents.ignored.iter().cloned());
    let (problems, _) = documents.report.finish();
    if problems.is_empty() { Ok(migrated) } else { Err(problems) }
}

fn with_header(value: &Value, api_version: &str, kind: &str) -> Value {
    let mut value = value.clone();
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    value
}

fn text(duration: Duration) -> Value {
    GoDuration::from(duration).to_string().into()
}

fn init(loaded: &Loaded) -> Value {
    let cluster = &loaded.cluster;
    let (node, timeouts) = (&cluster.node, &cluster.timeouts);
    let arg = |arg: &crate::cluster::Arg| json!({ "name": arg.name, "value": arg.value });
    let mut registration = json!({
        "name": node.name,
        "criSocket": node.cri_socket,
        "taints": node.taints.iter().map(taint).collect::<Value>(),
        "imagePullPolicy": node.image_pull_policy,
        "imagePullSerial": node.image_pull_serial,
    });
    if !node.kubelet_extra_args.is_empty() {
        registration["kubeletExtraArgs"] = node.kubelet_extra_args.iter().map(arg).collect();
    }
    if !node.ignore_preflight_errors.is_empty() {
        registration["ignorePreflightErrors"] = node.ignore_preflight_errors.clone().into();
    }
    let mut init = json!({
        "bootstrapTokens": tokens(cluster),
        "localAPIEndpoint": { "advertiseAddress": cluster.endpoint.address.to_string(), "bindPort": cluster.endpoint.port },
        "nodeRegistration": registration,
        "timeouts": {
            "controlPlaneComponentHealthCheck": text(timeouts.control_plane_component_health_check),
            "kubeletHealthCheck": text(timeouts.kubelet_health_check),
            "kubernetesAPICall": text(timeouts.kubernetes_api_call),
            "etcdAPICall": text(timeouts.etcd_api_call),
            "tlsBootstrap": text(timeouts.tls_bootstrap),
            "discovery": text(timeouts.discovery),
            "upgradeManifests": text(timeouts.upgrade_manifests),
        },
    });
    if !cluster.skip_phases.is_empty() {
        init["skipPhases"] = cluster.skip_phases.iter().cloned().collect();
    }
    if let Some(directory) = &loaded.patches_directory {
        init["patches"] = json!({ "directory": directory });
    }
    with_header(&init, v1beta4::API_VERSION, "InitConfiguration")
}

fn taint(taint: &Taint) -> Value {
    let mut fields = Map::from_iter([("effect".to_owned(), taint.effect.clone().into())]);
    fields.insert("key".to_owned(), taint.key.clone().into());
    if !taint.value.is_empty() {
        fields.insert("value".to_owned(), taint.value.clone().into());
    }
    fields.into()
}

/// The tokens without themselves: a reader learns which there are by their place and description.
fn tokens(cluster: &Cluster) -> Value {
    let token = |token: &crate::cluster::BootstrapToken| {
        let mut fields = json!({ "usages": token.usages, "groups": token.groups });
        match token.end {
            TokenEnd::Never => fields["ttl"] = "0s".into(),
            TokenEnd::After(ttl) => fields["ttl"] = text(ttl),
            TokenEnd::At(_) => {}
        }
        if let Some(token) = &token.token {
            fields["token"] = format!("{}.(secret)", token.id).into();
        }
        if !token.description.is_empty() {
            fields["description"] = token.description.clone().into();
        }
        fields
    };
    cluster.bootstrap_tokens.iter().map(token).collect()
}

fn settings(cluster: &Cluster) -> Value {
    let settings = &cluster.settings;
    let policy = |policy| match policy {
        DriftPolicy::Repair => "Repair",
        DriftPolicy::Report => "Report",
        DriftPolicy::Leave => "Leave",
    };
    let (every, rules) = settings.drift.split_first().map_or((DriftPolicy::Repair, &[][..]), |(f, r)| (f.policy, r));
    let rules: Value =
        rules.iter().map(|rule| json!({ "resources": rule.resources, "policy": policy(rule.policy) })).collect();
    let renew_before = settings.renew_before.map(|before| match before {
        RenewBefore::Time(before) => text(before),
        RenewBefore::Share(hundredths) => format!("{hundredths}%").into(),
    });
    let certificates = renew_before.map_or_else(|| json!({}), |before| json!({ "renewBefore": before }));
    let dynamic = settings
        .kubelet_config_map
        .as_ref()
        .map_or_else(|| json!({ "enabled": false }), |name| json!({ "enabled": true, "configMap": name }));
    let mut status =
        json!({ "address": settings.status_address.map(|address| address.to_string()).unwrap_or_default() });
    if let Some(publish) = settings.publish_status {
        status["publish"] = publish.into();
    }
    let value = json!({
        "drift": { "policy": policy(every), "rules": rules },
        "certificates": certificates,
        "audit": { "enabled": cluster.audit.is_some() },
        "dns": { "type": if cluster.dns.kind == DnsKind::CoreDns { "CoreDNS" } else { "KubeDNS" } },
        "dynamicKubeletConfig": dynamic,
        "filePermissions": if settings.file_modes == FileModes::Cis { "CIS" } else { "Kubeadm" },
        "proxyEnvironment": settings.proxy_environment,
        "status": status,
        "controlPlaneHosting": if settings.hosting == Hosting::SelfHosted { "SelfHosted" } else { "StaticPods" },
        "bootstrapTokens": { "whenEnded": if settings.renew_ended_tokens { "Renew" } else { "Leave" } },
    });
    with_header(&value, planekeeper::API_VERSION, "PlanekeeperConfiguration")
}

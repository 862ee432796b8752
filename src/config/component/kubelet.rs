//! The kubelet's configuration: kubeadm's defaults for the cluster, and what differs on a host.

pub mod limits;
pub mod types;

use serde_json::{Value, json};

use super::{Advice, Completed, read, schema_of, to_value};
use crate::cluster::ComponentConfig;
use crate::problem::Problem;
use types::KubeletConfiguration;

/// The document's kind.
pub const KIND: &str = "KubeletConfiguration";
/// The document's `apiVersion`.
pub const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// Where systemd-resolved keeps the name servers behind its stub, which Pods cannot use.
const SYSTEMD_RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";
const STATIC_POD_PATH: &str = "/etc/kubernetes/manifests";
const HEALTHZ_PORT: i32 = 10248;

/// What kubeadm's defaults are made of.
#[derive(Clone, Copy, Debug)]
pub struct KubeletDefaults<'a> {
    /// The address of the cluster's DNS: the tenth of the first service subnet.
    pub cluster_dns: std::net::IpAddr,
    /// `networking.dnsDomain`.
    pub dns_domain: &'a str,
    /// `certificatesDir`, without a slash at its end.
    pub certificates_dir: &'a str,
}

/// The cluster-wide configuration: the user's document, if there is one, with kubeadm's defaults; and a word for each
/// field where kubeadm recommends something else.
///
/// # Errors
/// Every field of the document that is not what it should be.
pub fn complete(document: Option<&Value>, defaults: &KubeletDefaults) -> Result<Completed, Vec<Problem>> {
    let mut config: KubeletConfiguration = read(KIND, document)?;
    let mut advice = Advice::new(KIND);
    API_VERSION.clone_into(&mut config.api_version);
    KIND.clone_into(&mut config.kind);
    let none = String::new();
    advice.prefer("staticPodPath", &mut config.static_pod_path, &none, STATIC_POD_PATH.to_owned());
    let cluster_dns = vec![defaults.cluster_dns.to_string()];
    // A list that is empty is one, to kubeadm: Pods get the host's name servers.
    if !document.is_some_and(|document| document.get("clusterDNS").is_some_and(Value::is_array)) {
        config.cluster_dns.clone_from(&cluster_dns);
    }
    advice.prefer("clusterDNS", &mut config.cluster_dns, &cluster_dns.clone(), cluster_dns);
    advice.prefer("clusterDomain", &mut config.cluster_domain, &none, defaults.dns_domain.to_owned());
    let authentication = &mut config.authentication;
    let ca = format!("{}/ca.crt", defaults.certificates_dir);
    advice.prefer("authentication.x509.clientCAFile", &mut authentication.x509.client_ca_file, &none, ca);
    advice.prefer_some("authentication.anonymous.enabled", &mut authentication.anonymous.enabled, false);
    advice.prefer("authorization.mode", &mut config.authorization.mode, &none, "Webhook".to_owned());
    advice.prefer_some("authentication.webhook.enabled", &mut authentication.webhook.enabled, true);
    advice.prefer("healthzBindAddress", &mut config.healthz_bind_address, &none, "127.0.0.1".to_owned());
    advice.prefer_some("healthzPort", &mut config.healthz_port, HEALTHZ_PORT);
    advice.prefer("readOnlyPort", &mut config.read_only_port, &0, 0);
    if !config.rotate_certificates && document.is_some_and(|document| document.get("rotateCertificates").is_some()) {
        advice.say("rotateCertificates", "kubeadm makes it true, whatever is written".to_owned());
    }
    config.rotate_certificates = true;
    if config.cgroup_driver.is_empty() {
        "systemd".clone_into(&mut config.cgroup_driver);
    }
    let config = ComponentConfig { value: to_value(&config), user_supplied: document.is_some() };
    Ok((config, advice.said))
}

/// What lies on this host before the patches for `kubeletconfiguration`: beside a running systemd-resolved, its file
/// of name servers, unless `resolvConf` is set.
///
/// The ConfigMap `kubelet-config` has this too where kubeadm is older than 1.37 (see [`for_cluster`]).
#[must_use]
pub fn before_patches(value: &Value, systemd_resolved: bool) -> Value {
    let mut value = value.clone();
    if systemd_resolved && value.get("resolvConf").is_none() {
        value["resolvConf"] = json!(SYSTEMD_RESOLV_CONF);
    }
    value
}

/// What the patched configuration becomes in `/var/lib/kubelet/config.yaml`: the CRI socket of this host is merged in
/// last, over any patch. kubeadm keeps the socket in `instance-config.yaml` for that.
#[must_use]
pub fn after_patches(mut value: Value, cri_socket: &str) -> Value {
    value["containerRuntimeEndpoint"] = json!(cri_socket);
    value
}

/// What the ConfigMap `kubelet-config` holds. The kubeadm of 1.34 and 1.35 lets `resolvConf` of its own host leak into
/// it; planekeeper follows kubeadm 1.37 for 1.36 and later, where that is mended.
#[must_use]
pub fn for_cluster(value: &Value, minor: u32, systemd_resolved: bool) -> Value {
    before_patches(value, systemd_resolved && minor < 36)
}

/// The document's schema.
#[must_use]
pub fn schema() -> schemars::Schema {
    schema_of::<KubeletConfiguration>()
}

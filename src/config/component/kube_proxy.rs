//! kube-proxy's configuration, with kubeadm's defaults.

pub mod types;

use std::net::IpAddr;

use serde_json::Value;

use super::{Advice, Completed, read, schema_of, to_value};
use crate::cluster::ComponentConfig;
use crate::problem::Problem;
use crate::versions::Release;
use types::KubeProxyConfiguration;

/// The document's kind.
pub const KIND: &str = "KubeProxyConfiguration";
/// The document's `apiVersion`.
pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KUBECONFIG: &str = "/var/lib/kube-proxy/kubeconfig.conf";

/// What kubeadm's defaults are made of.
#[derive(Clone, Copy, Debug)]
pub struct KubeProxyDefaults<'a> {
    /// `localAPIEndpoint.advertiseAddress`: its family is that of the wildcard address.
    pub advertise_address: IpAddr,
    /// `networking.podSubnet`.
    pub pod_subnet: Option<&'a str>,
    /// The release, for its default mode.
    pub release: &'a Release,
}

/// The configuration: the user's document, if there is one, with kubeadm's defaults; and a word for each field where
/// kubeadm recommends something else.
///
/// # Errors
/// Every field of the document that is not what it should be.
pub fn complete(document: Option<&Value>, defaults: &KubeProxyDefaults) -> Result<Completed, Vec<Problem>> {
    let mut config: KubeProxyConfiguration = read(KIND, document)?;
    let mut advice = Advice::new(KIND);
    API_VERSION.clone_into(&mut config.api_version);
    KIND.clone_into(&mut config.kind);
    bind_address(&mut config, defaults.advertise_address, &mut advice);
    let none = String::new();
    if let Some(subnet) = defaults.pod_subnet.filter(|subnet| !subnet.is_empty()) {
        advice.prefer("clusterCIDR", &mut config.cluster_cidr, &none, subnet.to_owned());
    }
    let kubeconfig = &mut config.client_connection.kubeconfig;
    advice.prefer("clientConnection.kubeconfig", kubeconfig, &none, KUBECONFIG.to_owned());
    if config.mode == "ipvs" {
        advice.say("mode", "ipvs is deprecated since 1.35; use nftables, or iptables on an older kernel".to_owned());
    }
    if config.mode.is_empty() {
        defaults.release.kube_proxy_mode.clone_into(&mut config.mode);
    }
    let config = ComponentConfig { value: to_value(&config), user_supplied: document.is_some() };
    Ok((config, advice.said))
}

fn bind_address(config: &mut KubeProxyConfiguration, advertised: IpAddr, advice: &mut Advice) {
    let wildcard = |address: IpAddr| if address.is_ipv4() { "0.0.0.0" } else { "::" };
    if config.bind_address.is_empty() {
        wildcard(advertised).clone_into(&mut config.bind_address);
        return;
    }
    let message = match config.bind_address.parse::<IpAddr>() {
        Err(_) => format!("{:?} is not an IP address", config.bind_address),
        Ok(address) if config.bind_address == wildcard(address) => return,
        Ok(address) => format!("is {:?}; kubeadm recommends {:?}", config.bind_address, wildcard(address)),
    };
    advice.say("bindAddress", message);
}

/// The document's schema.
#[must_use]
pub fn schema() -> schemars::Schema {
    schema_of::<KubeProxyConfiguration>()
}

//! The kubelet's flags and configuration.

mod follow;
pub mod serving;

use serde_json::Value;

use crate::cluster::{Arg, Cluster, FileModes};
use crate::config::component::kubelet;
use crate::desired::arguments::{arg, flags, last};
use crate::desired::directories;
use crate::desired::origins::Origins;
use crate::facts::Facts;
use crate::followed;
use crate::images;
use crate::patch::{self, MergeSchema};
use crate::resource::{Content, Desired, Effect, FileSpec, Id, Origin, Resource, Spec};

const PHASE: &str = "kubelet-start";
/// The flags, as systemd's `EnvironmentFile`.
const FLAGS: &str = "kubeadm-flags.env";
/// The configuration.
const CONFIGURATION: &str = "config.yaml";
/// What of it is this host's own, for kubeadm to find when it upgrades.
const INSTANCE_CONFIGURATION: &str = "instance-config.yaml";

/// The kubelet's files.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    let node = "InitConfiguration.nodeRegistration";
    let origins = Origins::of(cluster)
        .arguments(&cluster.node.kubelet_extra_args, "InitConfiguration.nodeRegistration.kubeletExtraArgs")
        .field("--hostname-override", "InitConfiguration.nodeRegistration.name")
        .field("--pod-infra-container-image", "ClusterConfiguration.imageRepository")
        .field("", node)
        .list();
    desired.push(file(cluster, facts, FLAGS, Content::Text(environment_file(cluster, facts)), origins));
    if local_cri_socket(cluster) {
        let origins = Origins::of(cluster).field("", "InitConfiguration.nodeRegistration.criSocket").list();
        let text = format!("containerRuntimeEndpoint: {:?}\n", cluster.node.cri_socket);
        desired.push(file(cluster, facts, INSTANCE_CONFIGURATION, Content::Text(text), origins));
    }
    let followed = followed::text(cluster, facts);
    let origins = Origins::of(cluster);
    let origins = match followed {
        Some(text) => origins.lines(&text.lines, "KubeletConfiguration"),
        None => origins.field("", "KubeletConfiguration"),
    };
    let origins = origins
        .field(".containerRuntimeEndpoint", "InitConfiguration.nodeRegistration.criSocket")
        .field(".clusterDNS", "ClusterConfiguration.networking.serviceSubnet")
        .field(".clusterDomain", "ClusterConfiguration.networking.dnsDomain")
        .list();
    let configuration = configuration(cluster, facts);
    desired.extend(serving::desired(cluster, facts, &configuration));
    desired.push(file(cluster, facts, CONFIGURATION, Content::Yaml(configuration), origins));
    desired.extend(follow::desired(cluster, facts));
    desired
}

/// The configuration's path.
pub(super) fn configuration_path() -> String {
    format!("{}/{CONFIGURATION}", directories::KUBELET)
}

fn file(cluster: &Cluster, facts: &Facts, name: &str, content: Content, origins: Vec<Origin>) -> Resource {
    let path = format!("{}/{name}", directories::KUBELET);
    let mode = match cluster.settings.file_modes {
        FileModes::Kubeadm => 0o644,
        FileModes::Cis => 0o600,
    };
    let spec =
        FileSpec { path: path.clone(), content, mode, owner: facts.owner, effect: Effect::RestartKubelet, pod: None };
    let needs = vec![Id::directory(directories::KUBELET)];
    Resource::present(Id::file(&path), PHASE, needs, Spec::File(spec)).from(origins)
}

/// The container runtime's socket stands in the host's configuration rather than among the flags. kubeadm 1.34 and 1.35
/// let a feature gate switch this off; later ones lock the gate.
fn local_cri_socket(cluster: &Cluster) -> bool {
    cluster.feature_gates.get("NodeLocalCRISocket") != Some(&false)
}

/// `KUBELET_KUBEADM_ARGS="…"`. Taints are not among the flags: kubeadm sets those of a control plane's Node over the API.
fn environment_file(cluster: &Cluster, facts: &Facts) -> String {
    let flags = flags(base_arguments(cluster, facts), &cluster.node.kubelet_extra_args).join(" ");
    format!("KUBELET_KUBEADM_ARGS={flags:?}\n")
}

fn base_arguments(cluster: &Cluster, facts: &Facts) -> Vec<Arg> {
    let mut arguments = Vec::new();
    if !local_cri_socket(cluster) {
        arguments.push(arg("container-runtime-endpoint", &cluster.node.cri_socket));
    }
    if cluster.release.pod_infra_container_image_flag {
        arguments.push(arg("pod-infra-container-image", images::pause(cluster)));
    }
    let name = last(&cluster.node.kubelet_extra_args, "hostname-override").unwrap_or(&cluster.node.name);
    // Kubernetes takes a host's name in lower case.
    if name != facts.hostname.to_lowercase() {
        arguments.push(arg("hostname-override", name));
    }
    arguments
}

/// The cluster's configuration, what this host adds, the user's patches, and last this host's own. Every patch was tried
/// when the configuration was loaded, so that one that does not apply never gets here.
fn configuration(cluster: &Cluster, facts: &Facts) -> Value {
    let value = kubelet::before_patches(followed::in_force(cluster, facts), facts.systemd_resolved);
    let value = patch::apply("kubeletconfiguration", MergeSchema::Kubelet, &value, &cluster.patches).unwrap_or(value);
    if local_cri_socket(cluster) { kubelet::after_patches(value, &cluster.node.cri_socket) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    fn on(hostname: &str) -> Facts {
        Facts { hostname: hostname.to_owned(), ..Facts::default() }
    }

    #[test]
    fn the_kubelet_is_told_a_name_only_if_the_host_has_another() {
        let mut cluster = fixture();
        assert_eq!(environment_file(&cluster, &on("CP1")), "KUBELET_KUBEADM_ARGS=\"\"\n");
        assert_eq!(environment_file(&cluster, &on("host")), "KUBELET_KUBEADM_ARGS=\"--hostname-override=cp1\"\n");
        cluster.node.kubelet_extra_args = vec![arg("hostname-override", "cp2"), arg("v", "2")];
        let file = environment_file(&cluster, &on("cp1"));
        assert_eq!(file, "KUBELET_KUBEADM_ARGS=\"--hostname-override=cp2 --v=2\"\n");
    }
}

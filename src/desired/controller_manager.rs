//! kube-controller-manager as a static Pod.

use crate::cluster::{Arg, Cluster};
use crate::desired::arguments::{arg, command, last};
use crate::desired::origins::Origins;
use crate::desired::static_pod::{self, Probes, StaticPod};
use crate::desired::volumes::Mounts;
use crate::desired::{kubeconfig, pki};
use crate::facts::Facts;
use crate::images;
use crate::resource::{Desired, Id};

/// The Pod's name.
pub const NAME: &str = "kube-controller-manager";
const KUBECONFIG: &str = "controller-manager.conf";
const PORT: u16 = 10257;
/// Where the kubelet looks for FlexVolume plugins.
const FLEXVOLUME: &str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

/// The manifest.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let component = &cluster.controller_manager;
    let pod = StaticPod {
        name: NAME,
        image: images::kubernetes(cluster, NAME),
        command: command(NAME, base_arguments(cluster, facts), &component.extra_args),
        env: static_pod::environment(&cluster.settings.proxy_environment, &component.extra_envs),
        mounts: mounts(cluster, facts).list(),
        requests: [("cpu", "200m")].into(),
        probes: Probes {
            host: static_pod::probe_host(last(&component.extra_args, "bind-address").unwrap_or("127.0.0.1")),
            port: PORT,
            tls: true,
            liveness: "/healthz",
            readiness: None,
            startup: "/healthz",
            startup_timeout: cluster.timeouts.control_plane_component_health_check,
        },
        annotations: [].into(),
    };
    let needs = vec![
        Id::certificate(pki::CLUSTER_CA),
        Id::certificate(pki::FRONT_PROXY_CA),
        Id::key_pair("sa"),
        Id::kubeconfig(KUBECONFIG),
    ];
    let origins = Origins::of(cluster)
        .arguments(&component.extra_args, "ClusterConfiguration.controllerManager.extraArgs")
        .field("--allocate-node-cidrs", "ClusterConfiguration.networking.podSubnet")
        .field("--cluster-cidr", "ClusterConfiguration.networking.podSubnet")
        .field("--service-cluster-ip-range", "ClusterConfiguration.networking.serviceSubnet")
        .field("--cluster-name", "ClusterConfiguration.clusterName")
        .field(".spec.containers[kube-controller-manager].image", "ClusterConfiguration.imageRepository")
        .field(".spec.containers[kube-controller-manager].env", "ClusterConfiguration.controllerManager.extraEnvs")
        .field(".spec.volumes", "ClusterConfiguration.controllerManager.extraVolumes")
        .field(
            ".spec.containers[kube-controller-manager].volumeMounts",
            "ClusterConfiguration.controllerManager.extraVolumes",
        )
        .patched("ClusterConfiguration.controllerManager")
        .list();
    let mut desired = Desired::default();
    desired.push(static_pod::resource(cluster, facts, "control-plane/controller-manager", &pod, needs, origins));
    desired
}

fn mounts(cluster: &Cluster, facts: &Facts) -> Mounts {
    let component = &cluster.controller_manager;
    let mut mounts = Mounts::default()
        .certificates(cluster)
        .ca_certificates(facts)
        .file("kubeconfig", &kubeconfig::path(KUBECONFIG));
    if cluster.release.flexvolume {
        // Plugins talk over sockets in there.
        let path = last(&component.extra_args, "flex-volume-plugin-dir").unwrap_or(FLEXVOLUME);
        mounts = mounts.folder("flexvolume-dir", path, false);
    }
    mounts.extra(&component.extra_volumes)
}

fn base_arguments(cluster: &Cluster, facts: &Facts) -> Vec<Arg> {
    let ca = pki::ca(cluster, pki::CLUSTER_CA);
    let kubeconfig = kubeconfig::path(KUBECONFIG);
    // Without the CA's key the signing controllers must not start: empty paths keep them off.
    let (signing_certificate, signing_key) =
        if facts.external_ca { (String::new(), String::new()) } else { (ca.certificate.clone(), ca.key) };
    let mut arguments = vec![
        arg("authentication-kubeconfig", &kubeconfig),
        arg("authorization-kubeconfig", &kubeconfig),
        arg("bind-address", "127.0.0.1"),
        arg("client-ca-file", &ca.certificate),
        arg("cluster-signing-cert-file", signing_certificate),
        arg("cluster-signing-key-file", signing_key),
        arg("controllers", "*,bootstrapsigner,tokencleaner"),
        arg("kubeconfig", &kubeconfig),
        arg("leader-elect", "true"),
        arg("requestheader-client-ca-file", pki::path(cluster, "front-proxy-ca.crt")),
        arg("root-ca-file", &ca.certificate),
        arg("service-account-private-key-file", pki::path(cluster, "sa.key")),
        arg("use-service-account-credentials", "true"),
    ];
    if !cluster.name.is_empty() {
        arguments.push(arg("cluster-name", &cluster.name));
    }
    if let Some(pods) = &cluster.networking.pod_subnet {
        arguments.push(arg("allocate-node-cidrs", "true"));
        arguments.push(arg("cluster-cidr", pods));
        arguments.push(arg("service-cluster-ip-range", &cluster.networking.service_subnet));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    #[test]
    fn without_the_cas_key_nothing_is_signed() {
        let facts = Facts { external_ca: true, ..Facts::default() };
        let arguments = base_arguments(&fixture(), &facts);
        assert_eq!(last(&arguments, "cluster-signing-key-file"), Some(""));
        assert_eq!(last(&arguments, "cluster-signing-cert-file"), Some(""));
        assert_eq!(last(&arguments, "root-ca-file"), Some("/etc/kubernetes/pki/ca.crt"));
    }
}

//! Kubeconfigs in `/etc/kubernetes`.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::desired::origins::Origins;
use crate::desired::{directories, pki};
use crate::facts::Facts;
use crate::resource::{Desired, Effect, Id, KubeconfigSpec, Profile, Resource, Rotated, Spec};

/// Names of the files, in the order in which kubeadm writes them.
pub const NAMES: [&str; 5] =
    ["admin.conf", "super-admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf"];

/// The kubelet's.
pub const KUBELET: &str = NAMES[2];

/// Where the kubelet keeps the certificate that it renews by itself: a link to the newest one.
pub const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// One kubeconfig.
struct Kubeconfig {
    name: &'static str,
    phase: &'static str,
    user: String,
    organization: Option<&'static str>,
    /// Through `controlPlaneEndpoint` rather than to this host's API server.
    shared_endpoint: bool,
    effect: Effect,
}

/// Every kubeconfig.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    for kubeconfig in kubeconfigs(cluster) {
        desired.push(resource(cluster, facts, &kubeconfig));
    }
    desired
}

fn kubeconfigs(cluster: &Cluster) -> [Kubeconfig; 5] {
    // A kubelet of a newer version than another host's API server must not reach that one, so it talks to its own.
    // kubeadm 1.34 lets a feature gate switch this off; later ones lock the gate.
    let kubelet_is_local = cluster.feature_gates.get("ControlPlaneKubeletLocalMode") != Some(&false);
    let kubeconfig = |name, phase, user: &str, organization, shared_endpoint, effect| Kubeconfig {
        name,
        phase,
        user: user.to_owned(),
        organization,
        shared_endpoint,
        effect,
    };
    let [admin, super_admin, kubelet, controller_manager, scheduler] = NAMES;
    let node = format!("system:node:{}", cluster.node.name);
    [
        kubeconfig(admin, "kubeconfig/admin", "kubernetes-admin", Some("kubeadm:cluster-admins"), true, Effect::None),
        kubeconfig(
            super_admin,
            "kubeconfig/super-admin",
            "kubernetes-super-admin",
            Some("system:masters"),
            true,
            Effect::None,
        ),
        kubeconfig(
            kubelet,
            "kubeconfig/kubelet",
            &node,
            Some("system:nodes"),
            !kubelet_is_local,
            Effect::RestartKubelet,
        ),
        kubeconfig(
            controller_manager,
            "kubeconfig/controller-manager",
            "system:kube-controller-manager",
            None,
            false,
            Effect::Restart("kube-controller-manager"),
        ),
        kubeconfig(
            scheduler,
            "kubeconfig/scheduler",
            "system:kube-scheduler",
            None,
            false,
            Effect::Restart("kube-scheduler"),
        ),
    ]
}

fn resource(cluster: &Cluster, facts: &Facts, kubeconfig: &Kubeconfig) -> Resource {
    let local = cluster.endpoint.host_port();
    let shared = cluster.control_plane_endpoint.as_ref().filter(|_| kubeconfig.shared_endpoint);
    let is_kubelet = kubeconfig.effect == Effect::RestartKubelet;
    let spec = KubeconfigSpec {
        path: path(kubeconfig.name),
        cluster: cluster.name.clone(),
        server: format!("https://{}", shared.unwrap_or(&local)),
        user: kubeconfig.user.clone(),
        profile: Profile {
            common_name: kubeconfig.user.clone(),
            organization: kubeconfig.organization.map(str::to_owned),
            dns_names: [].into(),
            ip_addresses: [].into(),
            server: false,
            client: true,
            algorithm: cluster.key_algorithm,
            validity: cluster.certificate_validity,
            renew_before: cluster.settings.renew_before,
            early: pki::early(cluster, kubeconfig.name),
        },
        issuer: pki::ca(cluster, pki::CLUSTER_CA),
        rotated: is_kubelet.then(|| Rotated { path: KUBELET_CLIENT.to_owned(), required: rotates(cluster, facts) }),
        mode: 0o600,
        owner: facts.owner,
        effect: kubeconfig.effect.clone(),
    };
    let server = if shared.is_some() {
        "ClusterConfiguration.controlPlaneEndpoint"
    } else {
        "InitConfiguration.localAPIEndpoint"
    };
    let origins = Origins::of(cluster)
        .field("server", server)
        .field("cluster", "ClusterConfiguration.clusterName")
        .field("key", "ClusterConfiguration.encryptionAlgorithm")
        .field("validity", "ClusterConfiguration.certificateValidityPeriod")
        .field("renewal", "PlanekeeperConfiguration.renewBefore");
    let origins = if is_kubelet { origins.field("user", "InitConfiguration.nodeRegistration.name") } else { origins };
    let mut needs = vec![Id::directory(directories::KUBERNETES), Id::certificate(pki::CLUSTER_CA)];
    if is_kubelet && rotates(cluster, facts) {
        needs.push(Id::directory(directories::KUBELET_PKI));
    }
    Resource::present(Id::kubeconfig(kubeconfig.name), kubeconfig.phase, needs, Spec::Kubeconfig(spec))
        .from(origins.list())
}

/// The kubelet of a live host renews its client certificate by itself, as kubeadm's phase `kubelet-finalize` sees to: its kubeconfig
/// names the file in which it does.
fn rotates(cluster: &Cluster, facts: &Facts) -> bool {
    let rotates = cluster.kubelet.value.get("rotateCertificates").and_then(Value::as_bool).unwrap_or(true);
    facts.live && rotates
}

/// The path of a kubeconfig, by its file's name.
#[must_use]
pub fn path(name: &str) -> String {
    format!("{}/{name}", directories::KUBERNETES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::resource::Want;

    #[test]
    fn only_people_go_through_the_shared_endpoint() {
        let cluster = Cluster { control_plane_endpoint: Some("lb.example.com:8443".to_owned()), ..fixture() };
        let servers: Vec<_> = desired(&cluster, &Facts::default())
            .resources
            .into_iter()
            .map(|resource| match resource.want {
                Want::Present(Spec::Kubeconfig(spec)) => spec.server,
                other => panic!("{other:?}"),
            })
            .collect();
        let (shared, local) = ("https://lb.example.com:8443", "https://10.0.0.10:6443");
        assert_eq!(servers, [shared, shared, local, local, local]);
    }
}

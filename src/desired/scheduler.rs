//! kube-scheduler as a static Pod.

use crate::cluster::Cluster;
use crate::desired::arguments::{arg, command, last};
use crate::desired::kubeconfig;
use crate::desired::origins::Origins;
use crate::desired::static_pod::{self, Probes, StaticPod};
use crate::desired::volumes::Mounts;
use crate::facts::Facts;
use crate::images;
use crate::resource::{Desired, Id};

/// The Pod's name.
pub const NAME: &str = "kube-scheduler";
const KUBECONFIG: &str = "scheduler.conf";
const PORT: u16 = 10259;

/// The manifest.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let component = &cluster.scheduler;
    let kubeconfig = kubeconfig::path(KUBECONFIG);
    let base = vec![
        arg("authentication-kubeconfig", &kubeconfig),
        arg("authorization-kubeconfig", &kubeconfig),
        arg("bind-address", "127.0.0.1"),
        arg("kubeconfig", &kubeconfig),
        arg("leader-elect", "true"),
    ];
    let pod = StaticPod {
        name: NAME,
        image: images::kubernetes(cluster, NAME),
        command: command(NAME, base, &component.extra_args),
        env: static_pod::environment(&cluster.settings.proxy_environment, &component.extra_envs),
        mounts: Mounts::default().file("kubeconfig", &kubeconfig).extra(&component.extra_volumes).list(),
        requests: [("cpu", "100m")].into(),
        probes: Probes {
            host: static_pod::probe_host(last(&component.extra_args, "bind-address").unwrap_or("127.0.0.1")),
            port: PORT,
            tls: true,
            liveness: "/livez",
            readiness: Some("/readyz"),
            startup: "/livez",
            startup_timeout: cluster.timeouts.control_plane_component_health_check,
        },
        annotations: [].into(),
    };
    let origins = Origins::of(cluster)
        .arguments(&component.extra_args, "ClusterConfiguration.scheduler.extraArgs")
        .field(".spec.containers[kube-scheduler].image", "ClusterConfiguration.imageRepository")
        .field(".spec.containers[kube-scheduler].env", "ClusterConfiguration.scheduler.extraEnvs")
        .field(".spec.volumes", "ClusterConfiguration.scheduler.extraVolumes")
        .field(".spec.containers[kube-scheduler].volumeMounts", "ClusterConfiguration.scheduler.extraVolumes")
        .patched("ClusterConfiguration.scheduler")
        .list();
    let needs = vec![Id::kubeconfig(KUBECONFIG)];
    let mut desired = Desired::default();
    desired.push(static_pod::resource(cluster, facts, "control-plane/scheduler", &pod, needs, origins));
    desired
}

//! kube-apiserver as a static Pod.

use crate::cluster::{Arg, Cluster, Etcd};
use crate::desired::arguments::{arg, command, last};
use crate::desired::origins::Origins;
use crate::desired::static_pod::{self, Probes, StaticPod};
use crate::desired::volumes::Mounts;
use crate::desired::{audit, etcd, pki};
use crate::facts::Facts;
use crate::images;
use crate::resource::{Desired, Id, Origin};

/// The Pod's name.
pub const NAME: &str = "kube-apiserver";

/// The manifest.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let component = &cluster.api_server;
    let address = cluster.endpoint.address.to_string();
    let mut base = base_arguments(cluster);
    base.extend(etcd_arguments(cluster));
    base.extend(audit::arguments(cluster));
    let pod = StaticPod {
        name: NAME,
        image: images::kubernetes(cluster, NAME),
        command: command(NAME, base, &component.extra_args),
        env: static_pod::environment(&cluster.settings.proxy_environment, &component.extra_envs),
        mounts: mounts(cluster, facts).list(),
        requests: [("cpu", "250m")].into(),
        probes: Probes {
            host: static_pod::probe_host(&address),
            port: cluster.endpoint.port,
            tls: true,
            liveness: "/livez",
            readiness: Some("/readyz"),
            startup: "/livez",
            startup_timeout: cluster.timeouts.control_plane_component_health_check,
        },
        annotations: [(
            "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
            cluster.endpoint.host_port(),
        )]
        .into(),
    };
    let mut desired = Desired::default();
    desired.push(static_pod::resource(
        cluster,
        facts,
        "control-plane/apiserver",
        &pod,
        needs(cluster),
        origins(cluster),
    ));
    desired
}

/// What it reads when it starts; and etcd first, so that it does not start only to wait.
fn needs(cluster: &Cluster) -> Vec<Id> {
    let mut needs: Vec<_> =
        [pki::CLUSTER_CA, "apiserver", "apiserver-kubelet-client", pki::FRONT_PROXY_CA, "front-proxy-client"]
            .map(Id::certificate)
            .into();
    needs.push(Id::key_pair("sa"));
    if matches!(cluster.etcd, Etcd::Local(_)) {
        needs.extend([pki::ETCD_CA, "apiserver-etcd-client"].map(Id::certificate));
        needs.push(Id::file(&static_pod::path(etcd::NAME)));
    }
    needs.extend(audit::needs(cluster));
    needs
}

fn mounts(cluster: &Cluster, facts: &Facts) -> Mounts {
    let mut mounts = Mounts::default().certificates(cluster).ca_certificates(facts);
    if let Etcd::External(etcd) = &cluster.etcd {
        mounts = mounts.external_etcd(etcd, &cluster.certificates_dir);
    }
    audit::mounts(cluster, mounts).extra(&cluster.api_server.extra_volumes)
}

fn base_arguments(cluster: &Cluster) -> Vec<Arg> {
    let file = |file| pki::path(cluster, file);
    let mut arguments = vec![
        arg("advertise-address", cluster.endpoint.address.to_string()),
        arg("allow-privileged", "true"),
        arg("client-ca-file", file("ca.crt")),
        arg("enable-admission-plugins", "NodeRestriction"),
        arg("enable-bootstrap-token-auth", "true"),
        arg("kubelet-client-certificate", file("apiserver-kubelet-client.crt")),
        arg("kubelet-client-key", file("apiserver-kubelet-client.key")),
        arg("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
        arg("proxy-client-cert-file", file("front-proxy-client.crt")),
        arg("proxy-client-key-file", file("front-proxy-client.key")),
        arg("requestheader-allowed-names", "front-proxy-client"),
        arg("requestheader-client-ca-file", file("front-proxy-ca.crt")),
        arg("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        arg("requestheader-group-headers", "X-Remote-Group"),
        arg("requestheader-username-headers", "X-Remote-User"),
        arg("secure-port", cluster.endpoint.port.to_string()),
        arg("service-account-issuer", format!("https://kubernetes.default.svc.{}", cluster.networking.dns_domain)),
        arg("service-account-key-file", file("sa.pub")),
        arg("service-account-signing-key-file", file("sa.key")),
        arg("service-cluster-ip-range", &cluster.networking.service_subnet),
        arg("tls-cert-file", file("apiserver.crt")),
        arg("tls-private-key-file", file("apiserver.key")),
    ];
    // The API server refuses a file of authorizers beside a list of modes.
    if last(&cluster.api_server.extra_args, "authorization-config").is_none() {
        arguments.push(arg("authorization-mode", "Node,RBAC"));
    }
    arguments
}

fn etcd_arguments(cluster: &Cluster) -> Vec<Arg> {
    let file = |file| pki::path(cluster, file);
    match &cluster.etcd {
        Etcd::Local(local) => {
            let url = last(&local.extra_args, "advertise-client-urls").map(str::to_owned);
            vec![
                arg("etcd-servers", url.unwrap_or_else(|| etcd::local_url(cluster))),
                arg("etcd-cafile", file("etcd/ca.crt")),
                arg("etcd-certfile", file("apiserver-etcd-client.crt")),
                arg("etcd-keyfile", file("apiserver-etcd-client.key")),
            ]
        }
        Etcd::External(external) => {
            let mut arguments = vec![arg("etcd-servers", external.endpoints.join(","))];
            if !external.ca_file.is_empty() {
                arguments.push(arg("etcd-cafile", &external.ca_file));
            }
            if !external.cert_file.is_empty() && !external.key_file.is_empty() {
                arguments.push(arg("etcd-certfile", &external.cert_file));
                arguments.push(arg("etcd-keyfile", &external.key_file));
            }
            arguments
        }
    }
}

fn origins(cluster: &Cluster) -> Vec<Origin> {
    let mut origins = Origins::of(cluster)
        .arguments(&cluster.api_server.extra_args, "ClusterConfiguration.apiServer.extraArgs")
        .field("--advertise-address", "InitConfiguration.localAPIEndpoint.advertiseAddress")
        .field("--secure-port", "InitConfiguration.localAPIEndpoint.bindPort")
        .field("--service-cluster-ip-range", "ClusterConfiguration.networking.serviceSubnet")
        .field("--service-account-issuer", "ClusterConfiguration.networking.dnsDomain")
        .field("--etcd-servers", "ClusterConfiguration.etcd")
        .field(".spec.containers[kube-apiserver].image", "ClusterConfiguration.imageRepository")
        .field(".spec.containers[kube-apiserver].env", "ClusterConfiguration.apiServer.extraEnvs")
        .field(".spec.volumes", "ClusterConfiguration.apiServer.extraVolumes")
        .field(".spec.containers[kube-apiserver].volumeMounts", "ClusterConfiguration.apiServer.extraVolumes")
        .patched("ClusterConfiguration.apiServer");
    for argument in audit::arguments(cluster) {
        origins = origins.field(&format!("--{}", argument.name), "PlanekeeperConfiguration.audit");
    }
    origins.list()
}

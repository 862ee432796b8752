//! CoreDNS, as kubeadm deploys it; the same in every release that planekeeper knows but for the image.

use serde_json::{Value, json};

use crate::cluster::{Cluster, DnsKind};
use crate::facts::Facts;
use crate::images;
use crate::patch::MergeSchema;
use crate::resource::{Desired, Resource};

use super::object::{SYSTEM, absent, config_map, object, patched, service_account};
use super::rbac::{self, cluster_role, cluster_role_binding, rule};

/// kubeadm's phase for the cluster's DNS, whichever server it is.
pub(super) const PHASE: &str = "addon/coredns";
const NAME: &str = "coredns";
const ROLE: &str = "system:coredns";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// CoreDNS; or its absence, where the cluster's DNS is another server.
#[must_use]
pub fn desired(cluster: &Cluster, _facts: &Facts) -> Desired {
    let resources = match (cluster.dns.disabled, cluster.dns.kind) {
        (true, _) => Vec::new(),
        (false, DnsKind::CoreDns) => present(cluster),
        (false, DnsKind::KubeDns) => one_after_the_other(vec![
            absent(PHASE, "apps/v1", "Deployment", Some(SYSTEM), NAME),
            absent(PHASE, "v1", "ConfigMap", Some(SYSTEM), NAME),
            absent(PHASE, RBAC, "ClusterRoleBinding", None, ROLE),
            absent(PHASE, RBAC, "ClusterRole", None, ROLE),
            absent(PHASE, "v1", "ServiceAccount", Some(SYSTEM), NAME),
        ]),
    };
    Desired { resources, ..Desired::default() }
}

/// What a server runs with goes after the server.
pub(super) fn one_after_the_other(mut objects: Vec<Resource>) -> Vec<Resource> {
    for index in 1..objects.len() {
        let before = objects[index - 1].id.clone();
        objects[index].needs.push(before);
    }
    objects
}

fn present(cluster: &Cluster) -> Vec<Resource> {
    let rules = [
        rule(&["list", "watch"], "", &["endpoints", "services", "pods", "namespaces"]),
        rule(&["list", "watch"], "discovery.k8s.io", &["endpointslices"]),
    ];
    let domain = "ClusterConfiguration.networking.dnsDomain";
    let configuration = config_map(SYSTEM, NAME, [("Corefile", corefile(&cluster.networking.dns_domain))]);
    let mut service = service(cluster, "CoreDNS");
    service["metadata"]["annotations"] = json!({"prometheus.io/port": "9153", "prometheus.io/scrape": "true"});
    service["spec"]["ports"] =
        json!([port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP"), port("metrics", 9153, "TCP")]);
    vec![
        object(cluster, PHASE, configuration, &[(".data.Corefile", domain)]),
        Resource::object(PHASE, cluster_role(ROLE, &rules)),
        Resource::object(PHASE, cluster_role_binding(ROLE, ROLE, &[rbac::service_account(SYSTEM, NAME)])),
        Resource::object(PHASE, service_account(NAME)),
        object(
            cluster,
            PHASE,
            patched(cluster, "corednsdeployment", MergeSchema::PodTemplate, deployment(cluster)),
            &[(".spec.template.spec.containers", "ClusterConfiguration.dns")],
        ),
        object(cluster, PHASE, service, &[(".spec.clusterIP", "ClusterConfiguration.networking.serviceSubnet")]),
    ]
}

/// The Service that every Pod's `resolv.conf` points to, without ports. Its name is the same for each server, so that the
/// cluster's DNS may change without its address.
pub(super) fn service(cluster: &Cluster, server: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": SYSTEM,
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": server,
            },
        },
        "spec": {
            "clusterIP": cluster.networking.dns_address.to_string(),
            "selector": {"k8s-app": "kube-dns"},
        },
    })
}

/// A port of that Service.
pub(super) fn port(name: &str, port: u16, protocol: &str) -> Value {
    json!({"name": name, "port": port, "protocol": protocol, "targetPort": port})
}

/// One server on every address, for the cluster's names and for those of the outside.
fn corefile(domain: &str) -> String {
    format!(
        "\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success {domain}
       disable denial {domain}
    }}
    loop
    reload
    loadbalance
}}
"
    )
}

fn deployment(cluster: &Cluster) -> Value {
    let labels = json!({"k8s-app": "kube-dns"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": SYSTEM, "labels": labels},
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": NAME,
                    "affinity": spread(),
                    "tolerations": tolerations(),
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "containers": [container(&images::coredns(cluster))],
                    "dnsPolicy": "Default",
                    "volumes": [{
                        "name": "config-volume",
                        "configMap": {"name": NAME, "items": [{"key": "Corefile", "path": "Corefile"}]},
                    }],
                },
            },
        },
    })
}

/// Two servers share a node only where there is no other.
pub(super) fn spread() -> Value {
    let servers = json!({"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]});
    json!({
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {"labelSelector": servers, "topologyKey": "kubernetes.io/hostname"},
            }],
        },
    })
}

/// DNS may run on a control plane, which is at first the only node there is.
pub(super) fn tolerations() -> Value {
    json!([
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
    ])
}

fn container(image: &str) -> Value {
    let port =
        |name: &str, port: u16, protocol: &str| json!({"name": name, "containerPort": port, "protocol": protocol});
    json!({
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {
            "limits": {"memory": "170Mi"},
            "requests": {"cpu": "100m", "memory": "70Mi"},
        },
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}],
        "ports": [
            port("dns", 53, "UDP"),
            port("dns-tcp", 53, "TCP"),
            port("metrics", 9153, "TCP"),
            port("liveness-probe", 8080, "TCP"),
            port("readiness-probe", 8181, "TCP"),
        ],
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": "liveness-probe", "scheme": "HTTP"},
            "initialDelaySeconds": 60,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 5,
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "readiness-probe", "scheme": "HTTP"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::desired::kube_dns;
    use crate::resource::{Id, Want};

    fn ids(desired: &Desired, present: bool) -> Vec<&Id> {
        let wanted = desired.resources.iter().filter(|r| matches!(r.want, Want::Present(_)) == present);
        wanted.map(|resource| &resource.id).collect()
    }

    #[test]
    fn one_server_replaces_the_other_behind_the_same_service() {
        let mut cluster = fixture();
        let service = Id::object("Service", Some(SYSTEM), "kube-dns");
        for kind in [DnsKind::CoreDns, DnsKind::KubeDns] {
            cluster.dns.kind = kind;
            let mut both = desired(&cluster, &Facts::default());
            both.extend(kube_dns::desired(&cluster, &Facts::default()));
            assert_eq!(ids(&both, true).iter().filter(|id| **id == &service).count(), 1);
            assert!(!ids(&both, false).contains(&&service));
            let deployment = |name| Id::object("Deployment", Some(SYSTEM), name);
            let (here, gone) = if kind == DnsKind::CoreDns { (NAME, "kube-dns") } else { ("kube-dns", NAME) };
            assert!(ids(&both, true).contains(&&deployment(here)));
            assert!(ids(&both, false).contains(&&deployment(gone)));
        }
    }

    #[test]
    fn disabled_dns_is_left_to_whoever_provides_it() {
        let mut cluster = fixture();
        cluster.dns.disabled = true;
        assert!(desired(&cluster, &Facts::default()).resources.is_empty());
        assert!(kube_dns::desired(&cluster, &Facts::default()).resources.is_empty());
    }
}

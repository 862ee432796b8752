//! KubeDNS, the older DNS server of Kubernetes, for clusters that still rely on it: three containers in a Pod.
//!
//! The figures are those of Kubernetes' own add-on `cluster/addons/dns/kube-dns`. Its role `system:kube-dns` and the role's
//! binding are the API server's own (its bootstrap policy), so they are not here.

use serde_json::{Value, json};

use crate::cluster::{Cluster, DnsKind};
use crate::facts::Facts;
use crate::images;
use crate::resource::{Desired, Resource};

use super::coredns::{PHASE, one_after_the_other, port, service, spread, tolerations};
use super::object::{SYSTEM, absent, object, service_account};

const NAME: &str = "kube-dns";

/// The port of the sidecar, which answers for the health of the two others.
const HEALTH_PORT: u16 = 10054;

/// KubeDNS; or its absence, where the cluster's DNS is another server.
#[must_use]
pub fn desired(cluster: &Cluster, _facts: &Facts) -> Desired {
    let resources = match (cluster.dns.disabled, cluster.dns.kind) {
        (true, _) => Vec::new(),
        (false, DnsKind::KubeDns) => present(cluster),
        // The ConfigMap stays: what is in it is not ours.
        (false, DnsKind::CoreDns) => one_after_the_other(vec![
            absent(PHASE, "apps/v1", "Deployment", Some(SYSTEM), NAME),
            absent(PHASE, "v1", "ServiceAccount", Some(SYSTEM), NAME),
        ]),
    };
    Desired { resources, ..Desired::default() }
}

fn present(cluster: &Cluster) -> Vec<Resource> {
    // Stub domains and upstream servers are data that people put there, so it is wanted without any.
    let configuration = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": SYSTEM},
    });
    let mut service = service(cluster, "KubeDNS");
    service["spec"]["ports"] = json!([port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP")]);
    vec![
        Resource::object(PHASE, configuration),
        Resource::object(PHASE, service_account(NAME)),
        object(
            cluster,
            PHASE,
            deployment(cluster),
            &[
                (".spec.template.spec.containers", "ClusterConfiguration.dns"),
                ("", "PlanekeeperConfiguration.dns.type"),
            ],
        ),
        object(cluster, PHASE, service, &[(".spec.clusterIP", "ClusterConfiguration.networking.serviceSubnet")]),
    ]
}

fn deployment(cluster: &Cluster) -> Value {
    let labels = json!({"k8s-app": NAME});
    let domain = &cluster.networking.dns_domain;
    let [server_image, cache_image, sidecar_image] = images::kube_dns(cluster);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": NAME,
            "namespace": SYSTEM,
            "labels": {"k8s-app": NAME, "kubernetes.io/cluster-service": "true"},
        },
        // No replicas: an autoscaler may set them.
        "spec": {
            "strategy": {"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"prometheus.io/port": HEALTH_PORT.to_string(), "prometheus.io/scrape": "true"},
                },
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "securityContext": {
                        "seccompProfile": {"type": "RuntimeDefault"},
                        "supplementalGroups": [65534],
                        "fsGroup": 65534,
                    },
                    "affinity": spread(),
                    "tolerations": tolerations(),
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "volumes": [{"name": "kube-dns-config", "configMap": {"name": NAME, "optional": true}}],
                    "containers": [server(&server_image, domain), cache(&cache_image, domain), sidecar(&sidecar_image, domain)],
                    "dnsPolicy": "Default",
                    "serviceAccountName": NAME,
                },
            },
        },
    })
}

/// Answers for the cluster's names.
fn server(image: &str, domain: &str) -> Value {
    json!({
        "name": "kubedns",
        "image": image,
        "args": [format!("--domain={domain}."), "--dns-port=10053", "--config-dir=/kube-dns-config", "--v=2"],
        "env": [{"name": "PROMETHEUS_PORT", "value": "10055"}],
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
        "ports": [
            container_port("dns-local", 10053, "UDP"),
            container_port("dns-tcp-local", 10053, "TCP"),
            container_port("metrics", 10055, "TCP"),
        ],
        "volumeMounts": [{"name": "kube-dns-config", "mountPath": "/kube-dns-config"}],
        "livenessProbe": liveness("/healthcheck/kubedns"),
        "readinessProbe": {
            "httpGet": {"path": "/readiness", "port": 8081, "scheme": "HTTP"},
            "initialDelaySeconds": 3,
            "timeoutSeconds": 5,
        },
        "securityContext": confined(),
    })
}

/// Answers on port 53: from its cache, from the server for the cluster's names, from the node's servers for others.
fn cache(image: &str, domain: &str) -> Value {
    let forward = |zone: &str| format!("--server=/{zone}/127.0.0.1#10053");
    json!({
        "name": "dnsmasq",
        "image": image,
        "args": [
            "-v=2",
            "-configDir=/etc/k8s/dns/dnsmasq-nanny",
            "-restartDnsmasq=true",
            "--",
            "-k",
            "--cache-size=1000",
            "--no-negcache",
            "--dns-loop-detect",
            "--log-facility=-",
            forward(domain),
            forward("in-addr.arpa"),
            forward("ip6.arpa"),
        ],
        "resources": {"requests": {"cpu": "150m", "memory": "20Mi"}},
        "ports": [container_port("dns", 53, "UDP"), container_port("dns-tcp", 53, "TCP")],
        "volumeMounts": [{"name": "kube-dns-config", "mountPath": "/etc/k8s/dns/dnsmasq-nanny"}],
        "livenessProbe": liveness("/healthcheck/dnsmasq"),
        "securityContext": {"capabilities": {"drop": ["all"], "add": ["NET_BIND_SERVICE", "SETGID"]}},
    })
}

/// Asks both others for the name of the API server, and tells the kubelet.
fn sidecar(image: &str, domain: &str) -> Value {
    let probe =
        |name: &str, port: u16| format!("--probe={name},127.0.0.1:{port},kubernetes.default.svc.{domain},5,SRV");
    json!({
        "name": "sidecar",
        "image": image,
        "args": ["--v=2", probe("kubedns", 10053), probe("dnsmasq", 53)],
        "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
        "ports": [container_port("metrics", HEALTH_PORT, "TCP")],
        "livenessProbe": liveness("/metrics"),
        "securityContext": confined(),
    })
}

fn container_port(name: &str, port: u16, protocol: &str) -> Value {
    json!({"name": name, "containerPort": port, "protocol": protocol})
}

fn liveness(path: &str) -> Value {
    json!({
        "httpGet": {"path": path, "port": HEALTH_PORT, "scheme": "HTTP"},
        "initialDelaySeconds": 60,
        "timeoutSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 5,
    })
}

fn confined() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsUser": 1001,
        "runAsGroup": 1001,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    #[test]
    fn every_container_serves_the_clusters_own_domain() {
        let mut cluster = fixture();
        cluster.networking.dns_domain = "prod.example".to_owned();
        let deployment = deployment(&cluster);
        let args =
            |container: usize| deployment["spec"]["template"]["spec"]["containers"][container]["args"].to_string();
        assert!(args(0).contains("--domain=prod.example."));
        assert!(args(1).contains("--server=/prod.example/127.0.0.1#10053"));
        assert!(args(2).contains("127.0.0.1:53,kubernetes.default.svc.prod.example,5,SRV"));
        assert!(!deployment.to_string().contains("cluster.local"));
    }
}

//! kube-proxy, as kubeadm deploys it.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::images;
use crate::patch::MergeSchema;
use crate::resource::{Desired, Resource};
use crate::yaml;

use super::object::{SYSTEM, config_map, object, patched, server_url, service_account, signed};
use super::rbac::{self, BOOTSTRAPPERS, cluster_role_binding, config_map_reader, group, role_binding};

const PHASE: &str = "addon/kube-proxy";
const NAME: &str = "kube-proxy";
const CONFIG_FILE: &str = "config.conf";

/// Where a Pod finds its `ServiceAccount`'s token and the cluster's CA.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// kube-proxy on every node, its configuration and who may read that.
#[must_use]
pub fn desired(cluster: &Cluster, _facts: &Facts) -> Desired {
    if cluster.proxy_disabled {
        return Desired::default();
    }
    let configuration = if cluster.kube_proxy.user_supplied { files(cluster) } else { signed(files(cluster)) };
    let account = [rbac::service_account(SYSTEM, NAME)];
    let resources = vec![
        object(
            cluster,
            PHASE,
            configuration,
            &[
                (".data.config.conf", "KubeProxyConfiguration"),
                (".data.kubeconfig.conf", "ClusterConfiguration.controlPlaneEndpoint"),
            ],
        ),
        object(
            cluster,
            PHASE,
            daemon_set(cluster),
            &[(".spec.template.spec.containers", "ClusterConfiguration.kubernetesVersion")],
        ),
        Resource::object(PHASE, service_account(NAME)),
        Resource::object(PHASE, cluster_role_binding("kubeadm:node-proxier", "system:node-proxier", &account)),
        Resource::object(PHASE, config_map_reader(SYSTEM, NAME, NAME)),
        Resource::object(PHASE, role_binding(SYSTEM, NAME, &[group(BOOTSTRAPPERS)])),
    ];
    Desired { resources, ..Desired::default() }
}

/// The `ConfigMap` that kube-proxy sees as a folder. Its files end without a line break, as kubeadm's template has it.
fn files(cluster: &Cluster) -> Value {
    let configuration = yaml::to_string(&cluster.kube_proxy.value).trim_end_matches('\n').to_owned();
    let mut files =
        config_map(SYSTEM, NAME, [(CONFIG_FILE, configuration), ("kubeconfig.conf", kubeconfig(&server_url(cluster)))]);
    files["metadata"]["labels"] = json!({"app": NAME});
    files
}

/// A kubeconfig with the credentials of the Pod's own `ServiceAccount`.
fn kubeconfig(server: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: {CREDENTIALS}/ca.crt
    server: {server}
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: {CREDENTIALS}/token"
    )
}

/// The `DaemonSet`. kubeadm adds the proxy variables after the patches, so a patch cannot remove them.
fn daemon_set(cluster: &Cluster) -> Value {
    let labels = json!({"k8s-app": NAME});
    let daemon_set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": SYSTEM, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "containers": [container(&images::kubernetes(cluster, NAME))],
                    "hostNetwork": true,
                    "serviceAccountName": NAME,
                    "volumes": [
                        {"name": NAME, "configMap": {"name": NAME}},
                        {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
                        {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
                    ],
                    "tolerations": [{"operator": "Exists"}],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                },
            },
        },
    });
    let mut daemon_set = patched(cluster, "kubeproxydaemonset", MergeSchema::PodTemplate, daemon_set);
    if let Some(env) = daemon_set.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut) {
        let variables = cluster.settings.proxy_environment.iter();
        env.extend(variables.map(|(name, value)| json!({"name": name, "value": value})));
    }
    daemon_set
}

fn container(image: &str) -> Value {
    json!({
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/usr/local/bin/kube-proxy",
            format!("--config=/var/lib/kube-proxy/{CONFIG_FILE}"),
            "--hostname-override=$(NODE_NAME)",
        ],
        "securityContext": {"privileged": true},
        "volumeMounts": [
            {"name": NAME, "mountPath": "/var/lib/kube-proxy"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
            {"name": "lib-modules", "mountPath": "/lib/modules", "readOnly": true},
        ],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;

    #[test]
    fn the_hash_marks_only_a_configuration_that_nobody_wrote() {
        let mut cluster = fixture();
        let hashed =
            |cluster: &Cluster| format!("{:?}", desired(cluster, &Facts::default())).contains("component-config.hash");
        assert!(hashed(&cluster));
        cluster.kube_proxy.user_supplied = true;
        assert!(!hashed(&cluster));
    }

    #[test]
    fn a_proxy_of_the_host_is_kube_proxys_too() {
        let mut cluster = fixture();
        cluster.settings.proxy_environment.insert("HTTPS_PROXY".to_owned(), "http://proxy.example".to_owned());
        let env = &daemon_set(&cluster)["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(env[1], json!({"name": "HTTPS_PROXY", "value": "http://proxy.example"}));
    }
}

//! Roles and their bindings, as kubeadm writes them: subjects without an API group, which the API server fills in.

use serde_json::{Value, json};

const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const API_GROUP: &str = "rbac.authorization.k8s.io";

/// Every node that joined by a bootstrap token is in this group until it has its own certificate.
pub(super) const BOOTSTRAPPERS: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Every node.
pub(super) const NODES: &str = "system:nodes";

/// What a role allows: verbs on resources of one API group.
pub(super) fn rule(verbs: &[&str], api_group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [api_group], "resources": resources})
}

/// A role for the whole cluster.
pub(super) fn cluster_role(name: &str, rules: &[Value]) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

/// A role that reads one `ConfigMap`.
pub(super) fn config_map_reader(namespace: &str, name: &str, config_map: &str) -> Value {
    reader(namespace, name, "configmaps", config_map)
}

/// A role that reads one Secret.
pub(super) fn secret_reader(namespace: &str, name: &str, secret: &str) -> Value {
    reader(namespace, name, "secrets", secret)
}

fn reader(namespace: &str, name: &str, resource: &str, object: &str) -> Value {
    let mut rule = rule(&["get"], "", &[resource]);
    rule["resourceNames"] = json!([object]);
    json!({
        "apiVersion": API_VERSION,
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [rule],
    })
}

/// Gives subjects a role of the same name in the same namespace.
pub(super) fn role_binding(namespace: &str, name: &str, subjects: &[Value]) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": API_GROUP, "kind": "Role", "name": name},
        "subjects": subjects,
    })
}

/// Gives subjects a `ClusterRole`.
pub(super) fn cluster_role_binding(name: &str, cluster_role: &str, subjects: &[Value]) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": cluster_role},
        "subjects": subjects,
    })
}

/// A group as a subject.
pub(super) fn group(name: &str) -> Value {
    json!({"kind": "Group", "name": name})
}

/// A user as a subject.
pub(super) fn user(name: &str) -> Value {
    json!({"kind": "User", "name": name})
}

/// A `ServiceAccount` as a subject.
pub(super) fn service_account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
}

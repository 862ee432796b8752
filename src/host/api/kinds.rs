//! Where the objects of a control plane are in the API. The kinds are few and old, so no discovery call is made for them.

use std::fmt;

use serde_json::Value;

/// A kind, its plural in URLs, and whether its objects are in namespaces.
const KINDS: [(&str, &str, bool); 19] = [
    ("CertificateSigningRequest", "certificatesigningrequests", false),
    ("ClusterRole", "clusterroles", false),
    ("ClusterRoleBinding", "clusterrolebindings", false),
    ("ConfigMap", "configmaps", true),
    ("ControlPlaneNode", "controlplanenodes", false),
    ("CustomResourceDefinition", "customresourcedefinitions", false),
    ("DaemonSet", "daemonsets", true),
    ("Deployment", "deployments", true),
    ("Event", "events", true),
    ("IPAddress", "ipaddresses", false),
    ("Lease", "leases", true),
    ("Namespace", "namespaces", false),
    ("Node", "nodes", false),
    ("Pod", "pods", true),
    ("Role", "roles", true),
    ("RoleBinding", "rolebindings", true),
    ("Secret", "secrets", true),
    ("Service", "services", true),
    ("ServiceAccount", "serviceaccounts", true),
];

/// How a kind is called in URLs.
pub fn plural(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(known, ..)| *known == kind).map(|(_, plural, _)| *plural)
}

/// The address of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `ConfigMap`.
    pub kind: String,
    /// `kube-system/coredns`, or the name alone.
    name: String,
    /// `/api/v1/namespaces/kube-system/configmaps/coredns`.
    pub path: String,
}

impl Place {
    /// The address of an object, by its `apiVersion`, `kind`, `metadata.namespace` and `metadata.name`.
    ///
    /// # Errors
    /// In words, what of these is missing or unknown.
    pub fn of(object: &Value) -> Result<Self, String> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let Some((_, plural, namespaced)) = KINDS.iter().find(|(known, ..)| *known == kind) else {
            return Err(format!("no object of the kind {kind:?} is known"));
        };
        if *namespaced == namespace.is_empty() {
            return Err(format!("a {kind} needs {} namespace", if *namespaced { "a" } else { "no" }));
        }
        if !(is_segment(name) && (namespace.is_empty() || is_segment(namespace))) {
            return Err(format!("{kind} {namespace}/{name} has no name that fits into a URL"));
        }
        let group = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let scope = if *namespaced { format!("/namespaces/{namespace}") } else { String::new() };
        Ok(Self {
            kind: kind.to_owned(),
            name: if *namespaced { format!("{namespace}/{name}") } else { name.to_owned() },
            path: format!("{group}{scope}/{plural}/{name}"),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The name is one segment of a path as it stands. The names of RBAC objects have colons, which a path may have.
fn is_segment(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Result<String, String> {
        let metadata = json!({"name": name, "namespace": namespace});
        Place::of(&json!({"apiVersion": version, "kind": kind, "metadata": metadata})).map(|place| place.path)
    }

    #[test]
    fn an_object_is_found_in_its_group_and_namespace() {
        let found = path("v1", "ConfigMap", Some("kube-system"), "coredns");
        assert_eq!(found.unwrap(), "/api/v1/namespaces/kube-system/configmaps/coredns");
        let found = path("rbac.authorization.k8s.io/v1", "ClusterRole", None, "system:coredns");
        assert_eq!(found.unwrap(), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns");
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for (kind, namespace, name) in [
            ("ConfigMap", None, "x"),
            ("Node", Some("kube-system"), "x"),
            ("Gadget", None, "x"),
            ("Node", None, ""),
            ("Node", None, "../secrets/x"),
            ("Node", None, "a?b"),
        ] {
            assert!(path("v1", kind, namespace, name).is_err(), "{kind} {namespace:?} {name}");
        }
    }
}

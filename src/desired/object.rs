//! What the API objects of several components have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::Cluster;
use crate::patch::{self, MergeSchema};
use crate::resource::{Id, Origin, Resource, Target, Want};

/// The namespace of everything that a control plane keeps for itself.
pub(super) const SYSTEM: &str = "kube-system";

/// The namespace that everybody may read, without a credential where RBAC says so.
pub(super) const PUBLIC: &str = "kube-public";

/// kubeadm's mark on a `ConfigMap` whose component configuration is its own, not a person's: a later `kubeadm upgrade`
/// makes such a configuration anew instead of asking for its migration.
const HASH_ANNOTATION: &str = "kubeadm.kubernetes.io/component-config.hash";

/// A `ConfigMap`.
pub(super) fn config_map<const N: usize>(namespace: &str, name: &str, data: [(&str, String); N]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

/// A `ServiceAccount` in [`SYSTEM`].
pub(super) fn service_account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}})
}

/// A `ConfigMap` with kubeadm's mark, the SHA-256 of its values in the order of their keys.
pub(super) fn signed(mut config_map: Value) -> Value {
    let values = config_map["data"].as_object().into_iter().flat_map(|data| data.values());
    let hash = values.filter_map(Value::as_str).fold(Sha256::new(), Sha256::chain_update);
    let hex = hash.finalize().iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"));
    config_map["metadata"]["annotations"] = json!({HASH_ANNOTATION: hex});
    config_map
}

/// An object that is not to be there.
pub(super) fn absent(
    phase: &'static str,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Resource {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let id = Id::of_object(&object);
    let want = Want::Absent(Target::Object(object));
    Resource::new(id, phase, Vec::new(), want)
}

/// An object that is to be there, with the places of the configuration that its fields come from: pairs of a field of the
/// object and a path in the configuration.
pub(super) fn object(cluster: &Cluster, phase: &'static str, object: Value, origins: &[(&str, &str)]) -> Resource {
    let origins = origins.iter().filter_map(|(field, path)| {
        let place = cluster.lines.of(path)?.clone();
        Some(Origin { field: (*field).to_owned(), place })
    });
    Resource::object(phase, object).from(origins.collect())
}

/// The URL at which the cluster reaches its API server: the shared endpoint, else this host's.
pub(super) fn server_url(cluster: &Cluster) -> String {
    let address = cluster.control_plane_endpoint.clone().unwrap_or_else(|| cluster.endpoint.host_port());
    format!("https://{address}")
}

/// The object after the configuration's patches for a target.
pub(super) fn patched(cluster: &Cluster, target: &str, schema: MergeSchema, object: Value) -> Value {
    // Every patch was tried when the configuration was loaded.
    patch::apply(target, schema, &object, &cluster.patches).unwrap_or(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_over_the_values_in_the_order_of_their_keys() {
        let map = signed(config_map(SYSTEM, "x", [("b", "world".to_owned()), ("a", "hello ".to_owned())]));
        assert_eq!(
            map["metadata"]["annotations"][HASH_ANNOTATION],
            "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        );
    }
}

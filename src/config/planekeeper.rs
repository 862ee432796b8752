//! `planekeeper.dev/v1alpha1` `PlanekeeperConfiguration`: what kubeadm has no word for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::schema;

/// The group and version.
pub const API_VERSION: &str = "planekeeper.dev/v1alpha1";

/// Settings of planekeeper. Every field has a default, and so has the whole document.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanekeeperConfiguration {
    /// What to do about what differs from the configuration without the configuration having changed.
    pub drift: Drift,
    /// When certificates are made anew.
    pub certificates: Certificates,
    /// Auditing by the API server. A `Policy` document of `audit.k8s.io/v1` turns it on too.
    pub audit: Audit,
    /// The DNS server of the cluster.
    pub dns: Dns,
    /// The kubelet of this host follows a `ConfigMap`: what people change there is in force.
    pub dynamic_kubelet_config: DynamicKubeletConfig,
    /// Whose modes files have.
    pub file_permissions: FilePermissions,
    /// Proxy variables for the static Pods of Kubernetes, `HTTPS_PROXY` and the like. kubeadm takes them from the
    /// environment that it happens to run in; planekeeper takes them from here only.
    pub proxy_environment: BTreeMap<String, String>,
    /// What to do about bootstrap tokens.
    pub bootstrap_tokens: BootstrapTokens,
    /// How `planekeeper watch` tells how the control plane stands.
    pub status: Status,
    /// Where the API server, the controller manager and the scheduler run; etcd is a static Pod in any case.
    pub control_plane_hosting: ControlPlaneHosting,
}

/// What to do about drift.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drift {
    /// For every resource that no rule is about.
    pub policy: DriftPolicy,
    /// Exceptions; the last one that matches counts.
    pub rules: Vec<DriftRule>,
}

/// An exception for some resources.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftRule {
    /// Ids of resources, with `*` for any text: `file:/etc/kubernetes/*`.
    pub resources: String,
    /// The fields that it is about, where others own some of an object or file: as plans show them, with `*` for any
    /// text: `.spec.replicas`, `.data.Corefile`, `--v`, `mode`. What lies within one is meant too. By default it is about all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What to do about them.
    pub policy: DriftPolicy,
}

/// What to do about a resource that differs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// Make it right.
    #[default]
    Repair,
    /// Say so and leave it.
    Report,
    /// Leave it and say nothing.
    Leave,
}

/// When certificates are made anew.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificates {
    /// How long before its end, `720h`, or when how much of its life is left, `33%`; by default a third. Each certificate is made anew up to a
    /// tenth earlier than that, at a time of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
}

/// Auditing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Audit {
    /// On or off. Where it is on without a `Policy` document, the metadata of every request is logged. By default it is
    /// on where there is a `Policy` document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The DNS server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dns {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: DnsType,
}

/// A DNS server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsType {
    /// kubeadm's.
    #[default]
    CoreDNS,
    /// The older one, of three containers.
    KubeDNS,
}

/// A kubelet that follows a `ConfigMap`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicKubeletConfig {
    /// On or off.
    pub enabled: bool,
    /// The name of the `ConfigMap`, which is in `kube-system` and has a `KubeletConfiguration` under the key `kubelet`.
    pub config_map: String,
}

impl Default for DynamicKubeletConfig {
    fn default() -> Self {
        Self { enabled: false, config_map: "kubelet-config".to_owned() }
    }
}

/// Whose file modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FilePermissions {
    /// What kubeadm sets.
    #[default]
    Kubeadm,
    /// What the CIS benchmark asks for.
    CIS,
}

/// What to do about bootstrap tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BootstrapTokens {
    /// When a token's life is over.
    pub when_ended: WhenEnded,
}

/// What to do about a token that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenEnded {
    /// Leave it out.
    #[default]
    Leave,
    /// Give it another life.
    Renew,
}

/// Where the components of the control plane run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ControlPlaneHosting {
    /// As static Pods, which the kubelet runs by itself.
    #[default]
    StaticPods,
    /// In Pods of `DaemonSet`s of the cluster that they make up. A static Pod helps out where a component does not run.
    SelfHosted,
}

/// How `planekeeper watch` is seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Where it serves the status page, metrics and health over HTTP: an address of the loopback interface with a port,
    /// by default `127.0.0.1:10264`. An empty text turns it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Tell of it in the cluster too: as a `ControlPlaneNode`, whose CRD is then made, and by Events. By default in a
    /// cluster that planekeeper set up, and not in one that it has taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<bool>,
}

/// The `CustomResourceDefinition` of the kind, from the types above.
#[must_use]
pub fn crd() -> Value {
    custom_resource::<PlanekeeperConfiguration>("PlanekeeperConfiguration", "planekeeperconfiguration")
}

/// The `CustomResourceDefinition` of a kind of ours whose objects are in no namespace.
#[must_use]
pub fn custom_resource<T: JsonSchema>(kind: &str, singular: &str) -> Value {
    let mut schema = schema::whole::<T>();
    make_structural(&mut schema);
    schema["properties"]["apiVersion"] = json!({ "type": "string" });
    schema["properties"]["kind"] = json!({ "type": "string" });
    schema["properties"]["metadata"] = json!({ "type": "object" });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{singular}s.planekeeper.dev") },
        "spec": {
            "group": "planekeeper.dev",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": format!("{singular}s"),
                "singular": singular,
            },
            "scope": "Cluster",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

/// Turns a JSON Schema into the structural form that `apiextensions.k8s.io/v1` accepts: `nullable` rather than a type
/// `null`, `enum` rather than `oneOf`, no title and no formats of our own. Defaults stay out: a stored object says what
/// its author wrote.
fn make_structural(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for key in ["title", "default", "format", "$schema"] {
        fields.remove(key);
    }
    // An optional object is one of two: its type, or null.
    if let Some(Value::Array(variants)) = fields.remove("anyOf") {
        let some = variants.into_iter().find(|variant| variant["type"] != "null").unwrap_or_default();
        for (key, value) in some.as_object().into_iter().flatten() {
            fields.entry(key.clone()).or_insert_with(|| value.clone());
        }
        fields.insert("nullable".into(), true.into());
    }
    if let Some(Value::Array(types)) = fields.get("type") {
        let kind = types.iter().find(|kind| *kind != "null").cloned();
        fields.insert("type".into(), kind.unwrap_or_default());
        fields.insert("nullable".into(), true.into());
    }
    if let Some(Value::Array(variants)) = fields.remove("oneOf") {
        let names: Vec<Value> = variants.iter().filter_map(|variant| variant.get("const").cloned()).collect();
        fields.insert("type".into(), "string".into());
        fields.insert("enum".into(), names.into());
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(key) {
            make_structural(schema);
        }
    }
}

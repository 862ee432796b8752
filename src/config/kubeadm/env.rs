//! `core/v1` `EnvVar`, for `extraEnvs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A variable of a container's environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// The name.
    pub name: String,
    /// The value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Where else the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a variable's value comes from; one of the fields is set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_field_names)] // Kubernetes' names
pub struct EnvVarSource {
    /// A field of the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<ObjectFieldSelector>,
    /// A resource limit or request of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<ResourceFieldSelector>,
    /// A key of a `ConfigMap`; the kubelet refuses it in a static Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    /// A key of a Secret; the kubelet refuses it in a static Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a file in a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_key_ref: Option<FileKeySelector>,
}

/// A field of the Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectFieldSelector {
    /// The schema's version; `v1` by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The field, `status.podIP`.
    pub field_path: String,
}

/// A resource of a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldSelector {
    /// The container; its own by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    /// The resource, `limits.cpu`.
    pub resource: String,
    /// The unit; Kubernetes always writes it, as `0` where there is none.
    pub divisor: String,
}

/// A key of a `ConfigMap` or Secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeySelector {
    /// The object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The key.
    pub key: String,
    /// It may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A key of a file in a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FileKeySelector {
    /// The volume.
    pub volume_name: String,
    /// The file in it.
    pub path: String,
    /// The key.
    pub key: String,
    /// It may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

impl EnvVar {
    /// Fills in what Kubernetes' own defaults are (kubeadm's `SetDefaults_EnvVar`, and the quantity that is always there).
    pub fn complete(&mut self) {
        let Some(source) = &mut self.value_from else { return };
        if let Some(field) = &mut source.field_ref
            && field.api_version.is_empty()
        {
            "v1".clone_into(&mut field.api_version);
        }
        if let Some(resource) = &mut source.resource_field_ref
            && resource.divisor.is_empty()
        {
            "0".clone_into(&mut resource.divisor);
        }
    }
}

//! Which lists of the API are merged item by item, and by which field.
//!
//! From the tags `patchStrategy` and `patchMergeKey` on the Go types of `k8s.io/api`; every other list is replaced as
//! a whole. `KubeletConfiguration` has no such tags.

/// The type that a strategic merge patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeSchema {
    /// `v1` Pod.
    Pod,
    /// `apps/v1` Deployment or `DaemonSet`.
    PodTemplate,
    /// `kubelet.config.k8s.io/v1beta1` `KubeletConfiguration`.
    Kubelet,
}

/// How two lists become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListMerge {
    /// The patch's list, and nothing of the original's.
    Replace,
    /// A union of plain values.
    Union,
    /// Items with the same value of this field are merged, others added.
    ByKey(&'static str),
}

/// Merge keys by field, below a Pod or a Pod template, and the one of a Deployment's own.
const POD: [(&str, &str); 10] = [
    ("status.conditions", "type"),
    ("metadata.ownerReferences", "uid"),
    ("spec.volumes", "name"),
    ("spec.imagePullSecrets", "name"),
    ("spec.hostAliases", "ip"),
    ("spec.topologySpreadConstraints", "topologyKey"),
    ("spec.schedulingGates", "name"),
    ("spec.resourceClaims", "name"),
    ("spec.evictionResponders", "name"),
    ("spec.volumes.ephemeral.volumeClaimTemplate.metadata.ownerReferences", "uid"),
];

/// The lists of containers.
const CONTAINERS: [&str; 3] = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];

/// Merge keys by field, below a container.
const CONTAINER: [(&str, &str); 4] =
    [("ports", "containerPort"), ("env", "name"), ("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")];

impl MergeSchema {
    /// How the list at a path is merged; the path has the names of fields only.
    pub(super) fn list(self, path: &[String]) -> ListMerge {
        let path = path.join(".");
        let path = match self {
            Self::Kubelet => return ListMerge::Replace,
            Self::Pod => path.as_str(),
            Self::PodTemplate => path.strip_prefix("spec.template.").unwrap_or(&path),
        };
        if path.ends_with("metadata.finalizers") {
            return ListMerge::Union;
        }
        if CONTAINERS.contains(&path) {
            return ListMerge::ByKey("name");
        }
        let in_container = CONTAINERS.iter().find_map(|list| path.strip_prefix(list)?.strip_prefix('.'));
        let (table, field): (&[_], _) = in_container.map_or((&POD, path), |field| (&CONTAINER, field));
        table.iter().find(|(name, _)| *name == field).map_or(ListMerge::Replace, |(_, key)| ListMerge::ByKey(key))
    }
}

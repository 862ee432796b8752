//! The kubelets' common configuration in the cluster, where joining nodes read it.

use crate::cluster::Cluster;
use crate::config::component::kubelet;
use crate::facts::Facts;
use crate::resource::{Desired, Resource};
use crate::yaml;

use super::object::{SYSTEM, config_map, object, signed};
use super::rbac::{BOOTSTRAPPERS, NODES, config_map_reader, group, role_binding};

const PHASE: &str = "upload-config/kubelet";
const CONFIG_MAP: &str = "kubelet-config";
const READER: &str = "kubeadm:kubelet-config";

/// The `ConfigMap` `kubelet-config` and who may read it. Patches and what is of this host alone are not in it.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let value = kubelet::for_cluster(&cluster.kubelet.value, cluster.release.minor, facts.systemd_resolved);
    let configuration = config_map(SYSTEM, CONFIG_MAP, [("kubelet", yaml::to_string(&value))]);
    let configuration = if cluster.kubelet.user_supplied { configuration } else { signed(configuration) };
    Desired {
        resources: vec![
            object(cluster, PHASE, configuration, &[(".data.kubelet", "KubeletConfiguration")]),
            Resource::object(PHASE, config_map_reader(SYSTEM, READER, CONFIG_MAP)),
            Resource::object(PHASE, role_binding(SYSTEM, READER, &[group(NODES), group(BOOTSTRAPPERS)])),
        ],
        ..Desired::default()
    }
}

//! The cluster's configuration in the cluster, where joining nodes and later upgrades read it, and the group that every
//! `admin.conf` is in.

use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::resource::{Desired, Resource};
use crate::yaml;

use super::object::{SYSTEM, config_map, object};
use super::rbac::{BOOTSTRAPPERS, NODES, config_map_reader, group, role_binding};

const PHASE: &str = "upload-config/kubeadm";
const CONFIG_MAP: &str = "kubeadm-config";
const READER: &str = "kubeadm:nodes-kubeadm-config";

/// The `ConfigMap` `kubeadm-config` and who may read it.
#[must_use]
pub fn desired(cluster: &Cluster, _facts: &Facts) -> Desired {
    let configuration = config_map(SYSTEM, CONFIG_MAP, [("ClusterConfiguration", yaml::to_string(&cluster.uploaded))]);
    let origin = (".data.ClusterConfiguration", "ClusterConfiguration");
    Desired {
        resources: vec![
            object(cluster, PHASE, configuration, &[origin]),
            Resource::object(PHASE, config_map_reader(SYSTEM, READER, CONFIG_MAP)),
            Resource::object(PHASE, role_binding(SYSTEM, READER, &[group(BOOTSTRAPPERS), group(NODES)])),
        ],
        ..Desired::default()
    }
}

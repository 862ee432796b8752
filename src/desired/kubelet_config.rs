//! The kubelets' common configuration in the cluster, where joining nodes read it.

use crate::cluster::Cluster;
use crate::config::component::kubelet;
use crate::facts::Facts;
use crate::followed::KEY;
use crate::resource::{Desired, Resource};
use crate::yaml;

use super::object::{SYSTEM, config_map, object, signed};
use super::rbac::{BOOTSTRAPPERS, NODES, config_map_reader, group, role_binding};

const PHASE: &str = "upload-config/kubelet";
/// Its name.
pub const CONFIG_MAP: &str = "kubelet-config";
const READER: &str = "kubeadm:kubelet-config";

/// The `ConfigMap` `kubelet-config` and who may read it. Patches and what is of this host alone are not in it. Where the kubelet
/// follows it, it is made and then left to people.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    if !is_theirs(cluster, facts) {
        let value = kubelet::for_cluster(&cluster.kubelet.value, cluster.release.minor, facts.systemd_resolved);
        let configuration = config_map(SYSTEM, CONFIG_MAP, [(KEY, yaml::to_string(&value))]);
        let configuration = if cluster.kubelet.user_supplied { configuration } else { signed(configuration) };
        desired.push(object(cluster, PHASE, configuration, &[(".data.kubelet", "KubeletConfiguration")]));
    }
    desired.push(Resource::object(PHASE, config_map_reader(SYSTEM, READER, CONFIG_MAP)));
    desired.push(Resource::object(PHASE, role_binding(SYSTEM, READER, &[group(NODES), group(BOOTSTRAPPERS)])));
    desired
}

/// The kubelet follows it, and it is not known to be missing.
pub(super) fn is_theirs(cluster: &Cluster, facts: &Facts) -> bool {
    let missing = facts.followed.as_ref().is_some_and(|followed| followed.there == Some(false));
    cluster.settings.kubelet_config_map.as_deref() == Some(CONFIG_MAP) && !missing
}

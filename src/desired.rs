//! What is wanted: the configuration and the facts, as resources. Pure; it cannot fail. One file a component.

pub mod apiserver;
pub mod arguments;
pub mod audit;
pub mod bootstrap_token;
pub mod cluster_info;
pub mod controller_manager;
pub mod coredns;
pub mod directories;
pub mod etcd;
pub mod former;
pub mod kube_dns;
pub mod kube_proxy;
pub mod kubeconfig;
pub mod kubelet;
pub mod kubelet_config;
pub mod live;
pub mod node;
pub mod object;
pub mod origins;
pub mod patched;
pub mod pki;
pub mod rbac;
pub mod release;
pub mod running;
pub mod scheduler;
pub mod self_hosting;
pub mod static_pod;
pub mod upload_certs;
pub mod upload_config;
pub mod volumes;

use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::resource::{Desired, Id};

/// Everything that is wanted of a host. What others need comes first.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let components = [
        directories::desired,
        pki::desired,
        kubeconfig::desired,
        audit::desired,
        etcd::desired,
        apiserver::desired,
        controller_manager::desired,
        scheduler::desired,
        kubelet::desired,
        upload_config::desired,
        kubelet_config::desired,
        node::desired,
        bootstrap_token::desired,
        cluster_info::desired,
        coredns::desired,
        kube_dns::desired,
        kube_proxy::desired,
    ];
    let mut desired = Desired::default();
    for component in components {
        desired.extend(component(cluster, facts));
    }
    let desired = self_hosting::complete(cluster, facts, desired);
    skip_phases(cluster, live::complete(cluster, facts, desired))
}

/// The configuration skips a phase, or all that it is one of.
fn is_skipped(cluster: &Cluster, phase: &str) -> bool {
    let above = phase.split_once('/').map_or(phase, |(above, _)| above);
    cluster.skip_phases.contains(phase) || cluster.skip_phases.contains(above)
}

/// Leaves out the phases that the configuration skips: `addon/coredns`, or all of `addon`.
fn skip_phases(cluster: &Cluster, mut desired: Desired) -> Desired {
    desired.resources.retain(|resource| !is_skipped(cluster, resource.phase));
    // What waits carries no phase: it stays only while something that it could become is wanted.
    let there: std::collections::BTreeSet<Id> = desired.resources.iter().map(|resource| resource.id.clone()).collect();
    desired.waiting.retain(|waiting| there.contains(&waiting.on));
    for resource in &mut desired.resources {
        resource.needs.retain(|need| there.contains(need));
        resource.after.retain(|other| there.contains(other));
    }
    desired
}

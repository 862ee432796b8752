//! What of the cluster is of a release of Kubernetes and one for all its nodes: the add-ons, and the configuration that joining nodes read.
//! It is never newer than this host's API server, and never taken back below what another control plane host has brought it to.

use crate::cluster::{Cluster, Version};
use crate::desired::{apiserver, static_pod, upload_config};
use crate::observed::{Observed, Seen};
use crate::resource::{Desired, Id, Resource, Spec, StaticPodSpec, Want};
use crate::yaml;

/// Whether a resource is that.
#[must_use]
pub fn is_shared(resource: &Resource) -> bool {
    let phase = resource.phase;
    matches!(resource.want, Want::Present(Spec::Object(_)))
        && (phase.starts_with("addon/") || phase.starts_with("upload-config/"))
}

/// Lets all that wait for an API server of the configuration's release, where the one that is wanted is of an earlier one: a change that
/// was given up leaves the one of before, and what is shared may not be newer than that (Kubernetes' version skew policy). `made_of` is the
/// server's manifest or its `DaemonSet`.
pub(super) fn wait_for_server(cluster: &Cluster, desired: &mut Desired, made_of: &Id, server: &StaticPodSpec) {
    let version = static_pod::version_of(&server.image).filter(|_| server.component == apiserver::NAME);
    if version.is_some_and(|version| version.minor < cluster.version.minor) {
        for resource in desired.resources.iter_mut().filter(|resource| is_shared(resource)) {
            resource.after.push(made_of.clone());
        }
    }
}

/// Why what is shared is not changed: another control plane host has been upgraded before this one, and it would be taken back.
#[must_use]
pub fn objection(resource: &Resource, cluster: &Cluster, observed: &Observed) -> Option<String> {
    let later = if is_shared(resource) { later(cluster, observed)? } else { return None };
    Some(format!(
        "the cluster is at {later} by its ConfigMap kubeadm-config, and the configuration at {}: what all nodes share is not taken back; \
         set kubernetesVersion to {later} here too",
        cluster.version
    ))
}

/// The release that the cluster says it is at, where that is a later one than the configuration's.
fn later(cluster: &Cluster, observed: &Observed) -> Option<Version> {
    let Some(Ok(Seen::Object(Some(object)))) = observed.get(&upload_config::id()) else { return None };
    let uploaded = yaml::parse(object.pointer("/data/ClusterConfiguration")?.as_str()?).ok()?;
    let version: Version = uploaded["kubernetesVersion"].as_str()?.parse().ok()?;
    (version.minor > cluster.version.minor).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::desired::desired;
    use crate::diff::file::bytes;
    use crate::facts::Facts;
    use crate::rollout::{Record, hash};

    #[test]
    fn what_is_shared_waits_for_an_api_server_that_was_given_up_only_where_that_would_have_been_a_newer_one() {
        let cluster = fixture();
        let facts = Facts { live: true, ca_certificate: Some(String::new()), ..Facts::default() };
        let manifest = Id::file(&static_pod::path(apiserver::NAME));
        let wanted = desired(&cluster, &facts);
        let Want::Present(Spec::File(file)) = &wanted.resources.iter().find(|one| one.id == manifest).unwrap().want
        else {
            panic!("it is no file")
        };
        let (text, tag) = (bytes(&file.content), format!("kube-apiserver:{}", cluster.version));
        let older = format!("kube-apiserver:v{}.{}.0", cluster.version.major, cluster.version.minor - 1);
        let waits = |before: String| {
            let record = Record { manifest: hash(&text), before, failed: Some("it crashed".to_owned()), since: None };
            let desired = desired(&cluster, &Facts { rollouts: [(apiserver::NAME, record)].into(), ..facts.clone() });
            let proxy = Id::object("DaemonSet", Some("kube-system"), "kube-proxy");
            desired.resources.iter().find(|one| one.id == proxy).unwrap().after.contains(&manifest)
        };
        assert!(text.contains(&tag) && waits(text.replace(&tag, &older)));
        assert!(!waits(text.replace("--secure-port", "--other-port")), "a bad flag holds nothing up");
    }
}

//! What patches are applied to, and which of them do not apply.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{desired, object, static_pod};
use crate::cluster::Cluster;
use crate::config::component::kubelet;
use crate::facts::Facts;
use crate::followed;
use crate::patch::{self, MergeSchema, TARGETS};
use crate::resource::{Content, Id, Spec, Want};

/// The patches that do not apply on a host with these facts: a message with the file's name by target.
///
/// They are tried when a configuration is loaded. A patch may depend on the host all the same, which may have more or
/// fewer folders of CA certificates: who writes files asks again, with the host's facts.
#[must_use]
pub fn failures(cluster: &Cluster, facts: &Facts) -> BTreeMap<&'static str, String> {
    let wanted = TARGETS.into_iter().filter(|target| cluster.patches.iter().any(|patch| patch.target == *target));
    let failed = wanted.filter_map(|target| {
        let (schema, value) = unpatched(cluster, facts, target)?;
        Some((target, patch::apply(target, schema, &value, &cluster.patches).err()?))
    });
    failed.collect()
}

/// What the patches for a target are applied to; `None` where the configuration has nothing of that name.
#[must_use]
pub fn unpatched(cluster: &Cluster, facts: &Facts, target: &str) -> Option<(MergeSchema, Value)> {
    let (schema, id) = match target {
        "kubeletconfiguration" => {
            let value = kubelet::before_patches(followed::in_force(cluster, facts), facts.systemd_resolved);
            return Some((MergeSchema::Kubelet, value));
        }
        "corednsdeployment" => (MergeSchema::PodTemplate, Id::object("Deployment", Some(object::SYSTEM), "coredns")),
        "kubeproxydaemonset" => (MergeSchema::PodTemplate, Id::object("DaemonSet", Some(object::SYSTEM), "kube-proxy")),
        name => (MergeSchema::Pod, Id::file(&static_pod::path(name))),
    };
    let mut bare = cluster.clone();
    bare.patches.clear();
    if target == "kubeproxydaemonset" {
        bare.settings.proxy_environment.clear(); // kube-proxy gets it after the patches
    }
    let resource = desired(&bare, facts).resources.into_iter().find(|resource| resource.id == id)?;
    match resource.want {
        Want::Present(Spec::Object(value)) => Some((schema, value)),
        Want::Present(Spec::File(file)) => match file.content {
            Content::Yaml(value) => Some((schema, value)),
            Content::Text(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::yaml;

    fn patched(name: &str, text: &str) -> Cluster {
        let mut cluster = fixture();
        cluster.patches = patch::parse_file(name, || yaml::parse_all(text)).unwrap();
        cluster
    }

    #[test]
    fn a_patch_that_applies_to_some_hosts_only_is_found_on_the_others() {
        let cluster = patched("kubeletconfiguration+json.json", r#"[{"op": "remove", "path": "/resolvConf"}]"#);
        let host = |systemd_resolved| Facts { systemd_resolved, ..Facts::default() };
        assert!(failures(&cluster, &host(true)).is_empty());
        assert!(failures(&cluster, &host(false))["kubeletconfiguration"].contains("\"/resolvConf\""));
    }

    #[test]
    fn each_target_is_found() {
        for target in TARGETS {
            let found = failures(&patched(&format!("{target}+merge.yaml"), "kind: Other"), &Facts::default());
            assert_eq!(found.keys().copied().collect::<Vec<_>>(), [target]);
        }
    }
}

//! What an earlier configuration wanted and this one no longer names.
//!
//! A file goes where it still is what planekeeper wrote, once nobody reads it any more. Everything else stays, as with kubeadm: an
//! object may be in use, and a folder has what others put there, logs say. That it stays is said once.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::desired::{directories, live, static_pod};
use crate::resource::{Desired, Effect, FileSpec, Id, Resource, Spec, Target, Want};

/// Adds to what is wanted what was wanted before, where nothing is said of it any more. What a skipped phase would make is left to whoever
/// makes it now.
pub fn add(cluster: &Cluster, desired: &mut Desired, before: &Desired) {
    let known: BTreeSet<&Id> = desired.resources.iter().map(|resource| &resource.id).collect();
    let gone = before.resources.iter().filter(|resource| !known.contains(&resource.id));
    let gone = gone.filter(|resource| !super::is_skipped(cluster, resource.phase));
    let former: Vec<Resource> = gone.filter_map(|resource| former(resource, &known)).collect();
    for resource in former {
        desired.former.insert(resource.id.clone());
        desired.push(resource);
    }
}

fn former(resource: &Resource, known: &BTreeSet<&Id>) -> Option<Resource> {
    let stays = |target| Want::Theirs { target, objection: None };
    let (want, needs) = match &resource.want {
        Want::Present(Spec::File(file)) if !file.path.starts_with(directories::MANIFESTS) => {
            (Want::Absent(Target::Written(Box::new(file.clone()))), readers(file))
        }
        Want::Present(Spec::File(file)) => (stays(Target::File(file.path.clone())), Vec::new()),
        Want::Present(Spec::Directory(folder)) => (stays(Target::File(folder.path.clone())), Vec::new()),
        Want::Present(Spec::Object(object)) => (stays(Target::Object(named(object))), Vec::new()),
        _ => return None,
    };
    let needs = needs.into_iter().filter(|need| known.contains(need)).collect();
    Some(Resource { needs, want, origins: Vec::new(), ..resource.clone() })
}

/// Who has to do without a file before it goes.
fn readers(file: &FileSpec) -> Vec<Id> {
    match file.effect {
        Effect::Restart(component) => vec![Id::file(&static_pod::path(component)), Id::gate(component)],
        Effect::RestartKubelet => vec![Id::unit(live::KUBELET)],
        Effect::None | Effect::Reload(_) | Effect::Api => Vec::new(),
    }
}

/// An object by what names it.
fn named(object: &serde_json::Value) -> serde_json::Value {
    let metadata = ["name", "namespace"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), object["metadata"].get(field)?.clone())));
    let metadata: serde_json::Map<_, _> = metadata.collect();
    serde_json::json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Audit, fixture};
    use crate::desired::{audit, desired};
    use crate::facts::Facts;

    fn after(before: &Cluster, now: &Cluster) -> Desired {
        let facts = Facts { live: true, ..Facts::default() };
        let mut wanted = desired(now, &facts);
        add(now, &mut wanted, &desired(before, &facts));
        wanted
    }

    fn find<'a>(desired: &'a Desired, id: &Id) -> Option<&'a Resource> {
        desired.resources.iter().find(|resource| resource.id == *id)
    }

    #[test]
    fn a_policy_that_nobody_reads_any_more_goes_after_the_api_server_does_without_it_and_the_logs_stay() {
        let audited = Cluster { audit: Some(Audit { policy: serde_json::json!({"kind": "Policy"}) }), ..fixture() };
        let wanted = after(&audited, &fixture());
        let policy = find(&wanted, &Id::file(audit::POLICY)).unwrap();
        assert!(matches!(policy.want, Want::Absent(Target::Written(_))));
        assert!(policy.needs.contains(&Id::gate("kube-apiserver")), "{:?}", policy.needs);
        let logs = find(&wanted, &Id::directory(directories::AUDIT_LOGS)).unwrap();
        assert!(matches!(logs.want, Want::Theirs { .. }));
    }

    #[test]
    fn what_an_addon_left_in_the_cluster_stays_and_what_a_skipped_phase_makes_is_nobodys_here() {
        let (mut disabled, mut skipped) = (fixture(), fixture());
        disabled.dns.disabled = true;
        skipped.skip_phases.insert("addon/coredns".to_owned());
        let id = Id::object("Deployment", Some("kube-system"), "coredns");
        let wanted = after(&fixture(), &disabled);
        assert!(matches!(find(&wanted, &id).unwrap().want, Want::Theirs { .. }) && wanted.former.contains(&id));
        assert!(find(&after(&fixture(), &skipped), &id).is_none());
        assert!(after(&fixture(), &fixture()).former.is_empty());
    }
}

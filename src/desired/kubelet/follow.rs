//! What keeps a kubelet at a `ConfigMap`: the records of what it runs well with, and of what it does not.

use crate::cluster::Cluster;
use crate::desired::origins::Origins;
use crate::desired::{directories, kubelet_config, live};
use crate::facts::Facts;
use crate::followed::{self, FAILED, Followed, GOOD, Text};
use crate::resource::{Content, Desired, Effect, FileSpec, Id, Resource, Spec, Target, Trial, Want};

use super::{PHASE, configuration_path};

/// The `ConfigMap`, which is people's, and the records; only their absence where the kubelet follows nothing.
pub(super) fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    let Some(followed) = &facts.followed else { return desired };
    let Some(name) = &cluster.settings.kubelet_config_map else {
        let records = [(GOOD, followed.kept.0), (FAILED, followed.kept.1)];
        records.iter().filter(|(_, there)| *there).for_each(|(path, _)| desired.push(removed(cluster, path)));
        return desired;
    };
    if *name != kubelet_config::CONFIG_MAP || kubelet_config::is_theirs(cluster, facts) {
        let map = followed::object(name);
        let want = |target| Want::Theirs { target, objection: followed.objection.clone() };
        let id = Id::of_object(&map);
        let want = want(Target::Object(map));
        desired.push(Resource::new(id, PHASE, Vec::new(), want));
    }
    if let Some(text) = &followed.now {
        desired.push(good(facts, text, facts.live && followed.tried));
    }
    if followed.kept.1 && !followed.failed && followed.there.is_some() {
        desired.push(removed(cluster, FAILED));
    }
    desired.trial = trial(cluster, facts, followed);
    desired
}

/// Written once the kubelet runs with it.
fn good(facts: &Facts, text: &Text, tried: bool) -> Resource {
    let spec = FileSpec {
        path: GOOD.to_owned(),
        content: Content::Text(text.text.clone()),
        mode: 0o600,
        owner: facts.owner,
        effect: Effect::None,
        pod: None,
    };
    let mut needs = vec![Id::directory(directories::STATE), Id::file(&configuration_path())];
    needs.extend(tried.then(|| Id::gate(live::STEADY)));
    let place = text.lines.of("KubeletConfiguration").cloned();
    let origins = place.map(|place| crate::resource::Origin { field: String::new(), place });
    Resource::present(Id::file(GOOD), PHASE, needs, Spec::File(spec)).from(origins.into_iter().collect())
}

/// A record that is of no use any more.
fn removed(cluster: &Cluster, path: &str) -> Resource {
    let origins = Origins::of(cluster).field("", "PlanekeeperConfiguration.dynamicKubeletConfig").list();
    let (needs, want) = (vec![Id::file(&configuration_path())], Want::Absent(Target::File(path.to_owned())));
    Resource::new(Id::file(path), PHASE, needs, want).from(origins)
}

/// What has not shown yet that the kubelet comes up with it.
fn trial(cluster: &Cluster, facts: &Facts, followed: &Followed) -> Option<Trial> {
    let text = followed.now.as_ref().filter(|_| facts.live && followed.tried)?;
    Some(Trial {
        file: Id::file(&configuration_path()),
        gate: Id::gate(live::STEADY),
        timeout: cluster.timeouts.kubelet_health_check,
        failed: (FAILED, followed::hash(&text.text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::desired::desired;
    use crate::followed::Reading;
    use serde_json::json;

    fn cluster(map: &str) -> Cluster {
        let mut cluster = fixture();
        cluster.settings.kubelet_config_map = Some(map.to_owned());
        cluster
    }

    fn facts(cluster: &Cluster, text: Option<&str>, good: Option<&str>) -> Facts {
        let map = text.map(|text| {
            let mut map = followed::object("kubelet-config");
            map["data"] = json!({"kubelet": document(text)});
            map
        });
        let reading = Reading { map: Ok(map), good: good.map(document), failed: None };
        Facts { live: true, followed: Some(Followed::of(&reading, cluster, false)), ..Facts::default() }
    }

    fn document(fields: &str) -> String {
        format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{fields}\n")
    }

    fn find<'a>(desired: &'a Desired, id: &Id) -> Option<&'a Resource> {
        desired.resources.iter().find(|resource| resource.id == *id)
    }

    fn config_map(name: &str) -> Id {
        Id::of_object(&followed::object(name))
    }

    #[test]
    fn the_config_map_is_made_where_it_is_missing_and_then_left_to_people() {
        let cluster = cluster("kubelet-config");
        let want = |text| {
            let desired = desired(&cluster, &facts(&cluster, text, None));
            find(&desired, &config_map("kubelet-config")).unwrap().want.clone()
        };
        assert!(matches!(want(None), Want::Present(Spec::Object(_))));
        assert!(matches!(want(Some("maxPods: 50")), Want::Theirs { objection: None, .. }));
        assert!(matches!(want(Some("maxPodz: 50")), Want::Theirs { objection: Some(_), .. }));
    }

    #[test]
    fn one_of_another_name_is_never_made_and_kubeadms_stays_as_the_configuration_says() {
        let cluster = cluster("ours");
        let desired = desired(&cluster, &facts(&cluster, None, None));
        assert!(matches!(find(&desired, &config_map("ours")).unwrap().want, Want::Theirs { .. }));
        assert!(matches!(find(&desired, &config_map("kubelet-config")).unwrap().want, Want::Present(_)));
    }

    #[test]
    fn what_it_says_is_in_the_kubelets_file_and_is_kept_once_the_kubelet_runs_with_it() {
        let cluster = cluster("kubelet-config");
        let text = "maxPods: 50\ncontainerRuntimeEndpoint: unix:///elsewhere";
        let desired = desired(&cluster, &facts(&cluster, Some(text), None));
        let Some(Want::Present(Spec::File(file))) = find(&desired, &Id::file(&configuration_path())).map(|r| &r.want)
        else {
            panic!("no file")
        };
        let Content::Yaml(value) = &file.content else { panic!("no YAML") };
        assert_eq!(value["maxPods"], 50);
        assert_eq!(value["containerRuntimeEndpoint"], cluster.node.cri_socket, "this is the host's own");
        let good = find(&desired, &Id::file(GOOD)).unwrap();
        assert!(good.needs.contains(&Id::gate(live::STEADY)), "{:?}", good.needs);
        assert!(desired.trial.is_some());
    }

    #[test]
    fn nothing_is_waited_for_once_it_is_known_to_be_good() {
        let cluster = cluster("kubelet-config");
        let desired = desired(&cluster, &facts(&cluster, Some("maxPods: 50"), Some("maxPods: 50")));
        assert!(find(&desired, &Id::gate(live::STEADY)).is_none() && desired.trial.is_none());
    }

    #[test]
    fn the_records_go_when_nothing_is_followed_any_more() {
        let cluster = fixture();
        let reading = Reading { map: Ok(None), good: Some(document("maxPods: 50")), failed: Some("x".to_owned()) };
        let followed = Followed::of(&reading, &cluster, false);
        let desired = desired(&cluster, &Facts { followed: Some(followed), ..Facts::default() });
        for record in [GOOD, FAILED] {
            assert!(matches!(find(&desired, &Id::file(record)).unwrap().want, Want::Absent(_)), "{record}");
        }
    }
}

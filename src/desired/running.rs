//! Static Pods as they run: what they are made of, what they cannot read anew, and in which order they are disturbed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::desired::{
    apiserver, directories, etcd, kubeconfig, live, release, self_hosting, static_pod, upload_config,
};
use crate::diff::file::bytes;
use crate::facts::Facts;
use crate::resource::{
    Content, Desired, Effect, GivenUp, Id, Lease, PodGate, Resource, Rollout, RunningSpec, SelfHostedSpec, Spec,
    StaticPodSpec, Want,
};
use crate::rollout::{self, Record};
use crate::yaml;

/// The flags whose files a component reads when it starts and never again. All others that kubeadm sets are followed: the API server's
/// certificates and those of etcd, what clients are checked against, what the controller manager signs with.
const INPUTS: [(&str, &[&str]); 4] = [
    (etcd::NAME, &["trusted-ca-file", "peer-trusted-ca-file"]),
    (
        "kube-apiserver",
        &["etcd-cafile", "service-account-key-file", "service-account-signing-key-file", "audit-policy-file"],
    ),
    (
        "kube-controller-manager",
        &[
            "kubeconfig",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
            "root-ca-file",
            "service-account-private-key-file",
        ],
    ),
    ("kube-scheduler", &["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]),
];

/// Puts the manifests of before in the place of those that were given up, and says so.
pub(super) fn give_up(facts: &Facts, desired: &mut Desired) {
    for resource in &mut desired.resources {
        let Some((component, content)) = manifest(&mut resource.want) else { continue };
        let record = facts.rollouts.get(component).filter(|record| record.gives_up(&bytes(content)));
        let Some(record) = record else { continue };
        let before = yaml::parse(&record.before).map_or_else(|_| Content::Text(record.before.clone()), Content::Yaml);
        *content = before;
        desired.given_up.push(given_up(resource.id.clone(), component, record));
    }
}

/// What was given up by a record of this name.
pub(super) fn given_up(id: Id, name: &str, record: &Record) -> GivenUp {
    let why = record.failed.as_deref().unwrap_or_default();
    let path = rollout::path(name);
    let reason = format!(
        "{why}\n      It is not tried again as it is: correct the configuration, or remove {path} to have it tried once more"
    );
    GivenUp { id, reason }
}

/// The component and the content of a manifest.
fn manifest(want: &mut Want) -> Option<(&'static str, &mut Content)> {
    let Want::Present(Spec::File(file)) = want else { return None };
    let Effect::Restart(component) = file.effect else { return None };
    file.path.starts_with(directories::MANIFESTS).then_some((component, &mut file.content))
}

/// The static Pod of a manifest that is wanted.
pub(super) fn static_pod(cluster: &Cluster, resource: &Resource) -> Option<(Id, StaticPodSpec)> {
    let Want::Present(Spec::File(file)) = &resource.want else { return None };
    let (Effect::Restart(component), Content::Yaml(manifest)) = (&file.effect, &file.content) else { return None };
    if !file.path.starts_with(directories::MANIFESTS) {
        return None;
    }
    Some((resource.id.clone(), pod(component, format!("{component}-{}", cluster.node.name), manifest)?))
}

/// The static Pod of a manifest, by its name in the cluster; `None` where the manifest is none.
#[must_use]
pub fn pod(component: &'static str, name: String, manifest: &Value) -> Option<StaticPodSpec> {
    let container = static_pod::container_of(manifest, component)?;
    let words = |field: &str| -> Vec<String> {
        let list = container.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let command: Vec<String> = words("command").into_iter().chain(words("args")).collect();
    Some(StaticPodSpec {
        component,
        pod: name,
        hosted: false,
        image: container.get("image")?.as_str()?.to_owned(),
        health: (component != "kube-apiserver").then(|| health_url(container)).flatten(),
        lease: lease(component, &command),
        command,
    })
}

/// The URL that the kubelet asks: whether it is ready, or else whether it lives. Of the scheduler only whether it lives, as kubeadm
/// does: it calls itself ready once it has seen the whole cluster, some seconds later.
fn health_url(container: &Value) -> Option<String> {
    let readiness = container.pointer("/readinessProbe/httpGet").filter(|_| container["name"] != "kube-scheduler");
    let get = readiness.or_else(|| container.pointer("/livenessProbe/httpGet"))?;
    let text = |field: &str| get.get(field).and_then(Value::as_str);
    let port = match get.get("port")? {
        Value::String(name) => {
            container.get("ports")?.as_array()?.iter().find(|port| port["name"] == **name)?["containerPort"].as_u64()?
        }
        number => number.as_u64()?,
    };
    let host = text("host").unwrap_or("127.0.0.1");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let scheme = text("scheme").unwrap_or("HTTP").to_lowercase();
    Some(format!("{scheme}://{host}:{port}{}", text("path").unwrap_or("/")))
}

/// The values of a flag, in their order.
fn values<'a>(command: &'a [String], flag: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("--{flag}=");
    command.iter().filter_map(move |word| word.strip_prefix(&prefix))
}

/// The Lease by which a component leads. A scheduler with a file of its own may be told there to do without.
fn lease(component: &str, command: &[String]) -> Option<Lease> {
    let last = |flag: &str| values(command, flag).last();
    if !["kube-controller-manager", "kube-scheduler"].contains(&component)
        || last("leader-elect") == Some("false")
        || last("config").is_some()
    {
        return None;
    }
    let namespace = last("leader-elect-resource-namespace").unwrap_or("kube-system").to_owned();
    Some(Lease { namespace, name: last("leader-elect-resource-name").unwrap_or(component).to_owned() })
}

/// The Pods as they run, and the order in which they, their manifests and the kubelet are disturbed.
pub(super) fn running(
    cluster: &Cluster,
    facts: &Facts,
    desired: &mut Desired,
    pods: &[(Id, StaticPodSpec)],
    hosted: &[(Id, SelfHostedSpec)],
) -> Vec<Resource> {
    let owners = owners(desired);
    let timeout = cluster.timeouts.control_plane_component_health_check;
    let mut running: Vec<Resource> = Vec::new();
    let mut before: Vec<Id> = Vec::new();
    for component in rollout::COMPONENTS {
        let Some((made_of, pod)) = runs_in(component, pods, hosted) else { continue };
        let Some(resource) = desired.resources.iter_mut().find(|resource| resource.id == *made_of) else { continue };
        let gate = PodGate { pod: pod.clone(), timeout };
        let mut rollout = Rollout::Done;
        resource.after.clone_from(&before);
        if let Want::Present(Spec::File(spec)) = &mut resource.want {
            spec.pod = Some(Box::new(gate.clone()));
            rollout = match facts.rollouts.get(component) {
                None => Rollout::Done,
                Some(record) if record.failed.is_none() => Rollout::Unfinished,
                Some(_) if desired.given_up.iter().any(|given_up| given_up.id == *made_of) => Rollout::Done,
                Some(_) => Rollout::Obsolete,
            };
        }
        let reads = reads(pod);
        // Without an API server nothing is known of a `DaemonSet`, and it may be that one which has to start again.
        let own = Some(made_of).filter(|_| !pod.hosted).cloned();
        let inputs = reads.iter().filter_map(|path| owners.get(path).cloned());
        let needs = own.into_iter().chain([Id::unit(live::KUBELET)]).chain(inputs).collect::<BTreeSet<Id>>();
        let id = Id::pod(component);
        let spec = Spec::StaticPod(RunningSpec { gate, reads, rollout });
        let mut one = Resource::present(id.clone(), resource.phase, needs.into_iter().collect(), spec);
        one.after.clone_from(&before);
        running.push(one);
        let well = if pod.hosted { Id::gate(&self_hosting::name(component)) } else { Id::gate(component) };
        before.extend([made_of.clone(), id, well]);
    }
    kubelet_last(desired);
    configuration_last(desired, pods, hosted);
    if let Some((made_of, server)) = runs_in(apiserver::NAME, pods, hosted) {
        release::wait_for_server(cluster, desired, made_of, server);
    }
    running
}

/// What a component runs in, and the manifest or the `DaemonSet` that this is made of. While a static Pod is wanted beside a `DaemonSet`'s
/// it is that one: the other is on its way.
fn runs_in<'a>(
    component: &str,
    pods: &'a [(Id, StaticPodSpec)],
    hosted: &'a [(Id, SelfHostedSpec)],
) -> Option<(&'a Id, &'a StaticPodSpec)> {
    let hosted = hosted.iter().filter(|(_, spec)| spec.alone).map(|(object, spec)| (object, &spec.pod));
    pods.iter().map(|(file, pod)| (file, pod)).chain(hosted).find(|(_, pod)| pod.component == component)
}

/// A kubelet that could not start for want of a certificate starts all Pods once it has one: by then theirs are there.
fn kubelet_last(desired: &mut Desired) {
    let signed: Vec<Id> =
        desired.resources.iter().filter(|resource| is_signed(resource)).map(|one| one.id.clone()).collect();
    let kubelet = Id::kubeconfig(kubeconfig::KUBELET);
    if let Some(resource) = desired.resources.iter_mut().find(|resource| resource.id == kubelet) {
        resource.after = signed.into_iter().filter(|id| *id != kubelet).collect();
    }
}

/// Other hosts are told of a configuration once it works here.
fn configuration_last(desired: &mut Desired, pods: &[(Id, StaticPodSpec)], hosted: &[(Id, SelfHostedSpec)]) {
    let uploaded = upload_config::id();
    if let Some(resource) = desired.resources.iter_mut().find(|resource| resource.id == uploaded) {
        let hosted = hosted.iter().flat_map(|(object, spec)| [object.clone(), Id::gate(&spec.pod.pod)]);
        resource.after = pods.iter().map(|(file, _)| file.clone()).chain(hosted).collect();
    }
}

fn is_signed(resource: &Resource) -> bool {
    matches!(&resource.want, Want::Present(Spec::Certificate(_) | Spec::Kubeconfig(_)))
}

/// The files that a component reads when it starts.
fn reads(pod: &StaticPodSpec) -> Vec<String> {
    let flags = INPUTS.iter().find(|(component, _)| *component == pod.component).map_or(&[][..], |(_, flags)| flags);
    let read: BTreeSet<&str> =
        flags.iter().flat_map(|flag| values(&pod.command, flag)).filter(|path| path.starts_with('/')).collect();
    read.into_iter().map(str::to_owned).collect()
}

/// Which resources are made of which files.
fn owners(desired: &Desired) -> BTreeMap<String, Id> {
    let paths = |resource: &Resource| match &resource.want {
        Want::Present(Spec::File(spec)) => vec![spec.path.clone()],
        Want::Present(Spec::Certificate(spec)) => vec![spec.certificate.clone()],
        Want::Present(Spec::KeyPair(spec)) => vec![spec.private.clone(), spec.public.clone()],
        Want::Present(Spec::Kubeconfig(spec)) => vec![spec.path.clone()],
        _ => Vec::new(),
    };
    let owned = |resource: &Resource| {
        let id = resource.id.clone();
        paths(resource).into_iter().map(move |path| (path, id.clone())).collect::<Vec<_>>()
    };
    desired.resources.iter().flat_map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Hosting, fixture};
    use crate::desired::{desired, static_pod as manifests};
    use crate::facts::HostingFacts;
    use crate::rollout::{Record, hash};

    fn live(facts: Facts) -> Desired {
        desired(&fixture(), &Facts { live: true, ca_certificate: Some(String::new()), ..facts })
    }

    fn find<'a>(desired: &'a Desired, id: &Id) -> &'a Resource {
        desired.resources.iter().find(|resource| resource.id == *id).unwrap()
    }

    fn spec(desired: &Desired, component: &str) -> RunningSpec {
        match &find(desired, &Id::pod(component)).want {
            Want::Present(Spec::StaticPod(spec)) => spec.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_component_starts_again_for_what_it_cannot_reload_and_for_nothing_else() {
        let desired = live(Facts::default());
        let reads = |component: &str| spec(&desired, component).reads;
        let (pki, etc) = ("/etc/kubernetes/pki", "/etc/kubernetes");
        assert_eq!(reads("etcd"), [format!("{pki}/etcd/ca.crt")]);
        assert_eq!(
            reads("kube-apiserver"),
            [format!("{pki}/etcd/ca.crt"), format!("{pki}/sa.key"), format!("{pki}/sa.pub")]
        );
        assert_eq!(
            reads("kube-controller-manager"),
            [format!("{etc}/controller-manager.conf"), format!("{pki}/ca.crt"), format!("{pki}/sa.key")]
        );
        assert_eq!(reads("kube-scheduler"), [format!("{etc}/scheduler.conf")]);
    }

    #[test]
    fn one_component_is_disturbed_after_the_other_in_the_order_in_which_they_depend_on_each_other() {
        let desired = live(Facts::default());
        for (index, component) in rollout::COMPONENTS.iter().enumerate() {
            for id in [Id::file(&manifests::path(component)), Id::pod(component)] {
                let after = &find(&desired, &id).after;
                for earlier in &rollout::COMPONENTS[..index] {
                    for other in [Id::file(&manifests::path(earlier)), Id::pod(earlier), Id::gate(earlier)] {
                        assert!(after.contains(&other), "{id} does not come after {other}");
                    }
                }
                assert_eq!(after.len(), 3 * index, "{id}");
            }
        }
        let kubelet = find(&desired, &Id::kubeconfig("kubelet.conf"));
        assert!(kubelet.after.contains(&Id::certificate("apiserver")));
        assert!(kubelet.after.contains(&Id::kubeconfig("scheduler.conf")) && !kubelet.after.contains(&kubelet.id));
    }

    #[test]
    fn a_self_hosted_component_starts_again_for_the_same_files_and_in_the_same_order() {
        let mut cluster = fixture();
        cluster.settings.hosting = Hosting::SelfHosted;
        let since = ["kube-apiserver", "kube-scheduler"].map(|component| (component.to_owned(), 10));
        let hosting = HostingFacts { self_hosted: since.into(), ..HostingFacts::default() };
        let facts = Facts { live: true, now: 100, hosting, ca_certificate: Some(String::new()), ..Facts::default() };
        let (hosted, plain) = (desired(&cluster, &facts), live(Facts::default()));
        for (component, is_hosted) in rollout::COMPONENTS.into_iter().zip([false, true, false, true]) {
            assert_eq!(spec(&hosted, component).reads, spec(&plain, component).reads, "{component}");
            assert_eq!(
                spec(&hosted, component).gate.pod.hosted,
                is_hosted,
                "{component} is on its way where it is not"
            );
        }
        let scheduler = find(&hosted, &Id::pod("kube-scheduler"));
        let [api, manager] = ["self-hosted-kube-apiserver", "kube-controller-manager"].map(Id::gate);
        assert!(scheduler.after.contains(&api) && scheduler.after.contains(&manager), "{:?}", scheduler.after);
        let objects = |resource: &Resource| resource.needs.iter().any(|need| need.0.contains("DaemonSet"));
        assert!(!objects(find(&hosted, &Id::pod("kube-apiserver"))), "it may be why nothing is known of its own");
    }

    #[test]
    fn a_manifest_that_was_given_up_gives_way_to_the_one_of_before_until_another_is_wanted() {
        let path = manifests::path("kube-scheduler");
        let Want::Present(Spec::File(wanted)) = find(&live(Facts::default()), &Id::file(&path)).want.clone() else {
            panic!()
        };
        let text = bytes(&wanted.content);
        let before = text.replace("--leader-elect=true", "--leader-elect=false");
        let record =
            Record { manifest: hash(&text), before: before.clone(), failed: Some("it crashed".into()), since: None };
        let facts = |record: Record| Facts { rollouts: [("kube-scheduler", record)].into(), ..Facts::default() };
        let given_up = live(facts(record.clone()));
        let Want::Present(Spec::File(file)) = &find(&given_up, &Id::file(&path)).want else { panic!() };
        assert_eq!(bytes(&file.content), before);
        assert!(given_up.given_up[0].reason.contains("it crashed") && given_up.given_up[0].id == Id::file(&path));
        assert!(spec(&given_up, "kube-scheduler").gate.pod.command.contains(&"--leader-elect=false".to_owned()));
        let other = live(facts(Record { manifest: hash("another"), ..record.clone() }));
        assert!(other.given_up.is_empty());
        assert_eq!(spec(&other, "kube-scheduler").rollout, Rollout::Obsolete);
        let unfinished = live(facts(Record { failed: None, ..record }));
        assert_eq!(spec(&unfinished, "kube-scheduler").rollout, Rollout::Unfinished);
    }

    #[test]
    fn whoever_was_told_not_to_lead_has_no_lease() {
        let lease = |component: &str, flags: &[&str]| {
            lease(component, &flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>()).map(|lease| lease.name)
        };
        assert_eq!(lease("kube-scheduler", &["--leader-elect=true"]).as_deref(), Some("kube-scheduler"));
        assert_eq!(lease("kube-scheduler", &["--leader-elect-resource-name=mine"]).as_deref(), Some("mine"));
        assert_eq!(lease("kube-scheduler", &["--leader-elect=true", "--leader-elect=false"]), None);
        assert_eq!(lease("kube-scheduler", &["--config=/etc/scheduler.yaml"]), None);
        assert_eq!(lease("etcd", &[]), None);
    }
}

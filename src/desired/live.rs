//! What a host has on which things run, beyond its files: images, the kubelet's unit, and the health that others wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::desired::{directories, kubeconfig, kubelet, node, pki, running, self_hosting};
use crate::facts::Facts;
use crate::images;
use crate::resource::{
    Condition, Content, Desired, Effect, FileSpec, GateSpec, Id, ImageSpec, KubeletSpec, Resource, SelfHostedSpec,
    Spec, StaticPodSpec, Target, UnitSpec, Want,
};

use super::rbac::{cluster_role_binding, group};

/// The kubelet's unit.
pub const KUBELET: &str = "kubelet.service";
/// The group of `admin.conf`, which a binding makes administrators.
const ADMINS: &str = "kubeadm:cluster-admins";
const ETCD: &str = super::etcd::NAME;
/// The kubelet runs, and goes on doing so, with another configuration.
pub const STEADY: &str = "kubelet-steady";
/// How long a kubelet has to have run to be believed in: what it cannot live with ends it in its first second or two, after it has said
/// that it is healthy.
const STEADY_FOR: Duration = Duration::from_secs(5);
const WAIT: &str = "wait-control-plane";

/// Adds to the files and objects of a control plane what a host needs for them to run, and the order that this makes.
#[must_use]
pub fn complete(cluster: &Cluster, facts: &Facts, mut desired: Desired) -> Desired {
    if !facts.live {
        return desired;
    }
    let images = images::list(cluster).into_iter().map(|reference| image(cluster, reference)).collect::<Vec<_>>();
    let known: BTreeSet<Id> = images.iter().map(|image| image.id.clone()).collect();
    running::give_up(facts, &mut desired);
    let pods: Vec<(Id, StaticPodSpec)> =
        desired.resources.iter().filter_map(|resource| running::static_pod(cluster, resource)).collect();
    let hosted = self_hosting::hosted(cluster, &desired);
    for resource in &mut desired.resources {
        if let Some((_, spec)) = hosted.iter().find(|(id, _)| *id == resource.id) {
            resource.needs.extend(Some(Id::image(&spec.pod.image)).filter(|image| known.contains(image)));
        }
        if let Some((_, pod)) = pods.iter().find(|(id, _)| *id == resource.id) {
            // The kubelet would pull it too, with nobody to tell of it.
            resource.needs.extend(Some(Id::image(&pod.image)).filter(|image| known.contains(image)));
            resource.needs.extend(behind(pod, &pods));
        }
        if is_object(resource) {
            resource.needs.push(api());
            resource.needs.push(admins_id());
        }
        if resource.id == node::id(cluster) {
            resource.needs.push(Id::gate("node"));
        }
    }
    let unit = unit(&desired);
    let running = running::running(cluster, facts, &mut desired, &pods, &hosted);
    let gates = gates(cluster, &pods, &hosted, &kubelet_configuration(&desired), desired.trial.is_some());
    let resources = images.into_iter().chain(std::mem::take(&mut desired.resources));
    let self_hosted = self_hosting::gates(cluster, facts, &pods, &hosted);
    desired.resources =
        resources.chain([unit]).chain(gates).chain(self_hosted).chain(running).chain([admins()]).collect();
    addons(cluster, &mut desired, facts.await_addons);
    desired.resources = in_order(std::mem::take(&mut desired.resources));
    desired
}

/// What has to be there before a component is started or changed. The API server begins beside etcd, and needs longer than etcd until it
/// asks; where etcd is changed, that has come up again by the time that its manifest is done. The others could do nothing without an API
/// server, and would only take the processors from what they wait for.
fn behind(pod: &StaticPodSpec, pods: &[(Id, StaticPodSpec)]) -> Option<Id> {
    match pod.component {
        ETCD => None,
        "kube-apiserver" => pods.iter().find(|(_, pod)| pod.component == ETCD).map(|(manifest, _)| manifest.clone()),
        _ => Some(api()),
    }
}

/// The resources in their order, but each after what it needs.
fn in_order(resources: Vec<Resource>) -> Vec<Resource> {
    fn place(index: usize, needs: &[Vec<usize>], placed: &mut Vec<usize>, seen: &mut [bool]) {
        if std::mem::replace(&mut seen[index], true) {
            return;
        }
        for need in &needs[index] {
            place(*need, needs, placed, seen);
        }
        placed.push(index);
    }
    let known: BTreeMap<&Id, usize> = resources.iter().enumerate().map(|(index, one)| (&one.id, index)).collect();
    let needs: Vec<Vec<usize>> = resources
        .iter()
        .map(|resource| {
            resource.needs.iter().chain(&resource.after).filter_map(|need| known.get(need).copied()).collect()
        })
        .collect();
    let (mut placed, mut seen) = (Vec::with_capacity(resources.len()), vec![false; resources.len()]);
    for index in 0..resources.len() {
        place(index, &needs, &mut placed, &mut seen);
    }
    let mut resources: Vec<Option<Resource>> = resources.into_iter().map(Some).collect();
    placed.into_iter().filter_map(|index| resources[index].take()).collect()
}

/// An image. kubeadm pulls every image before anything else; here what needs one waits for that one.
fn image(cluster: &Cluster, reference: String) -> Resource {
    let node = &cluster.node;
    let pull = node.image_pull_policy != "Never";
    let id = Id::image(&reference);
    let spec = ImageSpec { reference, pull, serial: node.image_pull_serial };
    Resource::present(id, "preflight", Vec::new(), Spec::Image(spec))
}

/// The kubelet: it starts once its files are there.
fn unit(desired: &Desired) -> Resource {
    let mut needs = vec![Id::certificate(pki::CLUSTER_CA), Id::directory(directories::MANIFESTS)];
    let mut reads = Vec::new();
    for resource in &desired.resources {
        let path = match &resource.want {
            Want::Present(Spec::File(file)) if file.effect == Effect::RestartKubelet => &file.path,
            Want::Present(Spec::Kubeconfig(kubeconfig)) if kubeconfig.effect == Effect::RestartKubelet => {
                &kubeconfig.path
            }
            _ => continue,
        };
        reads.push(path.clone());
        needs.push(resource.id.clone());
    }
    // It would make one for itself.
    needs.extend(Some(kubelet::serving::id()).filter(|id| desired.resources.iter().any(|resource| resource.id == *id)));
    let spec = UnitSpec { name: KUBELET.to_owned(), reads };
    Resource::present(Id::unit(KUBELET), "kubelet-start", needs, Spec::Unit(spec))
}

/// The API server answers, so that objects can be made; it may not be ready yet.
fn api() -> Id {
    Id::gate("api")
}

fn gates(
    cluster: &Cluster,
    pods: &[(Id, StaticPodSpec)],
    hosted: &[(Id, SelfHostedSpec)],
    configuration: &Value,
    tried: bool,
) -> Vec<Resource> {
    let timeouts = &cluster.timeouts;
    let gate = |name: &str, needs: Vec<Id>, condition, timeout| {
        Resource::present(Id::gate(name), WAIT, needs, Spec::Gate(GateSpec { condition, timeout, on_demand: false }))
    };
    let mut gates = Vec::new();
    if let Some(url) = kubelet_healthz(configuration) {
        let timeout = timeouts.kubelet_health_check;
        if tried {
            let condition = Condition::Kubelet(KubeletSpec {
                unit: KUBELET.to_owned(),
                configuration: (kubelet::configuration_path(), Content::Yaml(configuration.clone())),
                health: url.clone(),
                steady: STEADY_FOR,
            });
            gates.push(gate(STEADY, vec![Id::unit(KUBELET)], condition, timeout));
        }
        gates.push(gate("kubelet", vec![Id::unit(KUBELET)], Condition::Url(url), timeout));
    }
    let running = |of: &[&str]| -> Vec<Id> {
        let files = pods.iter().filter(|(_, pod)| of.is_empty() || of.contains(&pod.component));
        files.map(|(file, _)| file.clone()).chain([Id::unit(KUBELET)]).collect()
    };
    let health = timeouts.control_plane_component_health_check;
    let administrators = [kubeconfig::NAMES[0], kubeconfig::NAMES[1]].map(Id::kubeconfig);
    let needs = running(&[ETCD, "kube-apiserver"]).into_iter().chain(administrators).collect();
    let pod = pods.iter().find(|(_, pod)| pod.component == "kube-apiserver").map(|(_, pod)| pod.clone());
    let answers = self_hosting::answers(hosted).unwrap_or(Condition::ApiAnswers(pod));
    gates.push(gate("api", needs, answers, health));
    for (_, pod) in pods {
        let needs = running(&[pod.component]);
        gates.push(gate(pod.component, needs, Condition::StaticPod(pod.clone()), health));
    }
    let name = cluster.node.name.clone();
    gates.push(gate("node", vec![api(), Id::unit(KUBELET)], Condition::Node(name), timeouts.tls_bootstrap));
    gates
}

/// Adds that the add-ons' Pods are ready: where that is `awaited`, and for what gives way to an add-on, which has to answer first.
fn addons(cluster: &Cluster, desired: &mut Desired, awaited: bool) {
    let mut gates: Vec<Resource> =
        desired.resources.iter().filter_map(|resource| addon(cluster, resource, awaited)).collect();
    for resource in &mut desired.resources {
        if let Want::Absent(Target::Object(_)) = resource.want {
            resource.needs.extend(gates.iter().find(|gate| gate.phase == resource.phase).map(|gate| gate.id.clone()));
        }
    }
    if awaited {
        route_first(cluster, desired, &mut gates);
    } else {
        let needed = |gate: &Resource| desired.resources.iter().any(|resource| resource.needs.contains(&gate.id));
        gates.retain(needed);
    }
    desired.resources.extend(gates);
}

/// A DNS server that asks for the API server before kube-proxy has made a way to it waits half a minute before it asks again, so it is
/// made after that.
fn route_first(cluster: &Cluster, desired: &mut Desired, gates: &mut Vec<Resource>) {
    let routed = Id::gate("kubernetes-service");
    let address = cluster.networking.api_service_addresses.first();
    if let Some((proxy, address)) = gates.iter().find(|gate| gate.id == Id::gate("kube-proxy")).zip(address) {
        let condition = Condition::ApiReady(format!("https://{}", std::net::SocketAddr::new(*address, 443)));
        let timeout = cluster.timeouts.control_plane_component_health_check;
        let spec = GateSpec { condition, timeout, on_demand: false };
        let gate = Resource::present(routed.clone(), proxy.phase, proxy.needs.clone(), Spec::Gate(spec));
        gates.push(gate);
        let is_deployment =
            |want: &Want| matches!(want, Want::Present(Spec::Object(object)) if object["kind"] == "Deployment");
        let servers = desired.resources.iter_mut().filter(|resource| is_deployment(&resource.want));
        servers.for_each(|server| server.needs.push(routed.clone()));
    }
}

/// The Pods of an add-on are ready. kubeadm never waits for them and has no bound for it; they have as long as a component of the
/// control plane, which is a Pod that the same kubelet starts.
fn addon(cluster: &Cluster, resource: &Resource, awaited: bool) -> Option<Resource> {
    let Want::Present(Spec::Object(object)) = &resource.want else { return None };
    // What the control plane itself runs in is waited for in any case.
    let _ = resource.phase.strip_prefix("addon/")?;
    let kind = object["kind"].as_str().filter(|kind| ["Deployment", "DaemonSet"].contains(kind))?.to_owned();
    let name = object.pointer("/metadata/name")?.as_str()?.to_owned();
    let id = Id::gate(&name);
    let timeout = cluster.timeouts.control_plane_component_health_check;
    let spec = GateSpec { condition: Condition::RolledOut { kind, name }, timeout, on_demand: !awaited };
    Some(Resource::present(id, resource.phase, vec![resource.id.clone()], Spec::Gate(spec)))
}

/// What the kubelet's file says.
fn kubelet_configuration(desired: &Desired) -> Value {
    let id = Id::file(&kubelet::configuration_path());
    match desired.resources.iter().find(|resource| resource.id == id).map(|resource| &resource.want) {
        Some(Want::Present(Spec::File(FileSpec { content: Content::Yaml(value), .. }))) => value.clone(),
        _ => Value::Null,
    }
}

/// Where the kubelet tells of its health, by its own configuration; `None` where it was told not to.
fn kubelet_healthz(configuration: &Value) -> Option<String> {
    let field = |name: &str| configuration.get(name);
    let port =
        u16::try_from(field("healthzPort").and_then(Value::as_u64).unwrap_or(10248)).ok().filter(|port| *port > 0)?;
    let address = field("healthzBindAddress").and_then(Value::as_str).and_then(|address| address.parse().ok());
    let address = match address {
        Some(address @ (std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_))) if !address.is_unspecified() => address,
        _ => std::net::Ipv4Addr::LOCALHOST.into(),
    };
    Some(format!("http://{}/healthz", std::net::SocketAddr::new(address, port)))
}

/// `admin.conf` is an administrator's by this binding alone, which can therefore be taken away. kubeadm makes it with `super-admin.conf`.
fn admins() -> Resource {
    let mut binding =
        Resource::object("kubeconfig/admin", cluster_role_binding(ADMINS, "cluster-admin", &[group(ADMINS)]));
    binding.needs.push(api());
    binding
}

fn admins_id() -> Id {
    Id::object("ClusterRoleBinding", None, ADMINS)
}

fn is_object(resource: &Resource) -> bool {
    matches!(&resource.want, Want::Present(Spec::Object(_)) | Want::Absent(Target::Object(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{DnsKind, fixture};
    use crate::desired::{desired, static_pod};

    fn live(cluster: &Cluster) -> Desired {
        desired(cluster, &Facts { live: true, ca_certificate: Some(String::new()), ..Facts::default() })
    }

    fn find<'a>(desired: &'a Desired, id: &Id) -> &'a Resource {
        desired.resources.iter().find(|resource| resource.id == *id).unwrap()
    }

    /// Whether one resource is only reached through another, however long the way.
    fn stands_behind(desired: &Desired, id: &Id, before: &Id) -> bool {
        find(desired, id).needs.iter().any(|need| need == before || stands_behind(desired, need, before))
    }

    #[test]
    fn nothing_is_started_before_what_it_depends_on_is_healthy() {
        let desired = live(&fixture());
        let manifest = |name: &str| Id::file(&static_pod::path(name));
        assert!(find(&desired, &manifest("kube-apiserver")).needs.contains(&manifest("etcd")));
        for component in ["kube-controller-manager", "kube-scheduler"] {
            assert!(stands_behind(&desired, &manifest(component), &Id::gate("api")), "{component}");
        }
        for object in desired.resources.iter().filter(|resource| is_object(resource)) {
            assert!(stands_behind(&desired, &object.id, &Id::gate("api")), "{}", object.id);
        }
        assert!(stands_behind(&desired, &node::id(&fixture()), &Id::gate("node")), "the kubelet makes its Node");
    }

    #[test]
    fn a_component_waits_for_its_own_image_alone() {
        let desired = live(&fixture());
        let needs = &find(&desired, &Id::file(&static_pod::path("etcd"))).needs;
        let images: Vec<_> = needs.iter().filter(|need| need.0.starts_with("image:")).collect();
        assert!(matches!(images[..], [image] if image.0.contains("/etcd:")), "{images:?}");
    }

    #[test]
    fn in_a_sandbox_nothing_runs() {
        let desired = desired(&fixture(), &Facts::default());
        let runs = |resource: &&Resource| {
            matches!(&resource.want, Want::Present(Spec::Image(_) | Spec::Unit(_) | Spec::Gate(_)))
        };
        assert!(!desired.resources.iter().any(|resource| runs(&resource)));
        assert!(!desired.resources.iter().any(|resource| resource.id == admins_id()));
    }

    #[test]
    fn health_is_asked_for_where_the_kubelet_asks() {
        let desired = live(&fixture());
        let url = |name: &str| match &find(&desired, &Id::gate(name)).want {
            Want::Present(Spec::Gate(GateSpec { condition: Condition::StaticPod(pod), .. })) => pod.health.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(url("kube-controller-manager").as_deref(), Some("https://127.0.0.1:10257/healthz"));
        assert_eq!(url("kube-scheduler").as_deref(), Some("https://127.0.0.1:10259/livez"));
        assert_eq!(url("etcd").as_deref(), Some("http://127.0.0.1:2381/readyz"));
        assert_eq!(url("kube-apiserver"), None, "its own client asks");
    }

    #[test]
    fn a_kubelet_that_tells_nobody_of_its_health_is_not_waited_for() {
        let mut cluster = fixture();
        cluster.kubelet.value["healthzPort"] = 0.into();
        let desired = live(&cluster);
        assert!(!desired.resources.iter().any(|resource| resource.id == Id::gate("kubelet")));
    }

    fn awaited_addons(cluster: &Cluster, await_addons: bool) -> Vec<String> {
        let facts = Facts { live: true, await_addons, ..Facts::default() };
        let awaited = |resource: &Resource| match &resource.want {
            Want::Present(Spec::Gate(GateSpec {
                condition: Condition::RolledOut { kind, name },
                on_demand: false,
                ..
            })) => Some(format!("{kind}/{name}")),
            _ => None,
        };
        desired(cluster, &facts).resources.iter().filter_map(awaited).collect()
    }

    #[test]
    fn the_addons_that_the_cluster_has_are_waited_for_where_that_is_asked_for() {
        let mut cluster = fixture();
        assert!(awaited_addons(&cluster, false).is_empty());
        assert_eq!(awaited_addons(&cluster, true), ["Deployment/coredns", "DaemonSet/kube-proxy"]);
        cluster.skip_phases.insert("addon/coredns".to_owned());
        assert_eq!(awaited_addons(&cluster, true), ["DaemonSet/kube-proxy"]);
    }

    #[test]
    fn the_old_dns_server_stays_until_the_new_one_answers() {
        let mut cluster = fixture();
        for (kind, new, old) in [(DnsKind::KubeDns, "kube-dns", "coredns"), (DnsKind::CoreDns, "coredns", "kube-dns")] {
            cluster.dns.kind = kind;
            let desired = live(&cluster);
            for kind in ["Deployment", "ServiceAccount"] {
                let old = Id::object(kind, Some("kube-system"), old);
                assert!(stands_behind(&desired, &old, &Id::gate(new)), "{old}");
            }
            assert!(stands_behind(&desired, &Id::gate(new), &Id::object("Deployment", Some("kube-system"), new)));
        }
    }

    #[test]
    fn the_dns_server_is_made_when_kube_proxy_leads_it_to_the_api_server() {
        let mut cluster = fixture();
        let facts = Facts { live: true, await_addons: true, ..Facts::default() };
        let needs = |cluster: &Cluster| {
            let id = Id::object("Deployment", Some("kube-system"), "coredns");
            let resources = desired(cluster, &facts).resources;
            resources.into_iter().find(|resource| resource.id == id).unwrap().needs
        };
        let routed = Id::gate("kubernetes-service");
        assert!(needs(&cluster).contains(&routed));
        cluster.skip_phases.insert("addon/kube-proxy".to_owned());
        assert!(!needs(&cluster).contains(&routed), "whoever brings another proxy brings it later");
    }
}

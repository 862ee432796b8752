//! What a host has on which things run, beyond its files: images, the kubelet's unit, and the health that others wait for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::desired::{directories, kubeconfig, node, pki};
use crate::facts::Facts;
use crate::images;
use crate::resource::{
    Condition, Content, Desired, Effect, GateSpec, Id, ImageSpec, Resource, Spec, StaticPodSpec, Target, UnitSpec, Want,
};

use super::rbac::{cluster_role_binding, group};

/// The kubelet's unit.
pub const KUBELET: &str = "kubelet.service";
/// The group of `admin.conf`, which a binding makes administrators.
const ADMINS: &str = "kubeadm:cluster-admins";
const WAIT: &str = "wait-control-plane";

/// Adds to the files and objects of a control plane what a host needs for them to run, and the order that this makes.
#[must_use]
pub fn complete(cluster: &Cluster, facts: &Facts, mut desired: Desired) -> Desired {
    if !facts.live {
        return desired;
    }
    let images = images::list(cluster).into_iter().map(|reference| image(cluster, reference)).collect::<Vec<_>>();
    let known: BTreeSet<Id> = images.iter().map(|image| image.id.clone()).collect();
    let pods: Vec<(Id, StaticPodSpec)> =
        desired.resources.iter().filter_map(|resource| static_pod(cluster, resource)).collect();
    for resource in &mut desired.resources {
        if let Some((_, pod)) = pods.iter().find(|(id, _)| *id == resource.id) {
            // The kubelet would pull it too, with nobody to tell of it.
            resource.needs.extend(Some(Id::image(&pod.image)).filter(|image| known.contains(image)));
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
    desired.resources.splice(0..0, images);
    desired.push(unit);
    desired.resources.extend(gates(cluster, &pods));
    desired.push(admins());
    desired.resources = in_order(desired.resources);
    desired
}

/// The resources, each after what it needs; else as they were.
fn in_order(resources: Vec<Resource>) -> Vec<Resource> {
    let mut left: BTreeMap<Id, Resource> = BTreeMap::new();
    let mut ids: Vec<Id> = Vec::new();
    for resource in resources {
        ids.push(resource.id.clone());
        left.insert(resource.id.clone(), resource);
    }
    ids.reverse();
    let (mut ordered, mut met) = (Vec::new(), BTreeSet::new());
    // What a resource needs goes on the stack above it; when it is met again, all of that is in order.
    while let Some(id) = ids.pop() {
        let Some(resource) = left.remove(&id) else { continue };
        let needs: Vec<Id> = resource.needs.iter().filter(|need| left.contains_key(need)).cloned().collect();
        if needs.is_empty() || !met.insert(id.clone()) {
            ordered.push(resource);
        } else {
            left.insert(id.clone(), resource);
            ids.push(id);
            ids.extend(needs.into_iter().rev());
        }
    }
    ordered
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
    let spec = UnitSpec { name: KUBELET.to_owned(), reads };
    Resource::present(Id::unit(KUBELET), "kubelet-start", needs, Spec::Unit(spec))
}

/// The API server answers, so that objects can be made; it may not be ready yet.
fn api() -> Id {
    Id::gate("api")
}

fn gates(cluster: &Cluster, pods: &[(Id, StaticPodSpec)]) -> Vec<Resource> {
    let timeouts = &cluster.timeouts;
    let gate = |name: &str, needs: Vec<Id>, condition, timeout| {
        Resource::present(Id::gate(name), WAIT, needs, Spec::Gate(GateSpec { condition, timeout }))
    };
    let mut gates = vec![gate(
        "kubelet",
        vec![Id::unit(KUBELET)],
        Condition::Url(kubelet_healthz(cluster)),
        timeouts.kubelet_health_check,
    )];
    let running = |of: &[&str]| -> Vec<Id> {
        let files = pods.iter().filter(|(_, pod)| of.is_empty() || of.contains(&pod.component.as_str()));
        files.map(|(file, _)| file.clone()).chain([Id::unit(KUBELET)]).collect()
    };
    let health = timeouts.control_plane_component_health_check;
    let administrators = [kubeconfig::NAMES[0], kubeconfig::NAMES[1]].map(Id::kubeconfig);
    let needs = running(&["etcd", "kube-apiserver"]).into_iter().chain(administrators).collect();
    gates.push(gate("api", needs, Condition::ApiAnswers, health));
    for (_, pod) in pods {
        let needs = running(&[pod.component.as_str()]);
        gates.push(gate(&pod.component, needs, Condition::StaticPod(pod.clone()), health));
    }
    let name = cluster.node.name.clone();
    gates.push(gate("node", vec![api(), Id::unit(KUBELET)], Condition::Node(name), timeouts.tls_bootstrap));
    gates
}

/// Where the kubelet tells of its health, by its own configuration.
fn kubelet_healthz(cluster: &Cluster) -> String {
    let field = |name: &str| cluster.kubelet.value.get(name);
    let port = field("healthzPort").and_then(Value::as_u64).unwrap_or(10248);
    let address = field("healthzBindAddress").and_then(Value::as_str).and_then(|address| address.parse().ok());
    let address = match address {
        Some(address @ (std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_))) if !address.is_unspecified() => address,
        _ => std::net::Ipv4Addr::LOCALHOST.into(),
    };
    format!("http://{}/healthz", std::net::SocketAddr::new(address, u16::try_from(port).unwrap_or(10248)))
}

/// The static Pod of a manifest.
fn static_pod(cluster: &Cluster, resource: &Resource) -> Option<(Id, StaticPodSpec)> {
    let Want::Present(Spec::File(file)) = &resource.want else { return None };
    let (Effect::Restart(component), Content::Yaml(pod)) = (&file.effect, &file.content) else { return None };
    if !file.path.starts_with(directories::MANIFESTS) {
        return None;
    }
    let container = pod.pointer("/spec/containers/0")?;
    let words = |field: &str| -> Vec<String> {
        let list = container.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let spec = StaticPodSpec {
        component: (*component).to_owned(),
        pod: format!("{component}-{}", cluster.node.name),
        image: container.get("image")?.as_str()?.to_owned(),
        command: words("command").into_iter().chain(words("args")).collect(),
        health: (*component != "kube-apiserver").then(|| health_url(container)).flatten(),
    };
    Some((resource.id.clone(), spec))
}

/// The URL that the kubelet asks, by the container's readiness probe or else its liveness probe.
fn health_url(container: &Value) -> Option<String> {
    let get = ["readinessProbe", "livenessProbe"]
        .into_iter()
        .find_map(|probe| container.pointer(&format!("/{probe}/httpGet")))?;
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

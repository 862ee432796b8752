//! The API server, the controller manager and the scheduler in Pods of `DaemonSet`s, as `kubeadm alpha selfhosting` once had them, and the
//! static Pods that help them up.
//!
//! The kubelet knows a `DaemonSet`'s Pod from the API alone. So where a component does not run, after a reboot say, its static Pod is
//! wanted, until a Pod of its `DaemonSet` runs beside it; both listen on the same port meanwhile (`--permit-port-sharing`). Which of
//! the two is wanted follows from what runs, and nothing is remembered.

mod gates;

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Hosting};
use crate::desired::object::{SYSTEM, absent};
use crate::desired::{apiserver, controller_manager, node, running, scheduler, static_pod};
use crate::facts::Facts;
use crate::resource::{Content, Desired, GivenUp, Id, Origin, Resource, Spec, Target, Want};
use crate::{rollout, yaml};

pub use gates::{answers, gates, hosted};

/// The components that may be self-hosted, in the order in which they move.
pub const COMPONENTS: [&str; 3] = [apiserver::NAME, controller_manager::NAME, scheduler::NAME];

/// How long a container has run before anything is left to it: one that ends as often as it is started is no component.
pub const STEADY: Duration = Duration::from_secs(10);

/// The line of the configuration that all of this comes from.
const FIELD: &str = "PlanekeeperConfiguration.controlPlaneHosting";
/// Lets another process of the host listen on the same port.
const SHARES_PORT: &str = "--permit-port-sharing=true";
/// Marks the manifest of a static Pod that goes once the component runs in a Pod of its `DaemonSet`.
const RECOVERY: &str = "planekeeper.dev/recovery";
/// A variable with the address of the Node that a Pod runs on.
const HOST_IP: &str = "HOST_IP";

/// The name of a component's `DaemonSet`.
#[must_use]
pub fn name(component: &str) -> String {
    format!("self-hosted-{component}")
}

/// The component that an object is the `DaemonSet` of.
#[must_use]
pub fn component(object: &Value) -> Option<&'static str> {
    let of = |component: &&str| object.pointer("/metadata/name").is_some_and(|found| *found == name(component));
    COMPONENTS.into_iter().find(of).filter(|_| object["kind"] == "DaemonSet")
}

/// Moves the components to where they are wanted. A `DaemonSet` that may be left is wanted absent, for nobody else would remove it.
#[must_use]
pub fn complete(cluster: &Cluster, facts: &Facts, mut desired: Desired) -> Desired {
    let mut objects = Vec::new();
    let mut before: Option<&str> = None;
    for component in COMPONENTS {
        let id = Id::file(&static_pod::path(component));
        let Some(manifest) = desired.resources.iter_mut().find(|resource| resource.id == id) else { continue };
        let Some(pod) = pod_mut(manifest) else { continue };
        match cluster.settings.hosting {
            Hosting::StaticPods => {
                if facts.hosting.self_hosted.contains_key(component) || facts.hosting.shared.contains(component) {
                    share_port(component, pod);
                }
                if facts.hosting.daemon_sets {
                    let mut gone = absent(manifest.phase, "apps/v1", "DaemonSet", Some(SYSTEM), &name(component));
                    gone.needs.push(Id::gate(component));
                    gone.origins = whole(cluster);
                    objects.push(gone);
                }
            }
            Hosting::SelfHosted => {
                desired.given_up.extend(go_back(component, facts, pod));
                desired.hosted.extend(record_of(component).map(|name| (name, yaml::to_string(pod))));
                share_port(component, pod);
                let object = daemon_set(cluster, component, pod);
                pod["metadata"]["annotations"][RECOVERY] = json!("true");
                manifest.origins.extend(own_origins(cluster));
                let after = before.map(|before| Id::gate(&name(before)));
                objects.push(self_hosted(cluster, manifest, object, after));
                if steps_aside(component, facts) {
                    let after = before.map(|before| Id::file(&static_pod::path(before)));
                    manifest.needs = std::iter::once(Id::gate(&name(component))).chain(after).collect();
                    manifest.want = Want::Absent(Target::File(static_pod::path(component)));
                    manifest.origins = whole(cluster);
                }
                before = Some(component);
            }
        }
    }
    desired.resources.extend(objects);
    desired
}

/// A component's `DaemonSet`, by its name.
#[must_use]
pub fn id(name: &str) -> Id {
    Id::object("DaemonSet", Some(SYSTEM), name)
}

/// What a record of a change of a self-hosted component is known by: the name of its `DaemonSet`.
fn record_of(component: &str) -> Option<&'static str> {
    rollout::SELF_HOSTED.into_iter().find(|known| *known == name(component))
}

/// Puts the manifest of before in the place of one with which a component did not become well, for the `DaemonSet` and for the static Pod
/// that helps up.
fn go_back(component: &str, facts: &Facts, pod: &mut Value) -> Option<GivenUp> {
    let name = record_of(component)?;
    let record = facts.rollouts.get(name).filter(|record| record.gives_up(&yaml::to_string(pod)))?;
    *pod = yaml::parse(&record.before).ok()?;
    Some(running::given_up(id(name), name, record))
}

/// The static Pod of a component is not wanted. In a folder nothing runs, and what is wanted in the end is shown.
fn steps_aside(component: &str, facts: &Facts) -> bool {
    let hosting = &facts.hosting;
    let steady = |since: &i64| facts.now.saturating_sub(*since) >= i64::try_from(STEADY.as_secs()).unwrap_or(i64::MAX);
    // Where there is no manifest there is nothing to be taken away: a container that was only just made again is enough.
    let runs = |since: &i64| !hosting.manifests.contains(component) || steady(since);
    !facts.live || hosting.self_hosted.get(component).is_some_and(runs)
}

/// A manifest that is wanted only while its component does not run elsewhere, or that is there for that alone.
#[must_use]
pub fn is_recovery(want: &Want, seen: Option<&[u8]>) -> bool {
    let marked = |pod: &Value| pod["metadata"]["annotations"].get(RECOVERY).is_some();
    match (want, seen) {
        (Want::Present(Spec::File(file)), None) => matches!(&file.content, Content::Yaml(pod) if marked(pod)),
        (Want::Absent(Target::File(_)), Some(bytes)) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| crate::yaml::parse(text).ok())
            .is_some_and(|pod| marked(&pod)),
        _ => false,
    }
}

/// A static Pod's manifest shares its port with a `DaemonSet`'s Pod, or may have to.
#[must_use]
pub fn shares_port(manifest: &str) -> bool {
    manifest.contains(SHARES_PORT)
}

/// A text of a configuration, as it is kept, has a self-hosted control plane in it, or may have.
#[must_use]
pub fn names_it(configuration: &str) -> bool {
    configuration.contains("SelfHosted")
}

fn pod_mut(resource: &mut Resource) -> Option<&mut Value> {
    match &mut resource.want {
        Want::Present(Spec::File(file)) => match &mut file.content {
            Content::Yaml(pod) => Some(pod),
            Content::Text(_) => None,
        },
        _ => None,
    }
}

fn whole(cluster: &Cluster) -> Vec<Origin> {
    cluster.lines.of(FIELD).map(|place| Origin { field: String::new(), place: place.clone() }).into_iter().collect()
}

/// The lines of what is added to a manifest.
fn own_origins(cluster: &Cluster) -> Vec<Origin> {
    let place = cluster.lines.of(FIELD);
    let fields = ["--permit-port-sharing", ".metadata.annotations"];
    place
        .into_iter()
        .flat_map(|place| fields.map(|field| Origin { field: field.to_owned(), place: place.clone() }))
        .collect()
}

/// Adds the flag, where the user has not set it.
fn share_port(component: &str, pod: &mut Value) {
    let containers = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let mine = containers.and_then(|containers| containers.iter_mut().find(|container| container["name"] == component));
    let command = mine.and_then(|container| container.get_mut("command")).and_then(Value::as_array_mut);
    if let Some(command) = command.filter(|command| !command.iter().any(|word| word == SHARES_PORT)) {
        command.push(json!(SHARES_PORT));
    }
}

/// The `DaemonSet` as a resource. One component moves after the other.
fn self_hosted(cluster: &Cluster, manifest: &Resource, object: Value, after: Option<Id>) -> Resource {
    let mut resource = Resource::object(manifest.phase, object);
    // What it reads, but not the folder of manifests or what has to run for a static Pod.
    let reads = manifest
        .needs
        .iter()
        .filter(|need| !need.0.starts_with("directory:") && !need.0.starts_with("file:/etc/kubernetes/manifests/"));
    resource.needs = reads.cloned().chain(after).chain([node::id(cluster)]).collect();
    let line = |origin: &Origin| Origin { field: template_field(&origin.field), place: origin.place.clone() };
    resource.origins = manifest.origins.iter().filter(|origin| !origin.field.is_empty()).map(line).collect();
    resource.origins.extend(whole(cluster));
    resource
}

/// A field of a Pod, in a template of Pods. Flags are called the same.
fn template_field(field: &str) -> String {
    if field.starts_with('.') { format!(".spec.template{field}") } else { field.to_owned() }
}

/// The `DaemonSet` of a component's Pod. Before the old Pod goes, the new one is ready beside it.
fn daemon_set(cluster: &Cluster, component: &str, pod: &Value) -> Value {
    let labels = json!({"k8s-app": name(component)});
    let mut template =
        pod.get("metadata").and_then(|metadata| metadata.get("labels")).cloned().unwrap_or_else(|| json!({}));
    template["k8s-app"] = labels["k8s-app"].clone();
    let mut metadata = json!({"labels": template});
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
    // This one is of one host.
    let annotations: serde_json::Map<String, Value> = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| !key.ends_with("advertise-address.endpoint"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !annotations.is_empty() {
        metadata["annotations"] = Value::Object(annotations);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name(component), "namespace": SYSTEM, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "minReadySeconds": STEADY.as_secs(),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": metadata, "spec": template_spec(cluster, pod)},
        },
    })
}

fn template_spec(cluster: &Cluster, pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    if let Some(fields) = spec.as_object_mut() {
        // The API works it out from the class.
        fields.remove("priority");
    }
    spec["nodeSelector"] = json!({node::CONTROL_PLANE: "", node::SELF_HOSTED: ""});
    spec["tolerations"] = json!([{"operator": "Exists"}]);
    spec["automountServiceAccountToken"] = json!(false);
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        number_ports(container);
        host_address(cluster, container);
    }
    spec
}

/// A port that a Pod names is its own on the Node for the scheduler, which would find no place for it beside the static Pod.
fn number_ports(container: &mut Value) {
    let Some(ports) = container.as_object_mut().and_then(|fields| fields.remove("ports")) else { return };
    let number = |name: &Value| {
        let mut ports = ports.as_array().into_iter().flatten();
        ports.find(|port| port["name"] == *name).map(|port| port["containerPort"].clone())
    };
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(port) = container.get_mut(probe).and_then(|probe| probe.pointer_mut("/httpGet/port"))
            && let Some(number) = number(port)
        {
            *port = number;
        }
    }
}

/// The host's own address becomes the address of whichever Node the Pod runs on.
fn host_address(cluster: &Cluster, container: &mut Value) {
    let literal = format!("--advertise-address={}", cluster.endpoint.address);
    let Some(flag) = container
        .get_mut("command")
        .and_then(Value::as_array_mut)
        .and_then(|command| command.iter_mut().find(|word| **word == literal))
    else {
        return;
    };
    *flag = json!(format!("--advertise-address=$({HOST_IP})"));
    let address = json!({"name": HOST_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}});
    match container.get_mut("env").and_then(Value::as_array_mut) {
        Some(env) => env.push(address),
        None => container["env"] = json!([address]),
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let get = container.get_mut(probe).and_then(|probe| probe.get_mut("httpGet")).and_then(Value::as_object_mut);
        if let Some(get) =
            get.filter(|get| get.get("host").is_some_and(|host| *host == cluster.endpoint.address.to_string()))
        {
            get.remove("host");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Arg, Patch, PatchKind, fixture};
    use crate::desired::desired;
    use crate::facts::HostingFacts;
    use crate::resource::{Condition, GateSpec};

    fn cluster() -> Cluster {
        let mut cluster = fixture();
        cluster.settings.hosting = Hosting::SelfHosted;
        cluster
    }

    /// A live host at second 100, on which the scheduler has run in its `DaemonSet` since then, and has a manifest or not.
    fn facts(since: Option<i64>, manifest: bool) -> Facts {
        let hosting = HostingFacts {
            manifests: manifest.then(|| scheduler::NAME.to_owned()).into_iter().collect(),
            self_hosted: since.map(|since| (scheduler::NAME.to_owned(), since)).into_iter().collect(),
            daemon_sets: true,
            shared: std::collections::BTreeSet::new(),
        };
        Facts { live: true, now: 100, hosting, ..Facts::default() }
    }

    fn want(cluster: &Cluster, facts: &Facts, id: &Id) -> Option<Want> {
        desired(cluster, facts).resources.into_iter().find(|resource| resource.id == *id).map(|resource| resource.want)
    }

    fn manifest(facts: &Facts) -> Want {
        want(&cluster(), facts, &Id::file(&static_pod::path(scheduler::NAME))).unwrap()
    }

    fn object(cluster: &Cluster, component: &str) -> Value {
        let id = super::id(&name(component));
        match want(cluster, &facts(None, false), &id) {
            Some(Want::Present(Spec::Object(object))) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_static_pod_is_wanted_until_the_daemon_sets_has_run_for_some_time_and_comes_back_only_when_it_is_gone() {
        let helps = |since, there| matches!(manifest(&facts(since, there)), Want::Present(_));
        assert!(helps(None, false) && helps(None, true), "nothing else runs");
        assert!(helps(Some(95), true), "one that ends again and again is not relied on");
        assert!(!helps(Some(90), true) && !helps(Some(10), true));
        assert!(!helps(Some(99), false), "one that was only just made anew is no reason for another");
        assert!(matches!(manifest(&Facts::default()), Want::Absent(_)), "a folder shows what is wanted in the end");
    }

    #[test]
    fn a_recovery_manifest_shares_its_port_and_is_told_from_somebody_elses() {
        let wanted = manifest(&facts(None, false));
        let Want::Present(Spec::File(file)) = &wanted else { panic!("{wanted:?}") };
        let text = crate::diff::file::bytes(&file.content);
        assert!(shares_port(&text), "{text}");
        assert!(is_recovery(&wanted, None));
        let gone = manifest(&facts(Some(10), true));
        assert!(is_recovery(&gone, Some(text.as_bytes())));
        assert!(!is_recovery(&gone, Some(b"kind: Pod")) && !is_recovery(&gone, Some(b"{")));
    }

    #[test]
    fn a_manifest_is_kept_until_its_daemon_sets_pod_is_seen_to_work() {
        let desired = desired(&cluster(), &facts(Some(10), true));
        let of = |id: Id| desired.resources.iter().find(|resource| resource.id == id).unwrap();
        let gate = Id::gate(&name(scheduler::NAME));
        assert!(of(Id::file(&static_pod::path(scheduler::NAME))).needs.contains(&gate));
        let Want::Present(Spec::Gate(GateSpec { condition: Condition::SelfHosted(spec), .. })) = &of(gate).want else {
            panic!("it is no condition of a self-hosted component")
        };
        assert!(spec.alone && spec.pod.health.is_some());
    }

    #[test]
    fn a_pod_of_a_daemon_set_fits_on_any_node_that_planekeeper_hosts_beside_a_static_pod() {
        let spec = object(&cluster(), apiserver::NAME)["spec"]["template"]["spec"].clone();
        assert!(spec.get("priority").is_none(), "the API refuses a number beside the class");
        let selector = json!({"node-role.kubernetes.io/control-plane": "", "planekeeper.dev/self-hosted": ""});
        assert_eq!(spec["nodeSelector"], selector, "a control plane that joined by kubeadm has static Pods");
        let container = &spec["containers"][0];
        assert!(container.get("ports").is_none(), "its port would be taken on the Node");
        assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": 6443, "scheme": "HTTPS"}));
        let command = container["command"].as_array().unwrap();
        assert!(command.contains(&json!("--advertise-address=$(HOST_IP)")), "{command:?}");
    }

    #[test]
    fn on_this_host_the_address_is_the_one_that_the_configuration_says() {
        let desired = desired(&cluster(), &facts(None, false));
        let (_, spec) = hosted(&cluster(), &desired).remove(0);
        assert!(spec.pod.command.contains(&"--advertise-address=10.0.0.10".to_owned()), "{:?}", spec.pod.command);
    }

    #[test]
    fn flags_and_patches_of_a_component_are_its_daemon_sets_too() {
        let mut cluster = cluster();
        cluster.scheduler.extra_args.push(Arg { name: "v".to_owned(), value: "4".to_owned() });
        let value = json!({"metadata": {"annotations": {"mine": "yes"}}, "spec": {"terminationGracePeriodSeconds": 9}});
        let (target, file) = (scheduler::NAME.to_owned(), "kube-scheduler.yaml".to_owned());
        cluster.patches.push(Patch { target, kind: PatchKind::Strategic, value, file });
        let template = object(&cluster, scheduler::NAME)["spec"]["template"].clone();
        assert_eq!(template["metadata"]["annotations"], json!({"mine": "yes"}));
        assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 9);
        assert!(template["spec"]["containers"][0]["command"].as_array().unwrap().contains(&json!("--v=4")));
    }

    #[test]
    fn on_the_way_back_both_run_until_the_daemon_sets_pod_has_ended() {
        let path = Id::file(&static_pod::path(scheduler::NAME));
        let both = facts(Some(10), true);
        let mut broken_off = facts(None, true);
        broken_off.hosting.shared.insert(scheduler::NAME.to_owned());
        let text = |facts: &Facts| match want(&fixture(), facts, &path) {
            Some(Want::Present(Spec::File(file))) => crate::diff::file::bytes(&file.content),
            other => panic!("{other:?}"),
        };
        assert!(shares_port(&text(&both)) && !shares_port(&text(&facts(None, true))));
        assert!(shares_port(&text(&broken_off)), "a Pod of the DaemonSet that has ended may come back");
        let desired = desired(&fixture(), &both);
        let of = |id: &Id| desired.resources.iter().find(|resource| resource.id == *id);
        let daemon_set = super::id(&name(scheduler::NAME));
        assert!(of(&daemon_set).unwrap().needs.contains(&Id::gate(scheduler::NAME)));
        assert!(of(&Id::gate("self-hosted-kube-scheduler-ended")).is_some());
    }

    #[test]
    fn who_never_hosted_anything_is_asked_for_nothing() {
        let facts = Facts { live: true, ..Facts::default() };
        let named = |resource: &Resource| resource.id.0.contains("self-hosted");
        assert!(!desired(&fixture(), &facts).resources.iter().any(named));
    }
}

//! Manifests of static Pods, as kubeadm's typed serializer writes them: what is empty is left out, but for `status` and
//! `resources`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, HostPathMount, Version};
use crate::desired::directories;
use crate::facts::Facts;
use crate::patch::{self, MergeSchema};
use crate::resource::{Content, Effect, FileSpec, Id, Origin, Resource, Spec};

/// A static Pod of one container.
pub struct StaticPod {
    /// Name of the Pod, its container, its image's component and its file.
    pub name: &'static str,
    /// The image with its tag.
    pub image: String,
    /// The program and its flags.
    pub command: Vec<String>,
    /// Environment, by name.
    pub env: Vec<Value>,
    /// What it sees of the host, in the order in which the container names it.
    pub mounts: Vec<HostPathMount>,
    /// What it asks of the Node: quantities by resource.
    pub requests: BTreeMap<&'static str, &'static str>,
    /// How the kubelet asks for its health.
    pub probes: Probes,
    /// Annotations.
    pub annotations: BTreeMap<&'static str, String>,
}

/// Probes over HTTP, of one address.
pub struct Probes {
    /// The address; empty means the Pod's.
    pub host: String,
    /// The port, which the container names `probe-port`.
    pub port: u16,
    /// TLS or not.
    pub tls: bool,
    /// Path of the liveness probe.
    pub liveness: &'static str,
    /// Path of the readiness probe, where there is one.
    pub readiness: Option<&'static str>,
    /// Path of the startup probe.
    pub startup: &'static str,
    /// How long starting may take.
    pub startup_timeout: Duration,
}

/// Period of the probes, in seconds; the readiness probe's is one second.
const PERIOD: u64 = 10;

/// The manifest as a resource, with the user's patches applied.
#[must_use]
pub fn resource(
    cluster: &Cluster,
    facts: &Facts,
    phase: &'static str,
    pod: &StaticPod,
    needs: Vec<Id>,
    origins: Vec<Origin>,
) -> Resource {
    let path = path(pod.name);
    let spec = FileSpec {
        content: Content::Yaml(patched(cluster, pod.name, manifest(pod))),
        mode: 0o600,
        owner: facts.owner,
        effect: Effect::Restart(pod.name),
        pod: None,
        path: path.clone(),
    };
    let needs = [Id::directory(directories::MANIFESTS)].into_iter().chain(needs).collect();
    Resource::present(Id::file(&path), phase, needs, Spec::File(spec)).from(origins)
}

/// The path of a static Pod's manifest.
#[must_use]
pub fn path(name: &str) -> String {
    format!("{}/{name}.yaml", directories::MANIFESTS)
}

/// The container of a component in its Pod or in a template of Pods: a patch may have put others before it.
#[must_use]
pub fn container_of<'a>(pod: &'a Value, component: &str) -> Option<&'a Value> {
    pod.pointer("/spec/containers")?.as_array()?.iter().find(|container| container["name"] == component)
}

/// The version that an image's tag names: `v1.37.2`, or etcd's `3.6.6-0`; `None` where it names none.
#[must_use]
pub fn version_of(image: &str) -> Option<Version> {
    let tagged = image.split('@').next().unwrap_or_default();
    let (_, tag) = tagged.rsplit_once(':')?;
    tag.split(['-', '+']).next()?.parse().ok()
}

/// The environment of a component: the proxy's variables where they are given, and the user's own over them. By name.
#[must_use]
pub fn environment(proxy: &BTreeMap<String, String>, extra: &[Value]) -> Vec<Value> {
    let mut variables: BTreeMap<&str, Value> =
        proxy.iter().map(|(name, value)| (name.as_str(), json!({ "name": name, "value": value }))).collect();
    for variable in extra {
        let Some(name) = variable.get("name").and_then(Value::as_str) else { continue };
        let mut variable = variable.clone();
        if let Some(fields) = variable.as_object_mut() {
            fields.retain(|_, value| !value.is_null() && value != "");
        }
        variables.insert(name, variable);
    }
    variables.into_values().collect()
}

/// The address to probe, of the address that a component listens on: no address can be asked at "all of them".
#[must_use]
pub fn probe_host(bind_address: &str) -> String {
    if ["0.0.0.0", "::"].contains(&bind_address) { String::new() } else { bind_address.to_owned() }
}

fn manifest(pod: &StaticPod) -> Value {
    let mut metadata = json!({
        "name": pod.name,
        "namespace": "kube-system",
        "labels": { "component": pod.name, "tier": "control-plane" },
    });
    if !pod.annotations.is_empty() {
        metadata["annotations"] = json!(pod.annotations);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "containers": [container(pod)],
            "hostNetwork": true,
            "priority": 2_000_001_000, // system-node-critical
            "priorityClassName": "system-node-critical",
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "volumes": volumes(&pod.mounts),
        },
        "status": {},
    })
}

fn container(pod: &StaticPod) -> Value {
    let probes = &pod.probes;
    let mut container = json!({
        "name": pod.name,
        "image": pod.image,
        "imagePullPolicy": "IfNotPresent",
        "command": pod.command,
        "ports": [{ "name": "probe-port", "containerPort": probes.port, "protocol": "TCP" }],
        "resources": { "requests": pod.requests },
        "volumeMounts": pod.mounts.iter().map(volume_mount).collect::<Vec<_>>(),
        "livenessProbe": probe(probes, probes.liveness, 8, PERIOD, PERIOD),
        "startupProbe": probe(probes, probes.startup, startup_failures(probes.startup_timeout), PERIOD, PERIOD),
    });
    if let Some(readiness) = probes.readiness {
        container["readinessProbe"] = probe(probes, readiness, 3, 0, 1);
    }
    if !pod.env.is_empty() {
        container["env"] = json!(pod.env);
    }
    container
}

/// How often starting may fail: enough for the whole timeout.
fn startup_failures(timeout: Duration) -> u64 {
    let started = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    started.div_ceil(PERIOD)
}

fn probe(probes: &Probes, path: &str, failures: u64, delay: u64, period: u64) -> Value {
    let mut get = json!({ "path": path, "port": "probe-port", "scheme": if probes.tls { "HTTPS" } else { "HTTP" } });
    if !probes.host.is_empty() {
        get["host"] = json!(probes.host);
    }
    let mut probe = json!({ "httpGet": get, "periodSeconds": period, "timeoutSeconds": 15 });
    for (field, number) in [("failureThreshold", failures), ("initialDelaySeconds", delay)] {
        if number > 0 {
            probe[field] = json!(number);
        }
    }
    probe
}

fn volumes(mounts: &[HostPathMount]) -> Vec<Value> {
    let by_name: BTreeMap<_, _> = mounts.iter().map(|mount| (&mount.name, mount)).collect();
    let volume = |mount: &&HostPathMount| json!({ "name": mount.name, "hostPath": { "path": mount.host_path, "type": mount.path_type } });
    by_name.values().map(volume).collect()
}

fn volume_mount(mount: &HostPathMount) -> Value {
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(mount.name));
    fields.insert("mountPath".to_owned(), json!(mount.mount_path));
    if mount.read_only {
        fields.insert("readOnly".to_owned(), json!(true));
    }
    Value::Object(fields)
}

/// Applies the user's patches. [`super::patched::failures`] tries every one of them before anything is written, so that
/// a patch that does not apply never gets here.
fn patched(cluster: &Cluster, target: &str, pod: Value) -> Value {
    patch::apply(target, MergeSchema::Pod, &pod, &cluster.patches).unwrap_or(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_the_user_wins_over_the_proxys() {
        let proxy = BTreeMap::from([("HTTPS_PROXY", "http://a"), ("no_proxy", "b")].map(|(k, v)| (k.into(), v.into())));
        let extra = [json!({ "name": "no_proxy", "value": "c" }), json!({ "name": "A", "value": "" })];
        assert_eq!(
            environment(&proxy, &extra),
            [
                json!({ "name": "A" }),
                json!({ "name": "HTTPS_PROXY", "value": "http://a" }),
                json!({ "name": "no_proxy", "value": "c" }),
            ]
        );
    }

    #[test]
    fn starting_may_take_the_whole_timeout() {
        assert_eq!(startup_failures(Duration::from_mins(4)), 24);
        assert_eq!(startup_failures(Duration::from_secs(241)), 25);
        assert_eq!(startup_failures(Duration::from_millis(240_001)), 25);
    }
}

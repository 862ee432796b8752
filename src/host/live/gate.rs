//! Conditions: whether they hold, and waiting for them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::desired::live::KUBELET;
use crate::host::cri::{ContainerSeen, ContainerState, Cri, Scope};
use crate::host::live::{Live, diagnosis};
use crate::host::machine;
use crate::host::probe::probe;
use crate::host::{ApplyError, Tell, chain};
use crate::resource::{Condition, GateSpec, Id, StaticPodSpec};

/// How long to wait between two questions, at least and at most: a twentieth of how long it has taken so far. Asking takes
/// processor time from what is being waited for.
const PAUSE: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(500)];

/// How long a container runtime that does not answer is given to come back: it is started anew at once where its unit says so.
const RUNTIME: Duration = Duration::from_secs(20);

/// How long a kubelet may take to make its Node before it is started anew. It tries when it starts and then ever more seldom, up to
/// every seven seconds; starting anew costs no container anything, and kubeadm too restarts it at the end of `init`.
const REGISTRATION: Duration = Duration::from_millis(700);

/// How long a container has ended when the kubelet backs off from it. It waits ever longer before it starts it again, up to five minutes,
/// even where the cause is long gone; a kubelet that is started anew does so at once.
const BACK_OFF: Duration = Duration::from_secs(12);

/// The label that the kubelet gives a container with the name of its Pod.
const POD_NAME: &str = "io.kubernetes.pod.name";

/// The containers of a host, read once for all conditions.
pub struct Containers(Result<Vec<ContainerSeen>, String>);

impl Containers {
    /// Reads them.
    pub fn read(cri: &Cri) -> Self {
        Self(cri.containers(Scope::Namespace("kube-system")).map_err(|error| chain(&error)))
    }

    /// The newest container of a static Pod, running or not.
    pub fn newest(&self, pod: &StaticPodSpec) -> Result<Option<&ContainerSeen>, String> {
        let containers = self.0.as_ref().map_err(Clone::clone)?;
        let mine = containers.iter().filter(|container| is_of(container, pod));
        Ok(mine.max_by_key(|container| container.created_at))
    }

    /// The newest container of a static Pod that has ended, where the Pod's newest is another.
    pub fn ended_before(&self, newest: &ContainerSeen, pod: &StaticPodSpec) -> Option<&ContainerSeen> {
        let ended = |container: &&ContainerSeen| {
            is_of(container, pod) && container.id != newest.id && container.state == ContainerState::Exited
        };
        self.0.as_ref().ok()?.iter().filter(ended).max_by_key(|container| container.created_at)
    }
}

impl Live {
    /// Whether a condition holds, or what is seen instead.
    pub(super) fn holds(&self, condition: &Condition, containers: &Containers) -> Result<(), String> {
        match condition {
            Condition::Url(url) => probe(self.runtime.handle(), url),
            Condition::ApiAnswers(pod) => {
                pod.as_ref().map_or(Ok(()), |pod| started(pod, containers))?;
                self.api().and_then(|api| api.answers().map_err(|error| error.why.to_string()))
            }
            Condition::ApiReady(url) => {
                let api = self.credentials().and_then(|credentials| self.api_at(&credentials, url))?;
                api.ready().map_err(|error| error.why.to_string())
            }
            Condition::StaticPod(pod) => self.runs(pod, containers),
            Condition::Started(pod) => started(pod, containers),
            Condition::Node(name) => self.there("Node", None, name).map(|_| ()),
            Condition::RolledOut { kind, name } => {
                let workload = self.there(kind, Some("kube-system"), name)?;
                rolled_out(&workload)
            }
        }
    }

    fn there(&self, kind: &str, namespace: Option<&str>, name: &str) -> Result<serde_json::Value, String> {
        let version = if kind == "Node" { "v1" } else { "apps/v1" };
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let found = self.api().and_then(|api| api.get(&object).map_err(|error| chain(&error)))?;
        found.ok_or_else(|| format!("{kind} {name} is not there"))
    }

    /// The container of a static Pod runs as its manifest says, and it is healthy.
    fn runs(&self, pod: &StaticPodSpec, containers: &Containers) -> Result<(), String> {
        started(pod, containers)?;
        match &pod.health {
            Some(url) => probe(self.runtime.handle(), url),
            None => self.api().and_then(|api| api.ready().map_err(|error| error.why.to_string())),
        }
    }

    /// Waits until a condition holds, for as long as its gate allows.
    pub(super) fn wait(&self, id: &Id, spec: &GateSpec, tell: Tell<'_>) -> Result<(), ApplyError> {
        let begun = Instant::now();
        let mut nudged = false;
        loop {
            let containers = match spec.condition {
                Condition::StaticPod(_) | Condition::Started(_) | Condition::ApiAnswers(_) => {
                    Containers::read(&self.cri)
                }
                _ => Containers(Ok(Vec::new())),
            };
            let Err(why) = self.holds(&spec.condition, &containers) else { return Ok(()) };
            let deaf = containers.0.is_err() && begun.elapsed() >= RUNTIME;
            if deaf || begun.elapsed() >= spec.timeout {
                return Err(ApplyError::new("see", &id.0, self.diagnose(spec, begun.elapsed(), &why)));
            }
            if matches!(spec.condition, Condition::Node(_)) && !nudged && begun.elapsed() >= REGISTRATION {
                nudged = true;
                self.systemd.restart(KUBELET).map_err(|error| ApplyError::new("restart", KUBELET, error))?;
            }
            if let Condition::StaticPod(pod) = &spec.condition
                && backs_off(pod, &containers)
                && !self.nudged.swap(true, Ordering::Relaxed)
            {
                self.systemd.restart(KUBELET).map_err(|error| ApplyError::new("restart", KUBELET, error))?;
            }
            if tell(&why).is_break() {
                return Err(ApplyError::new("see", &id.0, why));
            }
            std::thread::sleep((begun.elapsed() / 20).clamp(PAUSE[0], PAUSE[1]));
        }
    }
}

fn is_of(container: &ContainerSeen, pod: &StaticPodSpec) -> bool {
    container.name == pod.component && container.labels.get(POD_NAME) == Some(&pod.pod)
}

/// The container of a static Pod runs, and it is what its manifest says.
fn started(pod: &StaticPodSpec, containers: &Containers) -> Result<(), String> {
    let container = containers.newest(pod)?.ok_or("the kubelet has made no container of it yet")?;
    if container.state != ContainerState::Running {
        return Err(diagnosis::state(container));
    }
    if container.command != pod.command || container.image != pod.image {
        return Err("it still runs as its manifest was before".to_owned());
    }
    Ok(())
}

/// The kubelet has not started a container again that ended some time ago.
fn backs_off(pod: &StaticPodSpec, containers: &Containers) -> bool {
    let Ok(Some(container)) = containers.newest(pod) else { return false };
    let ended = container.finished_at.filter(|_| container.state == ContainerState::Exited);
    let long = i64::try_from(BACK_OFF.as_secs()).unwrap_or(i64::MAX);
    ended.is_some_and(|ended| machine::now().saturating_sub(ended / 1_000_000_000) >= long)
}

/// The Pods of a workload are those of its newest template, and ready.
fn rolled_out(workload: &serde_json::Value) -> Result<(), String> {
    let number = |pointer: &str| workload.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let (wanted, ready, updated) = if workload["kind"] == "DaemonSet" {
        (
            number("/status/desiredNumberScheduled"),
            number("/status/numberReady"),
            number("/status/updatedNumberScheduled"),
        )
    } else {
        (number("/spec/replicas"), number("/status/readyReplicas"), number("/status/updatedReplicas"))
    };
    let seen = number("/status/observedGeneration") >= number("/metadata/generation");
    if seen && wanted > 0 && ready >= wanted && updated >= wanted {
        return Ok(());
    }
    Err(if wanted == 0 { "it has no Pods yet".to_owned() } else { format!("{ready} of {wanted} Pods are ready") })
}

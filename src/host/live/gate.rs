//! Conditions: whether they hold, and waiting for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::cri::{ContainerSeen, ContainerState, POD_LABEL};
use crate::host::live::ask::{Answers, Containers, NOT_ASKED, object};
use crate::host::live::self_hosted::{Gone, is_made_for, overtaken};
use crate::host::live::{Live, diagnosis};
use crate::host::machine;
use crate::host::rollout::Runtime;
use crate::host::{ApplyError, Tell};
use crate::resource::{Condition, GateSpec, Id, StaticPodSpec};

/// How long to wait between two questions, at least and at most: a hundredth of how long it has taken so far. Asking takes
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

/// The kubelet is started anew for one of these reasons once in this time: a run is shorter, and who watches for long may need it again.
const NUDGE: Duration = Duration::from_secs(600);

impl Containers {
    /// The newest container of a component's Pod, running or not.
    pub fn newest(&self, pod: &StaticPodSpec) -> Result<Option<&ContainerSeen>, String> {
        Ok(self.all(pod)?.max_by_key(|container| container.created_at))
    }

    /// All containers of a component's Pods.
    pub fn all<'a>(&'a self, pod: &StaticPodSpec) -> Result<impl Iterator<Item = &'a ContainerSeen>, String> {
        let containers = self.0.as_ref().map_err(Clone::clone)?;
        Ok(containers.iter().filter(|container| is_of(container, pod)))
    }

    /// The containers of the newest one's Pod that run beside it.
    pub fn beside<'a>(
        &'a self,
        newest: &'a ContainerSeen,
        pod: &'a StaticPodSpec,
    ) -> impl Iterator<Item = &'a ContainerSeen> {
        let same = |one: &ContainerSeen| one.labels.get(POD_LABEL) == newest.labels.get(POD_LABEL);
        let other =
            move |one: &&ContainerSeen| one.id != newest.id && same(one) && one.state == ContainerState::Running;
        self.0.iter().flatten().filter(move |container| is_of(container, pod)).filter(other)
    }

    /// The newest container of a component, in whichever of the Pods that were asked for.
    pub fn of(&self, component: &str) -> Option<&ContainerSeen> {
        let mine = self.0.as_ref().ok()?.iter().filter(|container| container.name == component);
        mine.max_by_key(|container| container.created_at)
    }

    /// The newest container of a static Pod that has ended, where the Pod's newest is another.
    pub fn ended_before(&self, newest: &ContainerSeen, pod: &StaticPodSpec) -> Option<&ContainerSeen> {
        let ended = |container: &&ContainerSeen| {
            is_of(container, pod) && container.id != newest.id && container.state == ContainerState::Exited
        };
        self.0.as_ref().ok()?.iter().filter(ended).max_by_key(|container| container.created_at)
    }
}

impl Answers {
    /// Whether a condition holds that was asked for, or what is seen instead.
    pub fn hold(&self, condition: &Condition) -> Result<(), String> {
        let said = |answers: &BTreeMap<String, Result<(), String>>, url: &str| {
            answers.get(url).cloned().unwrap_or_else(|| Err(NOT_ASKED.to_owned()))
        };
        match condition {
            Condition::Url(url) => said(&self.urls, url),
            Condition::ApiAnswers(pod) => {
                pod.as_ref().map_or(Ok(()), |pod| started(pod, &self.containers))?;
                self.api.answers.clone()
            }
            Condition::ApiReady(url) => said(&self.servers, url),
            Condition::StaticPod(pod) => {
                started(pod, &self.containers)?;
                pod.health.as_ref().map_or_else(|| self.api.ready.clone(), |url| said(&self.urls, url))
            }
            Condition::Kubelet(spec) => {
                self.kubelet.clone()?;
                said(&self.urls, &spec.health)
            }
            Condition::SelfHosted(spec) => {
                self.containers.steady(spec)?;
                let pod = &spec.pod;
                self.leaving.get(&pod.pod).map_or(Ok(()), |why| Err(why.clone()))?;
                pod.health.as_ref().map_or_else(|| self.api.ready.clone(), |url| said(&self.urls, url))?;
                rolled_out(self.there(condition)?)
            }
            Condition::SelfHostedApi(spec) => {
                self.containers.runs(spec)?;
                self.api.answers.clone()
            }
            Condition::NotSelfHosted(spec) => self.containers.ended(spec),
            Condition::Node(_) => self.there(condition).map(drop),
            Condition::RolledOut { .. } => rolled_out(self.there(condition)?),
        }
    }

    fn there(&self, condition: &Condition) -> Result<&Value, String> {
        let id = object(condition).map(|object| Id::of_object(&object));
        let found = id.as_ref().and_then(|id| self.api.objects.get(id)).ok_or(NOT_ASKED)?;
        found.as_ref().map_err(Clone::clone)?.as_ref().ok_or_else(|| match condition {
            Condition::Node(name) => format!("Node {name} is not there"),
            Condition::RolledOut { kind, name } => format!("{kind} {name} is not there"),
            Condition::SelfHosted(spec) => format!("DaemonSet {} is not there", spec.pod.pod),
            _ => NOT_ASKED.to_owned(),
        })
    }
}

impl Live {
    /// Waits until a condition holds, for as long as its gate allows.
    pub(super) fn wait(&self, id: &Id, spec: &GateSpec, tell: Tell<'_>) -> Result<(), ApplyError> {
        let begun = Instant::now();
        let [_, unregistered] = &self.nudged;
        let mut gone = Gone::default();
        loop {
            let answers = self.ask(&[&spec.condition], &[], false);
            let Err(why) = answers.hold(&spec.condition) else { return Ok(()) };
            let containers = &answers.containers;
            let deaf = containers.0.is_err() && begun.elapsed() >= RUNTIME;
            if let Some(component) = gone.for_good(self.gone(&spec.condition)) {
                return Err(ApplyError::new("see", &id.0, overtaken(&why, component)));
            }
            let crashes = matches!(&spec.condition, Condition::SelfHosted(spec) if containers.crash(&spec.pod));
            if deaf || crashes || begun.elapsed() >= spec.timeout {
                return Err(ApplyError::new("see", &id.0, self.diagnose(spec, begun.elapsed(), &why)));
            }
            if matches!(spec.condition, Condition::Node(_)) && begun.elapsed() >= REGISTRATION {
                self.nudge(unregistered)?;
            }
            if let Condition::StaticPod(pod) = &spec.condition {
                self.start_at_once(pod, containers)?;
            }
            if tell(&why).is_break() {
                return Err(ApplyError::new("see", &id.0, why));
            }
            std::thread::sleep((begun.elapsed() / 100).clamp(PAUSE[0], PAUSE[1]));
        }
    }

    /// Has the kubelet start a container at once that it backs off from.
    pub(super) fn start_at_once(&self, pod: &StaticPodSpec, containers: &Containers) -> Result<(), ApplyError> {
        if backs_off(pod, containers) { self.nudge(&self.nudged[0]) } else { Ok(()) }
    }

    /// Starts the kubelet anew, unless it was for the same reason not long ago.
    fn nudge(&self, last: &Mutex<Option<Instant>>) -> Result<(), ApplyError> {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < NUDGE) {
            return Ok(());
        }
        *last = Some(Instant::now());
        self.renew_kubelet()
    }
}

fn is_of(container: &ContainerSeen, pod: &StaticPodSpec) -> bool {
    container.name == pod.component && container.labels.get(POD_LABEL).is_some_and(|name| is_one(name, pod))
}

/// A Pod of this name is the one that is meant, or one of its `DaemonSet`'s.
pub(super) fn is_one(name: &str, pod: &StaticPodSpec) -> bool {
    if pod.hosted { is_made_for(name, &pod.pod) } else { name == pod.pod }
}

/// The container of a static Pod runs, and it is what its manifest says.
fn started(pod: &StaticPodSpec, containers: &Containers) -> Result<(), String> {
    let container = containers.newest(pod)?.ok_or("the kubelet has made no container of it yet")?;
    if container.state != ContainerState::Running {
        return Err(diagnosis::state(container));
    }
    if !pod.is_run_by(&container.command, &container.image) {
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
fn rolled_out(workload: &Value) -> Result<(), String> {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
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

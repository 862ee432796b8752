//! Pods of the control plane as they run: seen, ended, and whether they do what they are for.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::calendar;
use crate::desired::live::KUBELET;
use crate::diff::static_pod::SILENCE;
use crate::host::cri::{ContainerState, Scope};
use crate::host::files::Disk;
use crate::host::live::Live;
use crate::host::live::ask::Answers;
use crate::host::live::self_hosted::{condition, overtaken};
use crate::host::rollout::{Container, Rollouts, Runtime};
use crate::host::{ApplyError, chain, machine};
use crate::observed::{LeaseSeen, Mode, ObserveError, Observed, Seen, StaticPodSeen};
use crate::resource::{Desired, GateSpec, Lease, PodGate, RunningSpec, Spec, StaticPodSpec, Want};

/// The namespace of static Pods.
const NAMESPACE: &str = "kube-system";

/// A Lease, by what names it.
pub(super) fn object(lease: &Lease) -> Value {
    let Lease { namespace, name } = lease;
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"namespace": namespace, "name": name}})
}

/// When files were last changed, in microseconds since 1970; those that are there. One of a time to come was written while the clock was
/// wrong: no start would be later than that, and who starts anew would be started again and again.
pub(super) fn changes(paths: &[String]) -> Vec<(String, u64)> {
    let past = |changed: &u64| *changed <= micros(SystemTime::now()).unwrap_or(u64::MAX);
    paths.iter().filter_map(|path| Some((path.clone(), changed(path).filter(past)?))).collect()
}

fn changed(path: &str) -> Option<u64> {
    micros(std::fs::metadata(path).and_then(|found| found.modified()).ok()?)
}

fn micros(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// CRI's nanoseconds as microseconds.
fn microseconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1000).unwrap_or(0)
}

impl Live {
    /// Pods as they run, of what was answered about them.
    pub(super) fn observe_pods(&self, desired: &Desired, answers: &Answers) -> Observed {
        let api = answers.containers.of("kube-apiserver").filter(|_| answers.api.ready.is_ok());
        let api_since = api.map(|container| container.created_at / 1_000_000_000);
        let pods = desired.resources.iter().filter_map(|resource| match &resource.want {
            Want::Present(Spec::StaticPod(spec)) => {
                Some((resource.id.clone(), self.observe_pod(spec, answers, api_since)))
            }
            _ => None,
        });
        pods.collect()
    }

    fn observe_pod(&self, spec: &RunningSpec, answers: &Answers, api_since: Option<i64>) -> Result<Seen, ObserveError> {
        let pod = &spec.gate.pod;
        let newest = answers.containers.newest(pod).map_err(|why| ObserveError { what: pod.pod.clone(), why })?;
        let runs = newest.filter(|container| container.state == ContainerState::Running);
        let lease = match (runs, &pod.lease, api_since) {
            // Who has just begun has had no time for it.
            (Some(container), Some(lease), Some(since))
                if machine::now() - container.created_at / 1_000_000_000 >= SILENCE =>
            {
                self.lease(lease, since)
            }
            _ => None,
        };
        let started = runs.map(|container| microseconds(container.created_at));
        Ok(Seen::StaticPod(StaticPodSeen { started, reads: changes(&spec.reads), lease }))
    }

    /// A Lease; `None` where it is not known.
    fn lease(&self, lease: &Lease, api_since: i64) -> Option<LeaseSeen> {
        let found = self.read_lease(lease).ok()?;
        let spec = found.as_ref().map(|lease| &lease["spec"]);
        let holder = spec.and_then(|spec| spec["holderIdentity"].as_str()).unwrap_or_default();
        // The host's name, an underscore, and a number that is made up.
        let here = holder.rsplit_once('_').is_some_and(|(host, _)| host == self.local.machine().hostname);
        Some(LeaseSeen { renewed: spec.and_then(renewed), elsewhere: !here && !holder.is_empty(), api_since })
    }

    /// A Lease, as the API server told of it a moment ago or says now.
    fn read_lease(&self, lease: &Lease) -> Result<Option<Value>, String> {
        let (api, wanted) = (self.api()?, object(lease));
        match api.recent(&wanted) {
            Some(recent) => Ok(Some(recent)),
            None => api.get(&wanted).map_err(|error| chain(&error)),
        }
    }

    /// Who changes what runs here.
    pub(super) fn rollouts(&self) -> Rollouts<'_, Disk, Self> {
        let mode = Mode { mode: 0o600, owner: self.local.machine().owner };
        Rollouts { writer: self.local.writer(), runtime: self, mode, begun: &self.begun }
    }
}

/// When a Lease was last renewed.
fn renewed(spec: &Value) -> Option<i64> {
    calendar::seconds(spec["renewTime"].as_str()?)
}

impl Runtime for Live {
    fn container(&self, pod: &StaticPodSpec) -> Result<Option<Container>, String> {
        let containers = self.containers(&[pod]);
        Ok(containers.newest(pod)?.map(|newest| Container {
            id: newest.id.clone(),
            runs: newest.state == ContainerState::Running,
            created: microseconds(newest.created_at),
            restarts: newest.restarts,
            image: newest.image.clone(),
            command: newest.command.clone(),
            beside: containers.beside(newest, pod).map(|older| older.id.clone()).collect(),
        }))
    }

    fn is_kept(&self, pod: &StaticPodSpec) -> Result<bool, String> {
        let pods = self.cri.pods(Scope::Namespace(NAMESPACE)).map_err(|error| chain(&error))?;
        Ok(pods.iter().any(|one| one.ready && one.name == pod.pod))
    }

    fn has_kubelet(&self) -> bool {
        self.systemd.unit(KUBELET).is_ok_and(|unit| unit.active_state == "active")
    }

    fn stop(&self, id: &str, grace: Duration) -> Result<(), ApplyError> {
        self.cri.stop_container(id, grace).map_err(|error| ApplyError::new("stop", format!("container {id}"), error))
    }

    fn well(&self, pod: &StaticPodSpec) -> Result<(), String> {
        let condition = condition(pod);
        let answers = self.ask(&[&condition], &[], false);
        answers.hold(&condition)?;
        if pod.hosted { self.is_told_of(pod, &answers.containers) } else { Ok(()) }
    }

    fn leads(&self, pod: &StaticPodSpec, since: i64) -> Result<(), String> {
        let Some(Ok(found)) = pod.lease.as_ref().map(|lease| self.read_lease(lease)) else { return Ok(()) };
        if found.is_some_and(|found| renewed(&found["spec"]).is_some_and(|at| at >= since)) {
            return Ok(());
        }
        Err(format!("it runs, and nobody renews the Lease {NAMESPACE}/{} yet", pod.component))
    }

    fn hurry(&self, pod: &StaticPodSpec, waited: Duration) -> Result<(), ApplyError> {
        if !pod.hosted {
            return self.start_at_once(pod, &self.containers(&[pod]));
        }
        // A kubelet that is started anew with the API server away would forget the Pod: a static one helps it up.
        match self.gone(&condition(pod)).filter(|lost| lost.for_good(waited)) {
            Some(lost) => Err(ApplyError::new("restart", pod.component, overtaken("it has ended", lost.component))),
            None => Ok(()),
        }
    }

    fn renew_kubelet(&self) -> Result<(), ApplyError> {
        self.systemd.restart(KUBELET).map_err(|error| ApplyError::new("restart", KUBELET, error))
    }

    fn diagnose(&self, gate: &PodGate, waited: Duration, why: &str) -> String {
        let spec = GateSpec { condition: condition(&gate.pod), timeout: gate.timeout, on_demand: false };
        Self::diagnose(self, &spec, waited, why)
    }

    fn changed(&self, path: &str) -> Option<u64> {
        changed(path)
    }

    fn now(&self) -> i64 {
        machine::now()
    }

    fn elapsed(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGUN.elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

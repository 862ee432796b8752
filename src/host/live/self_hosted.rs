//! Components of the control plane in Pods of `DaemonSet`s, as the container runtime has them: it knows them with the API server away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Hosting};
use crate::desired::{apiserver, etcd, self_hosting, static_pod};
use crate::facts::HostingFacts;
use crate::host::cri::{ContainerSeen, ContainerState, POD_LABEL};
use crate::host::files::{FileSystem as _, Look};
use crate::host::live::ask::Containers;
use crate::host::live::{Live, diagnosis};
use crate::host::preflight::is_free;
use crate::host::rollout::ENDS_MAX;
use crate::host::{Change, Listener, Overtaken, chain, machine};
use crate::observed::ObserveError;
use crate::record;
use crate::resource::{Condition, SelfHostedSpec, StaticPodSpec};

/// How long a component may be without a container before it is taken for gone: the kubelet makes one that has ended anew at once, but
/// waits ever longer with one that ends again and again, and knows nothing of a Pod whose API server was away when it started.
pub(super) const GONE: Duration = Duration::from_secs(5);

/// How long an API server may take until it listens. One that ran for longer, and where nobody listens, was asked to end: it hears nobody
/// from then on, and goes on for as long as the kubelet lets it, half a minute. Nobody starts another meanwhile.
const LISTENS: Duration = Duration::from_secs(30);

/// How often a watch looks whether somebody listens where the API server does.
const PORT: Duration = Duration::from_secs(1);

const NANOSECONDS: i64 = 1_000_000_000;

impl Live {
    /// Where the components run. Pods of `DaemonSet`s are asked for where they are wanted, or where a manifest tells of them; a runtime
    /// that does not answer has none, for a static Pod beside one takes nothing from it.
    pub(super) fn hosting(&self, cluster: &Cluster) -> Result<HostingFacts, ObserveError> {
        let mut manifests = BTreeSet::new();
        let (mut missing, mut shared) = (false, BTreeSet::new());
        for component in self_hosting::COMPONENTS {
            match self.local.read_text(&static_pod::path(component))? {
                None => missing = true,
                Some(text) => {
                    if self_hosting::shares_port(&text) {
                        shared.insert(component.to_owned());
                    }
                    manifests.insert(component.to_owned());
                }
            }
        }
        let was = self.local.read_text(record::PATH)?.is_some_and(|text| self_hosting::names_it(&text));
        let asked = missing || !shared.is_empty() || was || cluster.settings.hosting == Hosting::SelfHosted;
        let containers = if asked { self.containers_of_daemon_sets(&self_hosting::COMPONENTS) } else { Ok(Vec::new()) };
        let mut self_hosted = BTreeMap::new();
        for container in containers.unwrap_or_default().iter().filter(|one| runs(one) && !self.ends(one)) {
            let since = container.started_at.unwrap_or(container.created_at) / NANOSECONDS;
            let oldest = self_hosted.entry(container.name.clone()).or_insert(since);
            *oldest = since.min(*oldest);
        }
        // A host without a control plane has no etcd either.
        let moved = missing && self.local.read_text(&static_pod::path(etcd::NAME))?.is_some();
        let daemon_sets = !shared.is_empty() || was || moved || !self_hosted.is_empty();
        // Only who moves back asks.
        let back = cluster.settings.hosting == Hosting::StaticPods;
        shared.retain(|component| back && self.may_have_daemon_set(component));
        Ok(HostingFacts { manifests, self_hosted, daemon_sets, shared })
    }

    /// A component's `DaemonSet` is there, or nobody knows.
    fn may_have_daemon_set(&self, component: &str) -> bool {
        let wanted = daemon_set(&self_hosting::name(component));
        !matches!(self.api().map(|api| api.get(&wanted)), Ok(Ok(None)))
    }

    /// Tells of self-hosted components that end. The kubelet makes another container at once, unless it knows nothing of the Pod.
    pub(super) fn listen_to_containers(&self, listener: &Listener) {
        if self.setting.self_hosted {
            self.listen_to_port(Arc::clone(listener));
        }
        let (listener, runtime) = (Arc::clone(listener), self.runtime.handle().clone());
        self.cri.listen(move |pod| {
            let of = |component: &&&str| is_made_for(pod, &self_hosting::name(component));
            if let Some(component) = self_hosting::COMPONENTS.iter().find(of) {
                let listener = Arc::clone(&listener);
                runtime.spawn(async move {
                    tokio::time::sleep(GONE).await;
                    listener(Change::Container((*component).to_owned()));
                });
            }
        });
    }

    /// Tells that nobody listens any more where the API server did. Nothing else tells of one that was asked to end, before it has ended.
    fn listen_to_port(&self, listener: Listener) {
        let port = self.setting.port;
        self.runtime.handle().spawn(async move {
            let mut was_free = true;
            loop {
                tokio::time::sleep(PORT).await;
                let free = is_free(port);
                if free && !was_free {
                    listener(Change::Container(apiserver::NAME.to_owned()));
                }
                was_free = free;
            }
        });
    }

    fn containers_of_daemon_sets(&self, components: &[&str]) -> Result<Vec<ContainerSeen>, String> {
        let made_for = |pod: &str| components.iter().any(|component| is_made_for(pod, &self_hosting::name(component)));
        let containers = self.cri.containers("kube-system", &made_for).map_err(|error| chain(&error))?;
        // A Pod that the user has patched may have other containers too.
        let mine = |container: &ContainerSeen| {
            let pod = container.labels.get(POD_LABEL);
            pod.is_some_and(|pod| is_made_for(pod, &self_hosting::name(&container.name)))
        };
        Ok(containers.into_iter().filter(mine).collect())
    }

    /// A container that runs is an API server's that was asked to end.
    fn ends(&self, container: &ContainerSeen) -> bool {
        container.name == apiserver::NAME && ran(container) >= LISTENS && is_free(self.setting.port)
    }

    /// A component without which a condition does not come to hold, of which nothing runs that stays, and which no static Pod starts. The
    /// next look wants one.
    pub(super) fn gone(&self, condition: &Condition) -> Option<Lost> {
        let needs_api = of(condition).is_some()
            || matches!(condition, Condition::Node(_) | Condition::ApiReady(_) | Condition::RolledOut { .. });
        if !self.setting.self_hosted || !needs_api {
            return None;
        }
        let own = of(condition).map(component);
        let meant = self_hosting::COMPONENTS.into_iter().filter(|name| *name == apiserver::NAME || own == Some(*name));
        let missing: Vec<&'static str> = meant.filter(|name| self.has_no_manifest(name)).collect();
        // A runtime that does not answer tells nothing.
        let containers =
            if missing.is_empty() { return None } else { self.containers_of_daemon_sets(&missing).ok()? };
        missing.into_iter().find_map(|component| {
            let mut running = containers.iter().filter(|one| one.name == component && runs(one)).peekable();
            let ends = running.peek().is_some();
            running.all(|container| self.ends(container)).then_some(Lost { component, ends })
        })
    }

    /// The newest Pods of `DaemonSet`s that are about to go, by their `DaemonSet`s, and what is known of them. As long as a static Pod is
    /// there, it is this one that answers for both, and that has to stay.
    pub(super) fn leaving(&self, conditions: &[&Condition], containers: &Containers) -> BTreeMap<String, String> {
        let leaving = |condition: &&Condition| {
            let Condition::SelfHosted(SelfHostedSpec { pod, .. }) = condition else { return None };
            let newest = containers.newest(pod).ok()?.filter(|_| !self.has_no_manifest(pod.component))?;
            let name = newest.labels.get(POD_LABEL)?;
            let why = match self.pod(name) {
                Ok(Some(found)) if found["metadata"].get("deletionTimestamp").is_none() => return None,
                Ok(_) => format!("Pod {name} is about to go"),
                Err(why) => why,
            };
            Some((pod.pod.clone(), why))
        };
        conditions.iter().filter_map(leaving).collect()
    }

    /// The API server has heard from the kubelet that a `DaemonSet`'s Pod is ready with its newest container. Until then what it says of
    /// the `DaemonSet` is about a container of before: the kubelet tells it anew every ten seconds if it was away.
    pub(super) fn is_told_of(&self, pod: &StaticPodSpec, containers: &Containers) -> Result<(), String> {
        let newest = containers.newest(pod)?.ok_or_else(|| format!("DaemonSet {} has no container here", pod.pod))?;
        let name = newest.labels.get(POD_LABEL).map_or("", String::as_str);
        let found = self.pod(name)?.ok_or_else(|| format!("Pod {name} is not there"))?;
        let mut told = found.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
        // An id has its runtime's name before it, as in `containerd://4f...`.
        let is_newest = |id: &str| id.rsplit_once("//").is_some_and(|(_, id)| id == newest.id);
        let ready =
            |told: &Value| told["ready"] == Value::Bool(true) && told["containerID"].as_str().is_some_and(is_newest);
        if told.any(ready) { Ok(()) } else { Err(format!("the API server has not heard yet that Pod {name} is ready")) }
    }

    /// A Pod, as the API server has it.
    fn pod(&self, name: &str) -> Result<Option<Value>, String> {
        let wanted = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "kube-system", "name": name}});
        self.api()?.get(&wanted).map_err(|error| chain(&error))
    }

    fn has_no_manifest(&self, component: &str) -> bool {
        self.local.files().look_through(&static_pod::path(component)).is_ok_and(|look| look == Look::Absent)
    }

    /// What was seen of it when time ran out.
    pub(super) fn of_self_hosted(&self, spec: &SelfHostedSpec) -> String {
        let found = self.containers(&[&spec.pod]);
        let container = found.newest(&spec.pod).ok().flatten();
        let container = container.map(|container| format!("; {}", diagnosis::of_container(container)));
        let daemon_set = &spec.pod.pod;
        format!("{}; see kubectl -n kube-system describe daemonset {daemon_set}", container.unwrap_or_default())
    }
}

impl Containers {
    /// A container of it runs, be it an older one.
    pub(super) fn runs(&self, spec: &SelfHostedSpec) -> Result<(), String> {
        if self.all(&spec.pod)?.any(runs) {
            return Ok(());
        }
        Err(match self.newest(&spec.pod)? {
            Some(container) => diagnosis::state(container),
            None => format!("no Pod of DaemonSet {} has a container on this host", spec.pod.pod),
        })
    }

    /// The newest runs as it is to, and has done so for some time.
    pub(super) fn steady(&self, spec: &SelfHostedSpec) -> Result<(), String> {
        self.runs(spec)?;
        let Some(container) = self.newest(&spec.pod)?.filter(|container| runs(container)) else {
            return Err(format!("the newest Pod of DaemonSet {} does not run", spec.pod.pod));
        };
        if !is_meant(container, &spec.pod) {
            return Err(otherwise(container, spec));
        }
        let ran = ran(container);
        if ran < spec.steady {
            return Err(format!("it has run for {} s", ran.as_secs()));
        }
        Ok(())
    }

    /// The newest is as it is to be, and has ended so often, each time in vain, that it will not come up, beside an older one that runs.
    pub(super) fn crash(&self, pod: &StaticPodSpec) -> bool {
        let newest = self.newest(pod).ok().flatten();
        let ends = |newest: &ContainerSeen| {
            newest.state == ContainerState::Exited && newest.restarts + 1 >= ENDS_MAX && is_meant(newest, pod)
        };
        newest.is_some_and(ends) && self.all(pod).is_ok_and(|mut all| all.any(runs))
    }

    /// None of them runs.
    pub(super) fn ended(&self, spec: &SelfHostedSpec) -> Result<(), String> {
        let left = self.all(&spec.pod)?.any(runs);
        if left { Err(format!("a Pod of DaemonSet {} still runs", spec.pod.pod)) } else { Ok(()) }
    }
}

/// A container was made of what is wanted now.
fn is_meant(container: &ContainerSeen, pod: &StaticPodSpec) -> bool {
    pod.is_run_by(&container.command, &container.image)
}

/// A `DaemonSet`, by what names it.
pub(super) fn daemon_set(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"namespace": "kube-system", "name": name}})
}

/// How a container runs otherwise than it is to: the first word that differs.
fn otherwise(container: &ContainerSeen, spec: &SelfHostedSpec) -> String {
    let wanted: BTreeSet<&String> = spec.pod.command.iter().collect();
    let differs = container.command.iter().find(|word| !wanted.contains(word));
    match differs {
        // The kubelet says which address the Node has.
        Some(word) if word.starts_with("--advertise-address=") => {
            format!(
                "it runs with {word}, the Node's address, and not with localAPIEndpoint.advertiseAddress: set the kubelet's node-ip"
            )
        }
        Some(word) => format!("it still runs as its DaemonSet was before, with {word}"),
        None => "it still runs as its DaemonSet was before".to_owned(),
    }
}

/// A component of which nothing runs that stays.
pub(super) struct Lost {
    /// Its name.
    pub component: &'static str,
    /// What there was of it is ending: nobody starts that again.
    ends: bool,
}

impl Lost {
    /// It was so for long enough.
    pub(super) fn for_good(&self, time: Duration) -> bool {
        self.ends || time >= GONE
    }
}

/// Since when a component that nobody starts again has been gone.
#[derive(Default)]
pub(super) struct Gone(Option<Instant>);

impl Gone {
    /// A component that has been gone for too long.
    pub(super) fn for_good(&mut self, lost: Option<Lost>) -> Option<&'static str> {
        if lost.is_none() {
            self.0 = None;
        }
        let lost = lost.filter(|lost| lost.for_good(self.0.get_or_insert_with(Instant::now).elapsed()));
        lost.map(|lost| lost.component)
    }
}

/// What has to hold of a component where it runs.
pub(super) fn condition(pod: &StaticPodSpec) -> Condition {
    if pod.hosted {
        Condition::SelfHosted(SelfHostedSpec { pod: pod.clone(), steady: self_hosting::STEADY, alone: true })
    } else {
        Condition::StaticPod(pod.clone())
    }
}

/// What is waited for does not come, with nothing of a component that it needs on this host: another look is due.
pub(super) fn overtaken(why: &str, component: &str) -> Overtaken {
    Overtaken(format!("{why}; nothing of {component} runs on this host"))
}

fn of(condition: &Condition) -> Option<&SelfHostedSpec> {
    match condition {
        Condition::SelfHosted(spec) | Condition::SelfHostedApi(spec) | Condition::NotSelfHosted(spec) => Some(spec),
        _ => None,
    }
}

fn component(spec: &SelfHostedSpec) -> &'static str {
    spec.pod.component
}

/// How long a container has run.
fn ran(container: &ContainerSeen) -> Duration {
    let since = container.started_at.unwrap_or(container.created_at) / NANOSECONDS;
    Duration::from_secs(u64::try_from(machine::now().saturating_sub(since)).unwrap_or(0))
}

fn runs(container: &ContainerSeen) -> bool {
    container.state == ContainerState::Running
}

/// A Pod has the name of its `DaemonSet` and five letters more.
pub(super) fn is_made_for(pod: &str, daemon_set: &str) -> bool {
    let end = pod.strip_prefix(daemon_set).and_then(|rest| rest.strip_prefix('-'));
    end.is_some_and(|end| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_of_a_daemon_set_are_known_by_their_names() {
        assert!(is_made_for("self-hosted-kube-apiserver-x7f2k", "self-hosted-kube-apiserver"));
        assert!(!is_made_for("self-hosted-kube-apiserver", "self-hosted-kube-apiserver"));
        assert!(!is_made_for("kube-apiserver-cp1", "self-hosted-kube-apiserver"));
        assert!(!is_made_for("self-hosted-kube-apiserver-of-mine", "self-hosted-kube-apiserver"));
    }
}

//! Changes of what runs as a static Pod: another manifest, or another start.
//!
//! A manifest that the kubelet finds changed makes it end the Pod, give the container its whole grace to end by itself (an API server
//! takes all of it), and begin anew ten seconds or more after that. It is quicker to take the manifest away, to end the container, and
//! to put the new manifest there once the kubelet has let go of the Pod. What ran before is kept meanwhile, and comes back where the
//! component does not become well.

mod runtime;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::desired::running::pod;
use crate::desired::{apiserver, etcd, self_hosting};
use crate::diff::file::bytes;
use crate::diff::static_pod::{LEASE, START};
use crate::host::files::{FileSystem, NewFile, Writer};
use crate::host::{ApplyError, MadeWay, Tell};
use crate::observed::Mode;
use crate::resource::{FileSpec, PodGate, Rollout, RunningSpec, StaticPodSpec, is_expanded};
use crate::rollout::{Record, hash, path};
use crate::verdict::Verdict;
use crate::yaml;

pub use runtime::{Container, Runtime};

/// How long the kubelet may take to let go of a Pod whose containers have ended. It takes half a second; what ended it may be busy. One that
/// has only just started takes nothing back before it has heard of the API server's Pods too: without an API server it waits for ever, and
/// lets no other Pod of the name begin. Started anew it knows nothing of the Pod.
const LET_GO: Duration = Duration::from_secs(10);

/// How long after that it has forgotten the Pod, so that it begins another at once.
const FORGET: Duration = Duration::from_secs(1);

/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(200);

/// How long a Lease that seems to be forgotten is watched before its component is ended for it: who takes over a Lease waits for the
/// fifteen seconds of its life first.
const LAST_CHANCE: Duration = Duration::from_secs(25);

/// A container that has ended so often after a change, each time in vain, will not come up.
pub(in crate::host) const ENDS_MAX: u32 = 3;

/// How long a component that runs may take, before its manifest is changed, until it is well: what it depends on may just have changed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Since when which component is waited for, over the passes of one process.
pub type Begun = Mutex<BTreeMap<&'static str, Duration>>;

/// How long a container may take to end by itself. All that an API server does is in etcd, and one that is asked to end refuses to
/// answer from then on, for as long as it is let.
fn grace(pod: &StaticPodSpec) -> Duration {
    if pod.component == apiserver::NAME { Duration::ZERO } else { Duration::from_secs(10) }
}

/// A manifest to be put in place.
#[derive(Clone, Copy)]
struct Manifest<'a> {
    path: &'a str,
    text: &'a str,
    mode: Mode,
}

/// Rolls out, over the files and the runtime of a host.
pub struct Rollouts<'a, F, R> {
    /// Who writes.
    pub writer: &'a Writer<F>,
    /// What runs.
    pub runtime: &'a R,
    /// The mode and owner of records.
    pub mode: Mode,
    /// Since when is waited.
    pub begun: &'a Begun,
}

impl<F: FileSystem, R: Runtime> Rollouts<'_, F, R> {
    /// Puts a manifest in place, and sees to it that the component is well with it where it was well before.
    ///
    /// # Errors
    /// The operation that failed, or what became of the component.
    pub fn manifest(&self, spec: &FileSpec, gate: &PodGate, tell: Tell<'_>) -> Result<(), ApplyError> {
        let component = gate.pod.component;
        let text = bytes(&spec.content);
        let new = Manifest { path: &spec.path, text: &text, mode: Mode { mode: spec.mode, owner: spec.owner } };
        let record = self.record(component)?;
        let Some(there) = self.text(&spec.path)? else {
            let Some(record) = record.filter(|record| record.failed.is_none()) else { return self.write(&new) };
            // What a killed run took away comes back, and is looked after.
            self.keep(component, &Record { manifest: hash(&text), ..record })?;
            self.swap(&new, gate)?;
            return self.see_through(&new, gate, tell);
        };
        let Some(container) = self.disturbed(&gate.pod, &spec.path) else { return self.write(&new) };
        if record.as_ref().is_some_and(|record| record.failed.is_some() && same(&record.before, &text)) {
            return self.swap(&new, gate);
        }
        // Only what was well is worth going back to.
        let before =
            if self.was_well(&gate.pod, &container, &there) { Some(there) } else { record.map(|record| record.before) };
        let Some(before) = before.filter(|before| !same(before, &text)) else {
            return self.swap(&new, gate);
        };
        self.keep(component, &Record { manifest: hash(&text), before, failed: None, since: None })?;
        self.lock().remove(component);
        self.swap(&new, gate)?;
        self.see_through(&new, gate, tell)
    }

    /// Makes a Pod that runs what is wanted of it: ends what is left of an earlier change, and starts it again for what it has not read.
    ///
    /// # Errors
    /// The operation that failed, or what became of the component.
    pub fn pod(&self, spec: &RunningSpec, verdict: &Verdict, manifest: &str, tell: Tell<'_>) -> Result<(), ApplyError> {
        let component = spec.gate.pod.component;
        match spec.rollout {
            Rollout::Done => {}
            Rollout::Obsolete => self.forget(component)?,
            Rollout::Unfinished => self.carry_on(&spec.gate, manifest, tell)?,
        }
        let Verdict::Update(differences) = verdict else { return Ok(()) };
        let about = |field: &str| differences.iter().any(|difference| difference.field == field);
        if about(START) || (about(LEASE) && !self.wakes(&spec.gate.pod)) {
            return self.restart(&spec.gate, tell);
        }
        Ok(())
    }

    /// Ends a container that runs, and waits until the one that the kubelet makes in its place is well.
    fn restart(&self, gate: &PodGate, tell: Tell<'_>) -> Result<(), ApplyError> {
        let (component, runtime) = (gate.pod.component, self.runtime);
        let failed = |why: String| ApplyError::new("restart", component, why);
        let Some(before) = runtime.container(&gate.pod).map_err(failed)?.filter(|container| container.runs) else {
            return Ok(());
        };
        runtime.stop(&before.id, grace(&gate.pod))?;
        let begun = runtime.elapsed();
        loop {
            let why = match runtime.container(&gate.pod) {
                Ok(Some(container)) if container.id != before.id => match self.becomes_well(&gate.pod, &container) {
                    Ok(()) => return Ok(()),
                    Err(why) => why,
                },
                Ok(_) => "the kubelet has not started it again yet".to_owned(),
                Err(why) => why,
            };
            let waited = self.since(begun);
            if waited >= gate.timeout {
                return Err(failed(runtime.diagnose(gate, waited, &why)));
            }
            runtime.hurry(&gate.pod, waited)?;
            if tell(&why).is_break() {
                return Err(ApplyError::new("restart", component, MadeWay(why)));
            }
            runtime.pause(LOOK);
        }
    }

    /// A Lease that seemed to be forgotten is renewed after all: there was nobody to renew it with, say.
    fn wakes(&self, pod: &StaticPodSpec) -> bool {
        let (begun, now) = (self.runtime.elapsed(), self.runtime.now());
        while self.runtime.leads(pod, now).is_err() {
            if self.since(begun) >= LAST_CHANCE {
                return false;
            }
            self.runtime.pause(LOOK);
        }
        true
    }

    /// Carries on what a killed run began.
    fn carry_on(&self, gate: &PodGate, path: &str, tell: Tell<'_>) -> Result<(), ApplyError> {
        let component = gate.pod.component;
        let failed = |why: String| ApplyError::new("roll out", component, why);
        let Some(record) = self.record(component)?.filter(|record| record.failed.is_none()) else { return Ok(()) };
        match self.read(path)? {
            Some((text, mode)) if hash(&text) == record.manifest => {
                let seen = self.see_through(&Manifest { path, text: &text, mode }, gate, tell);
                // That the manifest is there was told by who put it there.
                seen.map_err(|error| if error.is_made() { failed(error.reason()) } else { error })
            }
            // It had not begun, or something else has come in its place.
            _ => self.forget(component),
        }
    }

    /// Waits until a component is well with a new manifest; else the one of before comes back.
    fn see_through(&self, new: &Manifest<'_>, gate: &PodGate, tell: Tell<'_>) -> Result<(), ApplyError> {
        let (component, runtime) = (gate.pod.component, self.runtime);
        let begun = *self.lock().entry(component).or_insert_with(|| runtime.elapsed());
        loop {
            let found = self.made_of(new.path, &gate.pod);
            let well = found.as_ref().map_err(Clone::clone);
            let Err(why) = well.and_then(|container| self.becomes_well(&gate.pod, container)) else {
                self.lock().remove(component);
                return self.forget(component);
            };
            let waited = self.since(begun);
            let crashes = found.is_ok_and(|container| !container.runs && container.restarts + 1 >= ENDS_MAX);
            if waited >= gate.timeout || crashes {
                self.lock().remove(component);
                return Err(self.give_up(new, gate, waited, (&why, tell)));
            }
            if tell(&why).is_break() {
                return Err(ApplyError::new("roll out", component, MadeWay(why)));
            }
            runtime.pause(LOOK);
        }
    }

    /// Puts back what ran before, and says why. That is remembered first, so that a run that is killed now is not followed by another attempt.
    fn give_up(
        &self,
        new: &Manifest<'_>,
        gate: &PodGate,
        waited: Duration,
        (why, tell): (&str, Tell<'_>),
    ) -> ApplyError {
        let (component, runtime) = (gate.pod.component, self.runtime);
        let said = format!("{component} did not become healthy: {}", runtime.diagnose(gate, waited, why));
        let failed = |more: &str| ApplyError::new("roll out", component, format!("{said}: {more}"));
        // Where nothing can be started, the manifest is not to blame.
        if !runtime.has_kubelet() || runtime.container(&gate.pod).is_err() {
            return failed("that is looked at again once the kubelet and the container runtime work");
        }
        let record = match self.record(component) {
            Ok(Some(record)) => record,
            Ok(None) => return failed("there is no record of the manifest of before"),
            Err(error) => return error,
        };
        let restored = format!("{said}: restored the manifest of before");
        let before = record.before.clone();
        if let Err(error) = self.keep(component, &Record { failed: Some(restored.clone()), ..record }) {
            return error;
        }
        let old = Manifest { text: &before, ..*new };
        if let Err(error) = self.swap(&old, gate) {
            return error;
        }
        let Some(pod) = old_pod(&gate.pod, &before) else { return ApplyError::new("roll out", component, restored) };
        let begun = runtime.elapsed();
        while let Err(why) = self.made_of(old.path, &pod).and_then(|container| self.becomes_well(&pod, &container)) {
            if self.since(begun) >= gate.timeout {
                return ApplyError::new(
                    "roll out",
                    component,
                    format!("{restored}, which is not healthy either: {why}"),
                );
            }
            if tell(&why).is_break() {
                break;
            }
            runtime.pause(LOOK);
        }
        ApplyError::new("roll out", component, restored)
    }

    /// Takes a manifest away, ends its container, and puts another in its place once the kubelet has let go of the Pod.
    fn swap(&self, new: &Manifest<'_>, gate: &PodGate) -> Result<(), ApplyError> {
        let (runtime, pod) = (self.runtime, &gate.pod);
        let running = self.running(pod);
        let (mut ended, mut kept) = (Vec::new(), false);
        let between = || {
            ended.push(self.end(pod, &running));
            let begun = runtime.elapsed();
            loop {
                kept = runtime.is_kept(pod).unwrap_or(false);
                if !kept || self.since(begun) >= LET_GO {
                    break;
                }
                runtime.pause(LOOK);
            }
            runtime.pause(FORGET);
            if kept {
                // To a kubelet that holds on to a Pod a container that has ended is one to start again.
                ended.push(self.end(pod, &self.running(pod)));
            }
            for api in self.clients_of(pod) {
                ended.push(runtime.stop(&api.id, Duration::ZERO));
            }
        };
        let file = NewFile { path: new.path, bytes: new.text.as_bytes(), mode: new.mode };
        let swapped = self.writer.swap(file, between);
        swapped.map_err(|error| ApplyError::new("write", new.path, error))?;
        if kept {
            runtime.renew_kubelet()?;
        }
        ended.into_iter().collect()
    }

    /// The containers of a Pod that run, as far as that is known.
    fn running(&self, pod: &StaticPodSpec) -> Vec<String> {
        let newest = self.runtime.container(pod).ok().flatten();
        newest
            .map_or_else(Vec::new, |newest| newest.runs.then_some(newest.id).into_iter().chain(newest.beside).collect())
    }

    /// Ends containers of a Pod: all, whatever becomes of one.
    fn end(&self, pod: &StaticPodSpec, containers: &[String]) -> Result<(), ApplyError> {
        containers.iter().map(|id| self.runtime.stop(id, grace(pod))).fold(Ok(()), Result::and)
    }

    /// The API servers that run beside an etcd which is changed. Before the kubelet starts another etcd it asks the API server to forget
    /// the one of before, and an API server without etcd lets it wait for half a minute; one that starts refuses, until there is an etcd.
    fn clients_of(&self, pod: &StaticPodSpec) -> Vec<Container> {
        let host = pod.pod.strip_prefix(etcd::NAME).filter(|_| pod.component == etcd::NAME);
        let Some(host) = host else { return Vec::new() };
        let of = |pod_name, hosted| StaticPodSpec { component: apiserver::NAME, pod: pod_name, hosted, ..pod.clone() };
        let servers = [of(format!("{}{host}", apiserver::NAME), false), of(self_hosting::name(apiserver::NAME), true)];
        let found = servers.iter().filter_map(|server| self.runtime.container(server).ok().flatten());
        found.filter(|container| container.runs).collect()
    }

    /// The container that a changed manifest ends: it runs, and was made of the manifest that is there. A manifest that was changed
    /// after it was made, to something that it does not run, is put right before the kubelet notices, or nearly.
    fn disturbed(&self, pod: &StaticPodSpec, path: &str) -> Option<Container> {
        let container = self.runtime.container(pod).ok().flatten().filter(|container| container.runs)?;
        let other = !pod.is_run_by(&container.command, &container.image);
        let made_of_it = self.runtime.changed(path).is_some_and(|changed| container.created >= changed);
        ((other || made_of_it) && self.runtime.has_kubelet()).then_some(container)
    }

    /// A component ran as a manifest says, and was well.
    fn was_well(&self, pod: &StaticPodSpec, container: &Container, manifest: &str) -> bool {
        let Some(old) = old_pod(pod, manifest) else { return false };
        if !is_expanded(&old.command, &container.command) {
            return false;
        }
        let begun = self.runtime.elapsed();
        while self.runtime.well(&old).is_err() {
            if self.since(begun) >= PATIENCE {
                return false;
            }
            self.runtime.pause(LOOK);
        }
        true
    }

    /// The newest container of a Pod, if it was made since a manifest is there.
    fn made_of(&self, manifest: &str, pod: &StaticPodSpec) -> Result<Container, String> {
        let container = self.runtime.container(pod)?.ok_or("the kubelet has made no container of it yet")?;
        match self.runtime.changed(manifest) {
            Some(changed) if container.created >= changed => Ok(container),
            _ => Err("the kubelet has not started it anew yet".to_owned()),
        }
    }

    /// A container is all that runs of its Pod, and well.
    fn becomes_well(&self, pod: &StaticPodSpec, container: &Container) -> Result<(), String> {
        // A kubelet that was started anew amid a change knows nothing of what it began before: that would go on beside, and answer in the
        // place of what is meant.
        if !container.beside.is_empty() {
            self.end(pod, &container.beside).map_err(|error| error.chain())?;
            return Err("what ran before it had not ended yet".to_owned());
        }
        self.runtime.well(pod)?;
        self.runtime.leads(pod, i64::try_from(container.created / 1_000_000).unwrap_or(i64::MAX))
    }

    fn since(&self, begun: Duration) -> Duration {
        self.runtime.elapsed().saturating_sub(begun)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Duration>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, new: &Manifest<'_>) -> Result<(), ApplyError> {
        let written = self.writer.write(new.path, new.text.as_bytes(), new.mode);
        written.map_err(|error| ApplyError::new("write", new.path, error))
    }

    fn read(&self, path: &str) -> Result<Option<(String, Mode)>, ApplyError> {
        let read = self.writer.files().read(path).map_err(|error| ApplyError::new("read", path, error))?;
        Ok(read.and_then(|(bytes, mode)| Some((String::from_utf8(bytes).ok()?, mode))))
    }

    fn text(&self, path: &str) -> Result<Option<String>, ApplyError> {
        Ok(self.read(path)?.map(|(text, _)| text))
    }

    fn record(&self, component: &str) -> Result<Option<Record>, ApplyError> {
        Ok(self.text(&path(component))?.as_deref().and_then(Record::read))
    }

    fn keep(&self, component: &str, record: &Record) -> Result<(), ApplyError> {
        let path = path(component);
        let written = self.writer.write_through(&path, record.to_text().as_bytes(), self.mode);
        written.map_err(|error| ApplyError::new("write", path, error))
    }

    /// Forgets the record of a change, where there is one.
    ///
    /// # Errors
    /// It could not be removed.
    pub fn forget(&self, component: &str) -> Result<(), ApplyError> {
        let path = path(component);
        if self.text(&path)?.is_none() {
            return Ok(());
        }
        let removed = self.writer.remove(&path).and_then(|()| self.writer.settle_above(&path));
        removed.map_err(|error| ApplyError::new("remove", path, error))
    }
}

/// Two manifests say the same.
fn same(one: &str, other: &str) -> bool {
    one == other || yaml::parse(one).is_ok_and(|one| yaml::parse(other).is_ok_and(|other| one == other))
}

/// The Pod of another manifest of the same component; `None` where the manifest is one of another Pod, which ran as nobody knows what.
fn old_pod(new: &StaticPodSpec, manifest: &str) -> Option<StaticPodSpec> {
    let manifest = yaml::parse(manifest).ok()?;
    let metadata = &manifest["metadata"];
    let same = metadata["name"] == new.component && metadata["namespace"] == "kube-system";
    same.then(|| pod(new.component, new.pod.clone(), &manifest)).flatten()
}

//! A machine in memory: images, a kubelet that starts what its manifests say, an API server that answers once it runs. Time passes there
//! when somebody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use planekeeper::cluster::Cluster;
use planekeeper::desired::self_hosting;
use planekeeper::diff;
use planekeeper::engine::{self, Report};
use planekeeper::facts::{Facts, HostingFacts, Owner};
use planekeeper::host::api::{ApiError, Unreachable, Why};
use planekeeper::host::files::{FileSystem, Writer};
use planekeeper::host::memory::Memory;
use planekeeper::host::rollout::{Begun, Container, Rollouts, Runtime};
use planekeeper::host::sandbox::Sandbox;
use planekeeper::host::{ApplyError, Host, Tell};
use planekeeper::observed::{LeaseSeen, Mode, ObserveError, Observed, Seen, StaticPodSeen, UnitSeen};
use planekeeper::resource::{
    Condition, Desired, FileSpec, PodGate, Resource, RunningSpec, Spec, StaticPodSpec, Target, Want,
};
use planekeeper::rollout::{self, COMPONENTS};
use planekeeper::verdict::Verdict;

use super::{Faulty, NOW, View, setting};

/// A word on a command line with which no component comes up.
pub const BAD: &str = "--v=bad";

/// A machine. Its files and objects are a sandbox's, whose folder of objects nobody reaches before an API server runs.
pub struct Machine {
    pub files: Memory,
    pub images: Mutex<BTreeSet<String>>,
    pub started: Mutex<bool>,
    /// The kubelet ends as soon as it was started.
    pub crashes: bool,
    /// The kubelet has not heard of the API server's Pods since it started: what was taken away is still there for it.
    pub deaf: Mutex<bool>,
    running: Mutex<Running>,
    /// Components that take long until they do something after they have started.
    pub slow: Mutex<BTreeSet<&'static str>>,
    /// The containers of components that run in Pods of their `DaemonSet`s.
    pub hosted: Mutex<BTreeMap<&'static str, Container>>,
    /// Why its clock may be wrong.
    pub doubt: Mutex<Option<String>>,
    /// It was once as a configuration wants it, which is then remembered.
    converged: AtomicBool,
    /// After so many effects of a rollout the process that makes it is killed.
    pub fuse: AtomicUsize,
}

/// What runs.
#[derive(Clone, Default)]
struct Running {
    /// Microseconds since 1970.
    clock: u64,
    containers: BTreeMap<&'static str, Made>,
    /// When files were changed last, with the count by which that is known.
    changed: BTreeMap<String, (u64, u64)>,
    /// Components whose container was ended from here, in order.
    stopped: Vec<&'static str>,
    /// How often a manifest took another's place while the Pod of that ran, which takes a kubelet long.
    overtaken: usize,
    /// Components that run and do nothing, until they are started again.
    hung: BTreeSet<&'static str>,
    /// Containers that go on beside that of a component, which answer in its place.
    beside: BTreeMap<&'static str, Vec<String>>,
    made: usize,
}

#[derive(Clone)]
struct Made {
    container: Container,
    manifest: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    pub fn bare() -> Self {
        let running = Running { clock: u64::try_from(NOW).unwrap() * 1_000_000, ..Running::default() };
        Self {
            files: Memory::default(),
            images: Mutex::default(),
            started: Mutex::new(false),
            crashes: false,
            deaf: Mutex::new(false),
            running: Mutex::new(running),
            slow: Mutex::default(),
            hosted: Mutex::default(),
            doubt: Mutex::default(),
            converged: AtomicBool::new(false),
            fuse: AtomicUsize::new(usize::MAX),
        }
    }

    /// Another one that is as this one is now.
    pub fn copy(&self) -> Self {
        Self {
            files: self.files.snapshot(),
            images: Mutex::new(lock(&self.images).clone()),
            started: Mutex::new(*lock(&self.started)),
            crashes: self.crashes,
            deaf: Mutex::new(*lock(&self.deaf)),
            running: Mutex::new(lock(&self.running).clone()),
            slow: Mutex::new(lock(&self.slow).clone()),
            hosted: Mutex::new(lock(&self.hosted).clone()),
            doubt: Mutex::default(),
            converged: AtomicBool::new(self.converged.load(Ordering::SeqCst)),
            fuse: AtomicUsize::new(usize::MAX),
        }
    }

    /// The same machine after its power was cut: nothing runs but the kubelet.
    pub fn after_power_cut(&self) -> Self {
        let machine = self.copy();
        let mut running = lock(&machine.running).clone();
        running.containers.clear();
        machine.reboot();
        Self { files: self.files.after_power_cut(), running: Mutex::new(running), ..machine }
    }

    /// Does something in a process that is killed after so many effects; false where it was not killed.
    pub fn killed_after(&self, effects: usize, act: impl FnOnce()) -> bool {
        self.fuse.store(effects, Ordering::SeqCst);
        let killed = catch_unwind(AssertUnwindSafe(act)).is_err();
        self.fuse.store(usize::MAX, Ordering::SeqCst);
        killed
    }

    fn burn(&self) {
        assert!(self.fuse.fetch_sub(1, Ordering::SeqCst) != 0, "killed");
    }

    /// The components whose containers were ended from here since this was last asked.
    pub fn stopped(&self) -> Vec<&'static str> {
        std::mem::take(&mut lock(&self.running).stopped)
    }

    pub fn overtaken(&self) -> usize {
        lock(&self.running).overtaken
    }

    pub fn hang(&self, component: &'static str) {
        lock(&self.running).hung.insert(component);
    }

    /// Lets seconds pass.
    pub fn wait(&self, seconds: u64) {
        lock(&self.running).clock += seconds * 1_000_000;
    }

    /// Whether a component runs, and with a word on its command line.
    pub fn runs_with(&self, component: &str, word: &str) -> bool {
        self.tick();
        let running = lock(&self.running);
        running
            .containers
            .get(component)
            .is_some_and(|made| made.container.runs && made.container.command.iter().any(|one| one == word))
    }

    /// Lets the kubelet see what there is.
    pub fn tick(&self) {
        let mut running = lock(&self.running);
        let counts = self.files.touched();
        for (path, count) in counts.into_iter().filter(|(path, _)| path.starts_with("/etc/kubernetes/")) {
            if running.changed.get(&path).is_none_or(|(known, _)| *known != count) {
                running.clock += 1000;
                let clock = running.clock;
                running.changed.insert(path, (count, clock));
            }
        }
        if *lock(&self.started) {
            for component in COMPONENTS {
                self.keep(component, &mut running);
            }
        }
    }

    /// What a kubelet does about one Pod.
    fn keep(&self, component: &'static str, running: &mut Running) {
        let Some((manifest, _)) = self.files.read(&format!("/etc/kubernetes/manifests/{component}.yaml")).unwrap()
        else {
            if *lock(&self.deaf) {
                Self::start_again(component, running);
            } else {
                running.containers.remove(component);
            }
            return;
        };
        let before = running.containers.get(component);
        let other = before.is_some_and(|made| made.manifest != manifest);
        if other && *lock(&self.deaf) {
            return Self::start_again(component, running);
        }
        running.overtaken += usize::from(other && before.is_some_and(|made| made.container.runs));
        if before.is_some_and(|made| made.container.runs && made.manifest == manifest) {
            return;
        }
        let restarts = before.filter(|_| !other).map_or(0, |made| made.container.restarts + 1);
        running.clock += 1000;
        running.made += 1;
        running.hung.remove(component);
        let parsed = planekeeper::yaml::parse(std::str::from_utf8(&manifest).unwrap()).unwrap();
        let container = &parsed["spec"]["containers"][0];
        let words = container["command"].as_array().unwrap().iter();
        let command: Vec<String> = words.map(|word| word.as_str().unwrap().to_owned()).collect();
        let container = Container {
            id: format!("{component}-{}", running.made),
            runs: !command.iter().any(|word| word == BAD),
            created: running.clock,
            restarts,
            image: container["image"].as_str().unwrap().to_owned(),
            command,
            beside: Vec::new(),
        };
        running.containers.insert(component, Made { container, manifest });
    }

    /// A kubelet that holds on to a Pod starts again what has ended of it.
    fn start_again(component: &'static str, running: &mut Running) {
        running.made += 1;
        let (clock, made) = (running.clock, running.made);
        let ended = running.containers.get_mut(component).map(|made| &mut made.container).filter(|made| !made.runs);
        if let Some(container) = ended {
            let id = format!("{component}-{made}");
            *container =
                Container { id, runs: true, created: clock, restarts: container.restarts + 1, ..container.clone() };
        }
    }

    fn runs(&self, pod: &StaticPodSpec) -> bool {
        self.container(pod).unwrap().is_some_and(|container| {
            let answers = container.runs || !container.beside.is_empty();
            answers && container.command == pod.command && container.image == pod.image
        })
    }

    pub fn api_answers(&self) -> bool {
        let running = lock(&self.running);
        let runs = |name: &str| running.containers.get(name).is_some_and(|made| made.container.runs);
        *lock(&self.started) && runs("etcd") && (runs("kube-apiserver") || self.hosts("kube-apiserver"))
    }

    /// A component runs in a Pod of its `DaemonSet`.
    pub fn hosts(&self, component: &str) -> bool {
        lock(&self.hosted).contains_key(component)
    }

    pub fn has_manifest(&self, component: &str) -> bool {
        self.files.read(&format!("/etc/kubernetes/manifests/{component}.yaml")).unwrap().is_some()
    }

    /// The power goes and comes back: of the Pods, only static ones start.
    pub fn reboot(&self) {
        lock(&self.hosted).clear();
    }

    /// What the cluster does by itself: Pods of `DaemonSet`s come and go, as long as there is an API server and a scheduler.
    fn schedule(&self) {
        self.tick();
        for component in self_hosting::COMPONENTS {
            let path = format!("/cluster/kube-system/DaemonSet.self-hosted-{component}.yaml");
            let wanted = self.files.read(&path).unwrap().is_some();
            let scheduler = self.has_manifest("kube-scheduler") || self.hosts("kube-scheduler");
            if wanted && scheduler && self.api_answers() {
                lock(&self.hosted).entry(component).or_insert_with(|| self.hosted_container(component));
            } else if !wanted && self.api_answers() {
                lock(&self.hosted).remove(component);
            }
        }
    }

    /// A container of a `DaemonSet`'s Pod that begins now.
    fn hosted_container(&self, component: &str) -> Container {
        let mut running = lock(&self.running);
        running.clock += 1000;
        running.made += 1;
        let (id, created) = (format!("hosted-{component}-{}", running.made), running.clock);
        let (image, command, beside) = (String::new(), Vec::new(), Vec::new());
        Container { id, runs: true, created, restarts: 0, image, command, beside }
    }

    /// A static Pod shares its port, and the `DaemonSet` is there, or nobody can tell.
    fn shares(&self, component: &str) -> bool {
        let read = |path: String| self.files.read(&path).unwrap().map(|(bytes, _)| String::from_utf8(bytes).unwrap());
        let manifest = read(format!("/etc/kubernetes/manifests/{component}.yaml"));
        let there = read(format!("/cluster/kube-system/DaemonSet.self-hosted-{component}.yaml")).is_some();
        manifest.is_some_and(|text| self_hosting::shares_port(&text)) && (there || !self.api_answers())
    }

    fn hosting(&self, daemon_sets: bool) -> HostingFacts {
        let manifests = self_hosting::COMPONENTS.iter().filter(|component| self.has_manifest(component));
        let shared = self_hosting::COMPONENTS.into_iter().filter(|component| self.shares(component));
        HostingFacts {
            shared: shared.map(str::to_owned).collect(),
            manifests: manifests.map(|component| (*component).to_owned()).collect(),
            self_hosted: lock(&self.hosted).keys().map(|component| ((*component).to_owned(), 0)).collect(),
            daemon_sets,
        }
    }

    fn holds(&self, condition: &Condition) -> Result<(), String> {
        self.tick();
        let holds = match condition {
            Condition::Url(_) => *lock(&self.started),
            Condition::StaticPod(pod) => *lock(&self.started) && self.runs(pod),
            Condition::ApiAnswers(Some(pod)) => self.api_answers() && self.runs(pod),
            Condition::SelfHosted(spec) => {
                self.hosts(spec.pod.component) && !spec.pod.command.iter().any(|word| word == BAD)
            }
            Condition::SelfHostedApi(_) => self.api_answers() && self.hosts("kube-apiserver"),
            Condition::NotSelfHosted(spec) => !self.hosts(spec.pod.component),
            _ => self.api_answers(),
        };
        if holds { Ok(()) } else { Err("not yet".to_owned()) }
    }

    fn seconds(&self) -> i64 {
        i64::try_from(lock(&self.running).clock / 1_000_000).unwrap()
    }

    fn pod_seen(&self, spec: &RunningSpec) -> StaticPodSeen {
        let started = self.container(&spec.gate.pod).unwrap().filter(|container| container.runs);
        let reads = spec.reads.iter().filter_map(|path| Some((path.clone(), self.changed(path)?)));
        let hung = lock(&self.running).hung.contains(spec.gate.pod.component);
        let lease = LeaseSeen { renewed: (!hung).then(|| self.seconds()), elsewhere: false, api_since: 0 };
        let lease = spec.gate.pod.lease.as_ref().map(|_| lease);
        StaticPodSeen { started: started.map(|container| container.created), reads: reads.collect(), lease }
    }
}

impl Runtime for Machine {
    fn container(&self, pod: &StaticPodSpec) -> Result<Option<Container>, String> {
        self.tick();
        if pod.hosted {
            return Ok(lock(&self.hosted).get(pod.component).cloned());
        }
        let running = lock(&self.running);
        let beside = running.beside.get(pod.component).cloned().unwrap_or_default();
        Ok(running.containers.get(pod.component).map(|made| Container { beside, ..made.container.clone() }))
    }

    fn is_kept(&self, pod: &StaticPodSpec) -> Result<bool, String> {
        Ok(self.container(pod)?.is_some())
    }

    fn has_kubelet(&self) -> bool {
        *lock(&self.started)
    }

    fn stop(&self, id: &str, _grace: Duration) -> Result<(), ApplyError> {
        self.burn();
        {
            let mut running = lock(&self.running);
            running.beside.values_mut().for_each(|ids| ids.retain(|one| one != id));
            let found = running.containers.iter_mut().find(|(_, made)| made.container.id == id);
            if let Some((component, made)) = found {
                made.container.runs = false;
                let component = *component;
                running.stopped.push(component);
            }
        }
        // The kubelet has known the Pod from the API, and starts it again by itself.
        let hosted =
            lock(&self.hosted).iter().find(|(_, container)| container.id == id).map(|(component, _)| *component);
        if let Some(component) = hosted {
            lock(&self.running).stopped.push(component);
            let again = self.hosted_container(component);
            lock(&self.hosted).insert(component, again);
        }
        self.burn();
        Ok(())
    }

    fn well(&self, pod: &StaticPodSpec) -> Result<(), String> {
        if pod.hosted {
            return if self.hosts(pod.component) { Ok(()) } else { Err("not yet".to_owned()) };
        }
        self.holds(&Condition::StaticPod(pod.clone()))
    }

    fn leads(&self, pod: &StaticPodSpec, _since: i64) -> Result<(), String> {
        let hung = lock(&self.running).hung.contains(pod.component) || lock(&self.slow).contains(pod.component);
        if hung { Err("nobody renews its Lease".to_owned()) } else { Ok(()) }
    }

    fn hurry(&self, _pod: &StaticPodSpec, _waited: Duration) -> Result<(), ApplyError> {
        Ok(())
    }

    fn renew_kubelet(&self) -> Result<(), ApplyError> {
        let manifest = |component: &str| {
            let path = format!("/etc/kubernetes/manifests/{component}.yaml");
            self.files.read(&path).unwrap().map(|(manifest, _)| manifest)
        };
        self.tick();
        let mut running = lock(&self.running);
        let (kept, left) = std::mem::take(&mut running.containers)
            .into_iter()
            .partition(|(component, made)| manifest(component).as_ref() == Some(&made.manifest));
        running.containers = kept;
        let left: BTreeMap<&'static str, Made> = left;
        for (component, made) in left.into_iter().filter(|(_, made)| made.container.runs) {
            running.beside.entry(component).or_default().push(made.container.id);
        }
        drop(running);
        *lock(&self.deaf) = !self.api_answers();
        Ok(())
    }

    fn diagnose(&self, gate: &PodGate, _waited: Duration, why: &str) -> String {
        format!("{why}; last words of {}: unknown flag", gate.pod.component)
    }

    fn changed(&self, path: &str) -> Option<u64> {
        self.tick();
        lock(&self.running).changed.get(path).map(|(_, at)| *at)
    }

    fn now(&self) -> i64 {
        self.seconds()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(lock(&self.running).clock)
    }

    fn pause(&self, time: Duration) {
        self.burn();
        lock(&self.running).clock += u64::try_from(time.as_micros()).unwrap();
        self.tick();
    }
}

/// What goes wrong: the step of this number and all after it, or every step on one resource; or the API server's container ends when the
/// first step on a resource begins, and its Pod is gone.
pub enum Fault<'a> {
    None,
    From(usize),
    On(&'a str),
    Lost(&'a str),
    /// This gate is seen closed, and opens to who waits for it once an object is there, or after very many questions.
    Until(&'a str, &'a str),
}

/// A run on a machine.
pub struct Run<'a> {
    machine: &'a Machine,
    sandbox: Sandbox<View<'a>>,
    writer: Writer<Faulty<'a>>,
    begun: Begun,
    fault: Fault<'a>,
    steps: AtomicUsize,
    /// How often something sick was waited for.
    pub waited: AtomicUsize,
    /// How often the machine was looked at, but for looks at gates alone.
    pub looks: AtomicUsize,
}

impl<'a> Run<'a> {
    pub fn new(machine: &'a Machine, fault: Fault<'a>) -> Self {
        let sandbox = Sandbox::new(View(&machine.files), setting());
        let mut files = Faulty::new(&machine.files, usize::MAX, None);
        files.after = Box::new(|_| machine.burn());
        let (writer, begun) = (Writer::new(files), Begun::default());
        let none = || AtomicUsize::new(0);
        Self { machine, sandbox, writer, begun, fault, steps: none(), waited: none(), looks: none() }
    }

    fn is_sick(&self, resource: &Resource) -> bool {
        matches!(self.fault, Fault::On(id) if id == resource.id.0)
    }

    fn is_there(&self, object: &str) -> bool {
        self.machine.files.read(object).unwrap().is_some()
    }

    /// A run that began with a configuration that had been in force before, unless the machine was never as any wants it.
    pub fn reconcile_from(&self, cluster: &Cluster, last_good: Option<&Cluster>) -> Report {
        let last_good = last_good.filter(|_| self.machine.converged.load(Ordering::SeqCst));
        let report = engine::reconcile(self, cluster, last_good, 1, &|_| {}).unwrap();
        self.machine.converged.fetch_or(report.converged(), Ordering::SeqCst);
        report
    }

    pub fn reconcile(&self, cluster: &Cluster) -> Report {
        self.reconcile_from(cluster, Some(cluster))
    }

    fn rollouts(&self) -> Rollouts<'_, Faulty<'a>, Machine> {
        let mode = Mode { mode: 0o600, owner: Owner::default() };
        Rollouts { writer: &self.writer, runtime: self.machine, mode, begun: &self.begun }
    }
}

/// Nobody listens where the API server was.
fn refused(id: &str) -> ApplyError {
    let why = Why::Unreachable(Unreachable::Refused);
    ApplyError::new("apply", id, ApiError { operation: "apply an object".to_owned(), why })
}

fn is_object(resource: &Resource) -> bool {
    matches!(&resource.want, Want::Present(Spec::Object(_)) | Want::Absent(Target::Object(_)))
}

impl Host for Run<'_> {
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        let read = |path: &str| -> Result<Option<String>, ObserveError> {
            let read = self.machine.files.read(path).unwrap();
            Ok(read.map(|(bytes, _)| String::from_utf8(bytes).unwrap()))
        };
        let now = self.machine.seconds();
        let facts = self.sandbox.facts(cluster)?;
        let hosting = self.machine.hosting(facts.hosting.daemon_sets);
        Ok(Facts { live: true, now, hosting, rollouts: rollout::records(read)?, ..facts })
    }

    fn observe(&self, desired: &Desired) -> Observed {
        self.machine.tick();
        let whole = desired.resources.iter().any(|resource| matches!(resource.want, Want::Present(Spec::File(_))));
        self.looks.fetch_add(usize::from(whole), Ordering::SeqCst);
        let mut observed = self.sandbox.observe(desired);
        let never = !self.machine.has_manifest("etcd");
        for resource in &desired.resources {
            let seen = match &resource.want {
                Want::Present(Spec::Image(spec)) => {
                    let there = lock(&self.machine.images).contains(&spec.reference);
                    Ok(if there { Seen::Image } else { Seen::Absent })
                }
                Want::Present(Spec::Unit(_)) => {
                    let started = *lock(&self.machine.started);
                    let active = if started { Ok(()) } else { Err("inactive (dead)".to_owned()) };
                    Ok(Seen::Unit(UnitSeen { active, enabled: Ok(()), started: None, reads: Vec::new() }))
                }
                Want::Present(Spec::StaticPod(spec)) => Ok(Seen::StaticPod(self.machine.pod_seen(spec))),
                Want::Present(Spec::Gate(_)) if self.is_sick(resource) => Ok(Seen::Gate(Err("it is sick".to_owned()))),
                Want::Present(Spec::Gate(_))
                    if whole && matches!(self.fault, Fault::Until(id, _) if id == resource.id.0) =>
                {
                    Ok(Seen::Gate(Err("not yet".to_owned())))
                }
                Want::Present(Spec::Gate(spec)) => Ok(Seen::Gate(self.machine.holds(&spec.condition))),
                _ if is_object(resource) && !never && !self.machine.api_answers() => {
                    Err(ObserveError { what: resource.id.0.clone(), why: "connection refused".to_owned() })
                }
                _ => continue,
            };
            observed.insert(resource.id.clone(), seen);
        }
        observed
    }

    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict, tell: Tell<'_>) -> Result<(), ApplyError> {
        let fails = match self.fault {
            Fault::From(step) => self.steps.fetch_add(1, Ordering::SeqCst) >= step,
            Fault::On(_) => self.is_sick(resource),
            Fault::Lost(id) if id == resource.id.0 && self.steps.fetch_add(1, Ordering::SeqCst) == 0 => {
                lock(&self.machine.hosted).remove("kube-apiserver");
                false
            }
            Fault::Until(gate, object) if gate == resource.id.0 && !self.is_there(object) => {
                while self.waited.fetch_add(1, Ordering::SeqCst) < 1000 && tell("not yet").is_continue() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                true
            }
            Fault::Until(..) | Fault::Lost(_) | Fault::None => false,
        };
        if fails {
            self.waited.fetch_add(1, Ordering::SeqCst);
            return Err(ApplyError::new("see", resource.id.0.clone(), "it went wrong"));
        }
        match &resource.want {
            Want::Present(Spec::Image(spec)) => {
                lock(&self.machine.images).insert(spec.reference.clone());
            }
            Want::Present(Spec::Unit(_)) => *lock(&self.machine.started) = !self.machine.crashes,
            Want::Present(Spec::Gate(spec)) => {
                self.machine.schedule();
                return self.machine.holds(&spec.condition).map_err(|why| ApplyError::new("see", &resource.id.0, why));
            }
            Want::Present(Spec::StaticPod(spec)) => {
                let manifest = format!("/etc/kubernetes/manifests/{}.yaml", spec.gate.pod.component);
                return self.rollouts().pod(spec, verdict, &manifest, tell);
            }
            Want::Present(Spec::File(spec @ FileSpec { pod: Some(gate), .. })) if !diff::only_modes(verdict) => {
                return self.rollouts().manifest(spec, gate, tell);
            }
            _ if is_object(resource) && !self.machine.api_answers() => {
                return Err(refused(&resource.id.0));
            }
            _ => return self.sandbox.apply(resource, seen, verdict, tell),
        }
        Ok(())
    }

    fn doubts_clock(&self) -> Option<String> {
        lock(&self.machine.doubt).clone()
    }

    fn settle(&self) -> Result<(), ApplyError> {
        self.writer.settle().map_err(|(folder, error)| ApplyError::new("sync the folder", folder, error))?;
        self.sandbox.settle()
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError> {
        self.sandbox.keep(path, text)
    }

    fn forget(&self, name: &str) -> Result<(), ApplyError> {
        self.rollouts().forget(name)
    }
}

/// A machine on which a cluster has come up.
pub fn up(cluster: &Cluster) -> (Machine, Report) {
    let machine = Machine::bare();
    let report = Run::new(&machine, Fault::None).reconcile(cluster);
    assert!(report.converged(), "{report:#?}");
    (machine, report)
}

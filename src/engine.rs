//! The engine: look, plan, apply, look again, until nothing is left to do. The only caller of [`Host::apply`].
//!
//! No step is remembered from one pass to the next: first boot, repair, renewal and what is left of a killed run are one path.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::cluster::Cluster;
use crate::desired::{self, patched};
use crate::facts::Facts;
use crate::host::{ApplyError, Host};
use crate::observed::{ObserveError, Observed, Seen};
use crate::plan::{self, Action, Held, Plan, Previous, Step};
use crate::resource::{Desired, Id, Resource, Spec, Want};

/// The most passes of one run. A cold start takes four: the host's files, what follows from its CA, a look at the result; more
/// means that a diff and its driver do not agree, and the report names what would not settle.
pub const PASSES_MAX: usize = 8;

/// One pass over a host: everything that was read, and what follows from it.
#[derive(Debug)]
pub struct Pass {
    /// What was known of the host.
    pub facts: Facts,
    /// What is wanted under the facts of this pass.
    pub desired: Desired,
    /// What was seen.
    pub observed: Observed,
    /// What is to be done.
    pub plan: Plan,
}

/// Looks at a host and plans, without writing anything.
///
/// # Errors
/// The facts of the host could not be read.
pub fn look<H: Host + ?Sized>(host: &H, cluster: &Cluster, last_good: Option<&Cluster>) -> Result<Pass, ObserveError> {
    let facts = host.facts(cluster)?;
    if let Some(why) = patched::failures(cluster, &facts).into_values().next() {
        return Err(ObserveError { what: "what the patches are for".to_owned(), why });
    }
    let mut desired = desired::desired(cluster, &facts);
    // Where the configuration has not changed, what it wanted is what it wants.
    let before = last_good.filter(|last| !std::ptr::eq(*last, cluster)).map(|last| desired::desired(last, &facts));
    if let Some(before) = &before {
        desired.drop_fields_of(before);
    }
    let observed = host.observe(&desired);
    let previous = last_good.map(|cluster| Previous { cluster, desired: before.as_ref().unwrap_or(&desired) });
    let plan = plan::plan(cluster, &desired, &observed, previous.as_ref(), &facts);
    Ok(Pass { facts, desired, observed, plan })
}

/// What a run did, and what is left.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that were done, in the order of their plans: not that in which they ended, which differs from run to run.
    pub done: Vec<Step>,
    /// Steps of the last pass that failed.
    pub failed: Vec<Failed>,
    /// What the last look still had to say: held, refused, waiting, reported; its steps would not settle.
    pub left: Plan,
    /// Why what was done may not survive a power cut.
    pub unsettled: Option<ApplyError>,
    /// How many passes it took.
    pub passes: usize,
    /// It was ended early: there is something else to do first.
    pub interrupted: bool,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failed {
    /// The resource.
    pub id: Id,
    /// Why.
    pub error: ApplyError,
}

impl Report {
    /// Everything is as wanted.
    #[must_use]
    pub fn converged(&self) -> bool {
        let left = &self.left;
        self.failed.is_empty()
            && self.unsettled.is_none()
            && left.steps.is_empty()
            && left.held.is_empty()
            && left.refused.is_empty()
            && left.forbidden.is_empty()
            && left.waiting.is_empty()
            && !self.interrupted
    }
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// The host was looked at.
    Looked(&'a Pass),
    /// A pass begins: so many steps.
    Planned(usize),
    /// A step begins.
    Started(&'a Step),
    /// A step waits for something, in a few words.
    Waits(&'a Step, &'a str),
    /// A step ended.
    Ended(&'a Step, Option<&'a ApplyError>),
}

/// What whoever starts a run has a say in.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// How many steps are applied side by side; with one, steps are applied in their order.
    pub workers: usize,
    /// Takes what the run tells.
    pub tell: &'a (dyn Fn(Event<'_>) + Sync),
    /// What is not touched for now, and why.
    pub held: &'a BTreeMap<Id, String>,
    /// The run is to end: no step begins any more.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Something else is to be done first: what only waits makes way for it.
    pub make_way: &'a (dyn Fn() -> bool + Sync),
}

/// Nothing is left alone.
static NOTHING: BTreeMap<Id, String> = BTreeMap::new();

impl<'a> Run<'a> {
    /// A run that nobody has anything to say in but `tell`, who is told of it: it goes on to its end.
    #[must_use]
    pub fn new(workers: usize, tell: &'a (dyn Fn(Event<'_>) + Sync)) -> Self {
        Self { workers, tell, held: &NOTHING, stop: &|| false, make_way: &|| false }
    }
}

/// Makes a host what the cluster says: bounded passes until there is nothing to do or nothing that can be done. So many `workers`
/// apply steps side by side; with one, steps are applied in their order.
///
/// # Errors
/// The facts of the host could not be read.
pub fn reconcile<H: Host + ?Sized>(
    host: &H,
    cluster: &Cluster,
    last_good: Option<&Cluster>,
    workers: usize,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Report, ObserveError> {
    reconcile_with(host, cluster, last_good, None, &Run::new(workers, tell))
}

/// [`reconcile`], by somebody who has more to do than that, and may have taken the first look already.
///
/// # Errors
/// The facts of the host could not be read.
pub fn reconcile_with<H: Host + ?Sized>(
    host: &H,
    cluster: &Cluster,
    last_good: Option<&Cluster>,
    mut first: Option<Pass>,
    run: &Run<'_>,
) -> Result<Report, ObserveError> {
    let mut report = Report::default();
    // What was waited for in vain has had its time: a later pass does not wait for it again.
    let mut in_vain: BTreeMap<Id, String> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    loop {
        let mut pass = match first.take() {
            Some(pass) => pass,
            None => look(host, cluster, last_good)?,
        };
        pass.plan.hold(&pass.desired, run.held);
        (run.tell)(Event::Looked(&pass));
        report.passes += 1;
        if pass.plan.steps.is_empty() || report.passes == PASSES_MAX || report.interrupted {
            // What could not be made durable before is tried once more.
            report.unsettled = host.settle().err();
            report.left = pass.plan;
            return Ok(report);
        }
        (run.tell)(Event::Planned(pass.plan.steps.len()));
        let mut outcome = apply(host, &pass, &in_vain, run);
        report.interrupted = outcome.interrupted;
        outcome.done.sort_unstable();
        report.unsettled = host.settle().err();
        let mut further = false;
        for index in outcome.done {
            let step = &pass.plan.steps[index];
            further |= reached.insert(step.id.clone());
            report.done.push(step.clone());
        }
        report.failed = outcome.failed;
        for failed in &report.failed {
            if pass.plan.steps.iter().any(|step| step.id == failed.id && step.action == Action::Wait) {
                in_vain.entry(failed.id.clone()).or_insert_with(|| failed.error.reason());
            }
        }
        if !further && !report.failed.is_empty() && !report.interrupted {
            // Nothing was done that was not done before: another pass would meet the same errors.
            report.left = pass.plan;
            hold_the_rest(&mut report, &pass.desired);
            return Ok(report);
        }
    }
}

/// Steps that were not tried, because something that they need failed, are held by it.
fn hold_the_rest(report: &mut Report, desired: &Desired) {
    let needs: BTreeMap<&Id, &[Id]> =
        desired.resources.iter().map(|resource| (&resource.id, resource.needs.as_slice())).collect();
    let mut stuck: BTreeSet<Id> = report.failed.iter().map(|failed| failed.id.clone()).collect();
    for step in std::mem::take(&mut report.left.steps) {
        let need = needs.get(&step.id).and_then(|needs| needs.iter().find(|need| stuck.contains(need))).cloned();
        if let Some(need) = need.filter(|_| !stuck.contains(&step.id)) {
            report.left.held.push(Held { id: step.id.clone(), reason: format!("it needs {need}, which failed") });
            stuck.insert(step.id);
        }
    }
}

/// How many steps are best applied side by side. Making keys takes processors, writing durably waits for the disk, which makes one
/// wait of those that come together: some more than there are processors keep both busy.
#[must_use]
pub fn workers() -> usize {
    8 + processors()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[derive(Default)]
struct Outcome {
    done: Vec<usize>,
    failed: Vec<Failed>,
    interrupted: bool,
}

/// Where the steps of a pass stand.
struct Queue {
    /// Steps that can be applied now, those first that the longest chain of others waits for.
    ready: BTreeSet<(Reverse<usize>, usize)>,
    /// Steps that wait, with how many of their needs are not there yet.
    waits: BTreeMap<usize, usize>,
    running: usize,
    /// How many of those that run make keys, and how many may: one more than there are processors, since each key is also written,
    /// which waits for the disk.
    making_keys: usize,
    making_keys_max: usize,
    outcome: Outcome,
}

impl Queue {
    /// The step to begin with now. Of those that make keys, only so many run that they do not take the processors from each other: a
    /// later one that more waits for would else stand behind those that came before it.
    fn take(&mut self, makes_keys: impl Fn(usize) -> bool) -> Option<usize> {
        let full = self.making_keys >= self.making_keys_max;
        let next = self.ready.iter().find(|(_, index)| !(full && makes_keys(*index))).copied()?;
        self.ready.remove(&next);
        self.running += 1;
        self.making_keys += usize::from(makes_keys(next.1));
        Some(next.1)
    }
}

/// Applies the steps of a plan, each as soon as what it needs has been applied. A failed step stops what needs it and nothing else.
fn apply<H: Host + ?Sized>(host: &H, pass: &Pass, in_vain: &BTreeMap<Id, String>, run: &Run<'_>) -> Outcome {
    let resources: BTreeMap<&Id, &Resource> =
        pass.desired.resources.iter().map(|resource| (&resource.id, resource)).collect();
    let steps: BTreeMap<&Id, usize> =
        pass.plan.steps.iter().enumerate().map(|(index, step)| (&step.id, index)).collect();
    let mut followers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut queue = Queue {
        ready: BTreeSet::new(),
        waits: BTreeMap::new(),
        running: 0,
        making_keys: 0,
        making_keys_max: 1 + processors(),
        outcome: Outcome::default(),
    };
    for (index, step) in pass.plan.steps.iter().enumerate() {
        let needs: Vec<usize> = resources[&step.id].needs.iter().filter_map(|need| steps.get(need).copied()).collect();
        queue.waits.insert(index, needs.len());
        for need in needs {
            followers.entry(need).or_default().push(index);
        }
    }
    let lengths: Vec<usize> = pass.plan.steps.iter().map(|step| length(step, resources[&step.id])).collect();
    let chains = chains(&followers, &lengths);
    let ready = queue.waits.iter().filter(|(_, needs)| **needs == 0).map(|(index, _)| *index);
    queue.ready = ready.map(|index| (Reverse(chains[index]), index)).collect();
    let work = Work {
        host,
        pass,
        resources,
        followers,
        chains,
        in_vain,
        run,
        queue: Mutex::new(queue),
        changed: Condvar::new(),
    };
    // Who waits for what comes by itself keeps nobody else from working.
    let waiting = pass.plan.steps.len() - pass.plan.changes().count();
    let workers = if run.workers == 1 { 1 } else { (run.workers + waiting).min(pass.plan.steps.len()) };
    if workers <= 1 {
        work.run();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| work.run());
            }
        });
    }
    work.queue.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
}

/// How long a step takes, roughly: what others do meanwhile, a unit that starts or a condition that comes true, takes many times what
/// making a file does.
fn length(step: &Step, resource: &Resource) -> usize {
    let others = step.action == Action::Wait || matches!(resource.want, Want::Present(Spec::Unit(_)));
    if others { 10 } else { 1 }
}

/// How long the longest chain of steps behind each is. A plan has each step after what it needs.
fn chains(followers: &BTreeMap<usize, Vec<usize>>, lengths: &[usize]) -> Vec<usize> {
    let mut chains = vec![0; lengths.len()];
    for index in (0..lengths.len()).rev() {
        let behind = followers.get(&index).into_iter().flatten().map(|follower| chains[*follower] + lengths[*follower]);
        chains[index] = behind.max().unwrap_or(0);
    }
    chains
}

/// The steps of a pass while they are being applied.
struct Work<'a, H: ?Sized> {
    host: &'a H,
    pass: &'a Pass,
    resources: BTreeMap<&'a Id, &'a Resource>,
    followers: BTreeMap<usize, Vec<usize>>,
    chains: Vec<usize>,
    in_vain: &'a BTreeMap<Id, String>,
    run: &'a Run<'a>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl<H: Host + ?Sized> Work<'_, H> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies steps until none is ready and none that runs can make one ready.
    fn run(&self) {
        while let Some(index) = self.next() {
            let step = &self.pass.plan.steps[index];
            (self.run.tell)(Event::Started(step));
            let seen = match self.pass.observed.get(&step.id) {
                Some(Ok(seen)) => seen,
                _ => &Seen::Absent,
            };
            let broken = AtomicBool::new(false);
            let waits = |what: &str| {
                (self.run.tell)(Event::Waits(step, what));
                if !(self.run.stop)() && !(self.run.make_way)() {
                    return ControlFlow::Continue(());
                }
                broken.store(true, Ordering::Relaxed);
                ControlFlow::Break(())
            };
            let result = match self.in_vain.get(&step.id) {
                Some(reason) => Err(ApplyError::new("see", &step.id.0, reason.clone())),
                None => self.host.apply(self.resources[&step.id], seen, &step.verdict, &waits),
            };
            if broken.into_inner() && result.is_err() {
                self.interrupt(index);
                continue;
            }
            (self.run.tell)(Event::Ended(step, result.as_ref().err()));
            self.end(index, result);
        }
    }

    fn next(&self) -> Option<usize> {
        let mut queue = self.lock();
        loop {
            if (self.run.stop)() {
                queue.outcome.interrupted |= !queue.ready.is_empty();
                queue.ready.clear();
            }
            if let Some(index) = queue.take(|index| self.makes_keys(index)) {
                return Some(index);
            }
            if queue.running == 0 {
                // Nothing comes any more: those who sleep are to know, also where what was ready is not begun.
                self.changed.notify_all();
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn makes_keys(&self, index: usize) -> bool {
        matches!(
            &self.resources[&self.pass.plan.steps[index].id].want,
            Want::Present(Spec::KeyPair(_) | Spec::Certificate(_) | Spec::Kubeconfig(_))
        )
    }

    /// A step that waited has made way: it is neither done nor has it failed.
    fn interrupt(&self, index: usize) {
        let mut queue = self.lock();
        self.leave(&mut queue, index);
        queue.outcome.interrupted = true;
        self.changed.notify_all();
    }

    /// A step runs no more.
    fn leave(&self, queue: &mut Queue, index: usize) {
        queue.running -= 1;
        queue.making_keys -= usize::from(self.makes_keys(index));
    }

    fn end(&self, index: usize, result: Result<(), ApplyError>) {
        let mut queue = self.lock();
        self.leave(&mut queue, index);
        match result {
            Ok(()) => {
                queue.outcome.done.push(index);
                for follower in self.followers.get(&index).into_iter().flatten() {
                    let ready = queue.waits.get_mut(follower).is_some_and(|left| {
                        *left -= 1;
                        *left == 0
                    });
                    if ready {
                        queue.waits.remove(follower);
                        queue.ready.insert((Reverse(self.chains[*follower]), *follower));
                    }
                }
            }
            Err(error) => queue.outcome.failed.push(Failed { id: self.pass.plan.steps[index].id.clone(), error }),
        }
        // Whoever ended a step takes the next one; others are woken for the rest only.
        for _ in 1..queue.ready.len() {
            self.changed.notify_one();
        }
    }
}

//! The engine: look, plan, apply, look again, until nothing is left to do. Nobody else calls [`Host::apply`].
//!
//! No step is remembered from one pass to the next: first boot, repair, renewal and what is left of a killed run are one path.

mod claim;
mod hosted;
mod steps;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::desired::{self, former, patched, release};
use crate::facts::Facts;
use crate::guard;
use crate::host::{ApplyError, Host};
use crate::observed::{ObserveError, Observed, Seen};
use crate::plan::{self, Action, Held, Plan, Previous, Step};
use crate::resource::{Desired, Id, Resource, Spec, Want};

pub use claim::{Claim, claim};
use steps::Outcome;
pub use steps::workers;

/// The most passes of one run. A cold start takes four: the host's files, what follows from its CA, a look at the result, what came; more
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
    /// What self-hosted components were made of before, as [`Desired::hosted`].
    pub hosted_before: BTreeMap<&'static str, String>,
}

impl Pass {
    /// There is nothing to change, only to wait for, and what comes of that decides nothing else.
    fn only_waits(&self) -> bool {
        let is_gate = |resource: &&Resource| matches!(resource.want, Want::Present(Spec::Gate(_)));
        let gates: BTreeSet<&Id> = self.desired.resources.iter().filter(is_gate).map(|gate| &gate.id).collect();
        let hosted = !self.desired.hosted.is_empty() || !self.hosted_before.is_empty();
        let decides = self.desired.trial.is_some() || !self.facts.rollouts.is_empty() || hosted;
        let waits = self.plan.waiting.is_empty() && self.plan.steps.iter().all(|step| gates.contains(&step.id));
        self.plan.settled() && waits && !decides
    }

    /// What was waited for holds now, all of it together: nothing was changed since the look, so that it needs no other. Each was waited for
    /// by itself, and the first may be gone when the last has come.
    fn has_come<H: Host + ?Sized>(&mut self, host: &H) -> bool {
        let waited: BTreeSet<&Id> = self.plan.steps.iter().map(|step| &step.id).collect();
        let gates = self.desired.resources.iter().filter(|resource| waited.contains(&resource.id)).cloned().collect();
        let seen = host.observe_part(&Desired { resources: gates, ..Desired::default() });
        let all = self.plan.steps.iter().all(|step| matches!(seen.get(&step.id), Some(Ok(Seen::Gate(Ok(()))))));
        if all {
            self.plan.unchanged += std::mem::take(&mut self.plan.steps).len();
            self.observed.extend(seen);
        }
        all
    }
}

/// Looks at a host and plans, without writing anything.
///
/// # Errors
/// The facts of the host could not be read.
pub fn look<H: Host + ?Sized>(host: &H, cluster: &Cluster, last_good: Option<&Cluster>) -> Result<Pass, ObserveError> {
    look_at(host, cluster, last_good, &Scope::All)
}

/// What is looked at.
enum Scope {
    /// All that is wanted.
    All,
    /// Some resources, with all that they depend on.
    About(BTreeSet<Id>),
    /// What is wanted now and could not be said when these were wanted. All of these have just been done.
    Beyond(BTreeSet<Id>),
}

impl Scope {
    /// What a run is about.
    fn of(run: &Run<'_>) -> Self {
        if run.about.is_empty() { Self::All } else { Self::About(run.about.clone()) }
    }

    fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// [`look`], at a part of what is wanted.
fn look_at<H: Host + ?Sized>(
    host: &H,
    cluster: &Cluster,
    last_good: Option<&Cluster>,
    scope: &Scope,
) -> Result<Pass, ObserveError> {
    let facts = host.facts(cluster)?;
    if let Some(why) = patched::failures(cluster, &facts).into_values().next() {
        return Err(ObserveError { what: "what the patches are for".to_owned(), why });
    }
    let mut desired = desired::desired(cluster, &facts);
    // Where nothing has changed, what was wanted is what is wanted.
    let earlier = facts.earlier();
    let before = last_good.filter(|last| earlier.is_some() || !std::ptr::eq(*last, cluster));
    let before = before.map(|last| desired::desired(last, earlier.as_ref().unwrap_or(&facts)));
    if let Some(before) = &before {
        desired.drop_fields_of(before);
    }
    if let Some(before) = before.as_ref().filter(|_| last_good.is_some_and(|last| !std::ptr::eq(last, cluster))) {
        former::add(cluster, &mut desired, before);
    }
    let observed = match scope {
        Scope::All => host.observe(&desired),
        Scope::About(some) => {
            let (part, seen) = about(desired, some, host);
            desired = part;
            seen
        }
        Scope::Beyond(known) => {
            desired.resources.retain(|resource| !known.contains(&resource.id));
            host.observe_part(&desired)
        }
    };
    let previous = last_good.map(|cluster| Previous { cluster, desired: before.as_ref().unwrap_or(&desired) });
    let mut plan = plan::plan(cluster, &desired, &observed, previous.as_ref(), &facts);
    hold_renewals(host, &desired, &mut plan);
    let hosted_before = before.map(|before| before.hosted).unwrap_or_default();
    Ok(Pass { facts, desired, observed, plan, hosted_before })
}

/// A part of what is wanted, and what is seen of it and of what every change of it is judged by.
fn about<H: Host + ?Sized>(desired: Desired, some: &BTreeSet<Id>, host: &H) -> (Desired, Observed) {
    let judged_by: Vec<Resource> =
        desired.resources.iter().filter(|one| guard::is_evidence(&one.id)).cloned().collect();
    let part = desired.part(some);
    // What is of this host alone does not wait for the API.
    let shared = part.resources.iter().any(release::is_shared);
    let resources = judged_by.into_iter().filter(|one| shared || !release::is_shared(one)).collect();
    let judged_by = Desired { resources, ..Desired::default() };
    let mut observed = host.observe_part(&judged_by);
    observed.extend(host.observe_part(&part));
    (part, observed)
}

/// Nothing is renewed by a clock that may be wrong: what it makes would begin too late or end too early, as others see it.
fn hold_renewals<H: Host + ?Sized>(host: &H, desired: &Desired, plan: &mut Plan) {
    let mut renewals =
        plan.steps.iter().filter(|step| step.action == Action::Renew).map(|step| step.id.clone()).peekable();
    if renewals.peek().is_none() {
        return;
    }
    if let Some(why) = host.doubts_clock() {
        let held = renewals.map(|id| (id, format!("it is due to be renewed, but {why}"))).collect();
        plan.hold(desired, &held);
    }
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
    /// What the last look wanted, and saw.
    pub seen: (Desired, Observed),
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

    /// Takes what came of a pass; whether there is more to come of another.
    fn take(&mut self, pass: &Pass, outcome: &mut Outcome, reached: &mut BTreeSet<Id>) -> bool {
        self.interrupted = outcome.interrupted;
        self.unsettled = None;
        outcome.done.sort_unstable();
        let mut further = false;
        for index in outcome.done.drain(..) {
            let step = &pass.plan.steps[index];
            further |= reached.insert(step.id.clone());
            self.done.push(step.clone());
        }
        self.failed = std::mem::take(&mut outcome.failed);
        // The next look wants something else.
        further || self.failed.iter().any(|failed| failed.error.is_overtaken())
    }

    /// It ends with this look.
    fn ended(mut self, pass: Pass) -> Self {
        self.left = pass.plan;
        self.seen = (pass.desired, pass.observed);
        self
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
    /// What the run is about, as far as it is known: this is looked at and put right before all is looked at.
    pub about: &'a BTreeSet<Id>,
    /// What is not touched for now, and why.
    pub held: &'a BTreeMap<Id, String>,
    /// The run is to end: no step begins any more.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Something else is to be done first: what only waits makes way for it.
    pub make_way: &'a (dyn Fn() -> bool + Sync),
}

/// Nothing is left alone.
static NOTHING: BTreeMap<Id, String> = BTreeMap::new();
/// Nobody knows what a run is about.
static EVERYTHING: BTreeSet<Id> = BTreeSet::new();

impl<'a> Run<'a> {
    /// A run that nobody has anything to say in but `tell`, who is told of it: it goes on to its end.
    #[must_use]
    pub fn new(workers: usize, tell: &'a (dyn Fn(Event<'_>) + Sync)) -> Self {
        Self { workers, tell, about: &EVERYTHING, held: &NOTHING, stop: &|| false, make_way: &|| false }
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
    // What has just happened is put right before all else is looked at, where it is drift that cannot be of the configuration.
    let known = last_good.is_some_and(|last| std::ptr::eq(last, cluster));
    let mut next = if known && first.is_none() { Scope::of(run) } else { Scope::All };
    let mut applied = false;
    loop {
        let scope = std::mem::replace(&mut next, Scope::All);
        let all = scope.is_all();
        let look = || look_at(host, cluster, last_good, &scope);
        let mut pass = match first.take() {
            Some(pass) => pass,
            None if all && std::mem::take(&mut applied) => beside_settling(host, look)?,
            // A look at a part is over before the disk is, and others follow: the disk is waited for beside those.
            None => look().inspect_err(|_| drop(host.settle()))?,
        };
        pass.plan.hold(&pass.desired, run.held);
        report.passes += 1;
        let mut forgotten = Ok(());
        if all {
            if trial::look_back(host, &pass, &mut in_vain) {
                continue;
            }
            forgotten = hosted::finish(host, &pass);
            (run.tell)(Event::Looked(&pass));
        } else if pass.plan.steps.is_empty() {
            continue;
        }
        if pass.plan.steps.is_empty() || report.passes >= PASSES_MAX || report.interrupted {
            // What could not be made durable before is tried once more.
            report.unsettled = host.settle().err().or(forgotten.err());
            if pass.plan.steps.is_empty() {
                // What had changed meanwhile has come about without another step.
                report.failed.retain(|failed| !failed.error.is_overtaken());
            }
            return Ok(report.ended(pass));
        }
        if let Err(failed) = hosted::begin(host, &pass) {
            report.failed = vec![failed];
            return Ok(report.ended(pass));
        }
        (run.tell)(Event::Planned(pass.plan.steps.len()));
        // After these steps everything is looked at anew, or what could not be said before is: what only waits is left until then.
        let more = !pass.plan.waiting.is_empty() || matches!(scope, Scope::Beyond(_));
        let mut outcome = steps::apply(host, &pass, &in_vain, run, more);
        applied = true;
        let mut further = report.take(&pass, &mut outcome, &mut reached);
        note_in_vain(&pass, &report.failed, &mut in_vain);
        match trial::end(host, &pass, &report.failed, &mut in_vain) {
            Ok(given_up) => further |= given_up,
            Err(error) => report.unsettled = Some(error),
        }
        if all && !report.interrupted && report.failed.is_empty() && pass.only_waits() && pass.has_come(host) {
            first = Some(pass);
            continue;
        }
        if all && !further && !report.failed.is_empty() && !report.interrupted {
            // Nothing was done that was not done before: another pass would meet the same errors.
            report.unsettled = host.settle().err().or(report.unsettled);
            let mut report = report.ended(pass);
            hold_the_rest(&mut report);
            return Ok(report);
        }
        // What could not be said before the steps were done is looked at alone: another look at everything is for the end.
        if all && report.failed.is_empty() && pass.plan.settled() && !pass.plan.waiting.is_empty() {
            let put_off: BTreeSet<Id> =
                outcome.put_off.iter().map(|index| pass.plan.steps[*index].id.clone()).collect();
            let known = pass.desired.resources.into_iter().map(|resource| resource.id);
            next = Scope::Beyond(known.filter(|id| !put_off.contains(id)).collect());
        }
    }
}

/// Notes what was waited for in vain.
fn note_in_vain(pass: &Pass, failed: &[Failed], in_vain: &mut BTreeMap<Id, String>) {
    let waits = |id: &Id| pass.plan.steps.iter().any(|step| step.id == *id && step.action == Action::Wait);
    for failed in failed.iter().filter(|failed| !failed.error.is_overtaken() && waits(&failed.id)) {
        in_vain.entry(failed.id.clone()).or_insert_with(|| failed.error.reason());
    }
}

/// Does something while the disk is waited for. What fails to become durable is tried once more at the end of the run.
fn beside_settling<H: Host + ?Sized, T>(host: &H, act: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        scope.spawn(|| host.settle());
        act()
    })
}

/// Steps that were not tried, because something that they need failed, are held by it.
fn hold_the_rest(report: &mut Report) {
    let needs: BTreeMap<&Id, &[Id]> =
        report.seen.0.resources.iter().map(|resource| (&resource.id, resource.needs.as_slice())).collect();
    let mut stuck: BTreeSet<Id> = report.failed.iter().map(|failed| failed.id.clone()).collect();
    for step in std::mem::take(&mut report.left.steps) {
        let need = needs.get(&step.id).and_then(|needs| needs.iter().find(|need| stuck.contains(need))).cloned();
        if let Some(need) = need.filter(|_| !stuck.contains(&step.id)) {
            report.left.held.push(Held { id: step.id.clone(), reason: format!("it needs {need}, which failed") });
            stuck.insert(step.id);
        }
    }
}

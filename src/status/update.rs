//! The next status, out of the one before and of what a pass saw and did.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parts::{kind, part};
use super::{
    ACTIONS_MAX, Action, Certificate, Component, Configuration, Drift, Fight, GivenUp, Health, LastPass, Moment, Pause,
    Program, RefusedChange, Rejected, Resource, State, Status, Wake, conditions, text,
};
use crate::certs;
use crate::cluster::Cluster;
use crate::engine::Failed;
use crate::observed::{Observed, Seen};
use crate::plan::{self, Cause, Plan, Step};
use crate::resource::{Condition, Desired, Id, SelfHostedSpec, Spec, Want};
use crate::verdict::{Difference, Verdict};

/// The most characters of what is said of one resource.
const MESSAGE_MAX: usize = 240;

/// The most fields that an action or a resource names.
const FIELDS_MAX: usize = 4;

/// What a status is made of, besides the one before.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The time.
    pub now: Moment,
    /// Who says so.
    pub program: &'a Program,
    /// The configuration in force, if there is one.
    pub configuration: Option<&'a Configuration>,
    /// A newer one that is wrong.
    pub rejected: Option<&'a Rejected>,
    /// What the last look saw; `None` where nobody has looked since the status before.
    pub looked: Option<Looked<'a>>,
    /// Why the last look failed, if it did.
    pub blind: Option<&'a str>,
    /// Why nothing is done at all, if that is so.
    pub idle: Option<&'a str>,
    /// The pass that ended since the status before, if one did: also one that found nothing to do, or only looked.
    pub ran: Option<Ran<'a>>,
    /// The pause, if there is one.
    pub pause: Option<&'a Pause>,
    /// Resources that somebody else changes back again and again.
    pub fights: &'a [Fight],
    /// When there is another pass without anything happening.
    pub next_wake: Option<&'a Wake>,
}

/// A look at a host: the last one of a run, when nothing was left to do.
#[derive(Clone, Copy)]
pub struct Looked<'a> {
    /// The cluster that is wanted.
    pub cluster: &'a Cluster,
    /// What is wanted of the host.
    pub desired: &'a Desired,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was left to do.
    pub plan: &'a Plan,
}

/// What a run did.
#[derive(Clone, Copy)]
pub struct Ran<'a> {
    /// What woke it.
    pub trigger: &'a str,
    /// How long it took.
    pub took: Duration,
    /// What it did.
    pub done: &'a [Step],
    /// What it failed to do.
    pub failed: &'a [Failed],
}

/// The next status.
#[must_use]
pub fn next(previous: Option<&Status>, inputs: &Inputs<'_>) -> Status {
    let mut status = previous.cloned().unwrap_or_default();
    status.program = inputs.program.clone();
    status.configuration = inputs.configuration.cloned();
    if inputs.rejected.is_some_and(|new| status.rejected.as_ref().is_none_or(|old| old.hash != new.hash)) {
        status.counters.rejections += 1;
    }
    status.rejected = inputs.rejected.cloned();
    status.pause = inputs.pause.cloned();
    status.fights = inputs.fights.to_vec();
    status.next_wake = inputs.next_wake.cloned();
    status.blind = inputs.blind.map(clip);
    status.idle = inputs.idle.map(clip);
    let failed = inputs.ran.map_or(&[][..], |ran| ran.failed);
    if let Some(looked) = &inputs.looked {
        look(&mut status, looked, failed, inputs.now);
    }
    if let Some(ran) = &inputs.ran {
        run(&mut status, ran, inputs.now);
    }
    status.conditions = conditions::conditions(&status, previous, inputs.now);
    status
}

fn look(status: &mut Status, looked: &Looked<'_>, failed: &[Failed], now: Moment) {
    status.node.clone_from(&looked.cluster.node.name);
    status.kubernetes_version = looked.cluster.version.to_string();
    status.looked_at = Some(now);
    status.compared_with = status.configuration.as_ref().map(|configuration| configuration.hash.clone());
    status.refused_changes = looked.plan.forbidden.iter().map(refused_change).collect();
    let given_up = looked.desired.given_up.iter();
    status.given_up = given_up.map(|one| GivenUp { resource: one.id.0.clone(), reason: clip(&one.reason) }).collect();
    status.resources = resources(looked, failed);
    status.counts = BTreeMap::new();
    for resource in &status.resources {
        *status.counts.entry(resource.state.name().to_owned()).or_default() += 1;
    }
    let drifted = status.resources.iter().filter(|resource| resource.state == State::Drifted).count();
    status.drift = Drift { now: drifted as u64, ..std::mem::take(&mut status.drift) };
    status.components = components(looked, &status.components, now);
    status.api_reachable = match looked.observed.get(&Id::gate("api")) {
        Some(Ok(Seen::Gate(answer))) => Some(answer.is_ok()),
        Some(_) => Some(false),
        None => None,
    };
    let rows = certs::rows(looked.desired, looked.observed, now.0);
    let ends = rows.iter().filter(|row| !row.is_ca).filter_map(|row| row.expires);
    status.next_certificate_end = ends.min().map(|end| text::day(Moment(end)));
    status.certificates = rows.into_iter().map(certificate).collect();
}

fn refused_change(change: &crate::guard::Forbidden) -> RefusedChange {
    RefusedChange {
        field: change.field.clone(),
        place: change.place.as_ref().map(ToString::to_string).unwrap_or_default(),
        before: clip(&change.before),
        after: clip(&change.after),
        reason: change.reason.to_owned(),
    }
}

fn certificate(row: certs::Row) -> Certificate {
    Certificate {
        name: row.name,
        authority: row.ca_name,
        begins: row.begins.map(Moment),
        expires: row.expires.map(Moment),
        renews: row.renews.map(Moment),
        state: row.state.name().to_owned(),
        externally_managed: row.externally_managed,
    }
}

/// Every resource that is wanted: in sync, but for those that the plan or a failure says something of.
fn resources(looked: &Looked<'_>, failed: &[Failed]) -> Vec<Resource> {
    let plan = looked.plan;
    let mut told: BTreeMap<&Id, (State, String)> = BTreeMap::new();
    for step in plan.steps.iter().chain(&plan.reported) {
        told.insert(&step.id, (state(step), told_of(step)));
    }
    for held in &plan.held {
        let unread = matches!(looked.observed.get(&held.id), Some(Err(_)));
        told.insert(&held.id, (if unread { State::Unknown } else { State::Held }, clip(&held.reason)));
    }
    for refused in &plan.refused {
        told.insert(&refused.id, (State::Refused, clip(&refused.reason)));
    }
    for failed in failed {
        told.insert(&failed.id, (State::Failed, clip(&failed.error.chain())));
    }
    let parts: BTreeMap<&Id, &str> = looked.desired.resources.iter().map(|one| (&one.id, one.phase)).collect();
    let there = looked.desired.resources.iter().map(|resource| {
        let (state, message) = told.remove(&resource.id).unwrap_or((State::InSync, String::new()));
        let needs = resource.needs.iter().map(|need| need.0.clone()).collect();
        let part = part(resource.phase, &resource.id.0).to_owned();
        Resource { id: resource.id.0.clone(), part, state, message, needs }
    });
    let later = plan.waiting.iter().map(|waiting| Resource {
        id: waiting.id.0.clone(),
        part: part(parts.get(&waiting.on).copied().unwrap_or_default(), &waiting.id.0).to_owned(),
        state: State::Waiting,
        message: format!("known after {}", waiting.on),
        needs: vec![waiting.on.0.clone()],
    });
    there.chain(later).collect()
}

fn state(step: &Step) -> State {
    match (step.action, &step.cause) {
        (plan::Action::Wait, _) => State::Waiting,
        (_, Cause::Drift) => State::Drifted,
        _ => State::Pending,
    }
}

/// What differs, in one line.
fn told_of(step: &Step) -> String {
    match (&step.verdict, step.changes.as_slice()) {
        (Verdict::Wait(why), _) => clip(why),
        (Verdict::Create, []) => "is not there".to_owned(),
        (Verdict::Remove, []) => "is there".to_owned(),
        (_, changes) => clip(&fields(changes)),
    }
}

/// The fields that change, with their values where these are short.
fn fields(changes: &[plan::Change]) -> String {
    let mut said: Vec<String> = changes.iter().take(FIELDS_MAX).map(|change| field(&change.difference)).collect();
    if changes.len() > FIELDS_MAX {
        said.push(format!("{} more", changes.len() - FIELDS_MAX));
    }
    said.join(", ")
}

fn field(difference: &Difference) -> String {
    let name = if difference.field.is_empty() { "content" } else { &difference.field };
    // More people see a status than a plan, and what is in an environment may be meant for its process alone.
    if name.contains(".env[") {
        return name.to_owned();
    }
    let short = |value: &Option<String>| value.as_ref().is_none_or(|value| value.len() <= 60 && !value.contains('\n'));
    if !(short(&difference.before) && short(&difference.after)) {
        return name.to_owned();
    }
    match (&difference.before, &difference.after) {
        (Some(before), Some(after)) => format!("{name}: {before} -> {after}"),
        (Some(before), None) => format!("{name}: {before} -> (none)"),
        (None, Some(after)) => format!("{name}: (none) -> {after}"),
        (None, None) => name.to_owned(),
    }
}

/// The first characters of a text, in one line.
fn clip(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// What runs: each part that has a unit or a gate, as it was seen, however the plan judges it.
fn components(looked: &Looked<'_>, before: &[Component], now: Moment) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    for resource in &looked.desired.resources {
        let image = match &resource.want {
            // Whoever waits for it looks; nothing tells of it.
            Want::Present(Spec::Gate(gate)) if gate.on_demand => continue,
            Want::Present(Spec::Gate(gate)) => match &gate.condition {
                Condition::StaticPod(pod) | Condition::SelfHosted(SelfHostedSpec { pod, .. }) => {
                    Some(pod.image.clone())
                }
                _ => None,
            },
            Want::Present(Spec::Unit(_)) => None,
            _ => continue,
        };
        let (health, message) = health(looked.observed, &resource.id);
        let name = part(resource.phase, &resource.id.0);
        let index = components.iter().position(|component| component.name == name).unwrap_or_else(|| {
            components.push(Component { name: name.to_owned(), health: Health::Healthy, ..Component::default() });
            components.len() - 1
        });
        let component = &mut components[index];
        component.image = component.image.take().or(image);
        // The worst counts; of the same, what was said first.
        if worse(health, component.health) {
            (component.health, component.message) = (health, message);
        }
    }
    for component in &mut components {
        let same = before.iter().find(|one| one.name == component.name && one.health == component.health);
        component.since = same.map_or(now, |before| before.since);
    }
    components
}

fn worse(one: Health, other: Health) -> bool {
    let rank = |health| match health {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Unhealthy => 2,
    };
    rank(one) > rank(other)
}

fn health(observed: &Observed, id: &Id) -> (Health, String) {
    let unknown = |why: &str| (Health::Unknown, clip(why));
    match observed.get(id) {
        Some(Ok(Seen::Gate(Ok(())))) => (Health::Healthy, String::new()),
        Some(Ok(Seen::Gate(Err(why)))) => (Health::Unhealthy, clip(why)),
        Some(Ok(Seen::Unit(unit))) => match &unit.active {
            Ok(()) => (Health::Healthy, String::new()),
            Err(why) => (Health::Unhealthy, clip(why)),
        },
        Some(Ok(_)) => (Health::Unhealthy, "it is not there".to_owned()),
        Some(Err(error)) => unknown(&error.why),
        None => unknown("it was not looked at"),
    }
}

/// Counts and remembers what a run did.
fn run(status: &mut Status, ran: &Ran<'_>, now: Moment) {
    let changed = || ran.done.iter().filter(|step| step.action != plan::Action::Wait);
    let milliseconds = u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX);
    let (done, failed) = (changed().count() as u64, ran.failed.len() as u64);
    status.last_pass = Some(LastPass { at: now, milliseconds, trigger: ran.trigger.to_owned(), changed: done, failed });
    let counters = &mut status.counters;
    let outcome = match (failed, done) {
        (0, 0) => "unchanged",
        (0, _) => "changed",
        _ => "failed",
    };
    *counters.passes.entry(outcome.to_owned()).or_default() += 1;
    counters.pass_milliseconds = counters.pass_milliseconds.saturating_add(milliseconds);
    for step in changed() {
        let kind = kind(&step.id.0).to_owned();
        if step.cause == Cause::Drift {
            *counters.repairs.entry(kind.clone()).or_default() += 1;
            status.drift.repaired += 1;
            status.drift.last_repaired_at = Some(now);
            status.drift.last_repaired = Some(step.id.0.clone());
        }
        counters.renewals += u64::from(step.action == plan::Action::Renew);
        *counters.writes.entry(kind).or_default() += 1;
    }
    for failed in ran.failed {
        *counters.failures.entry(kind(&failed.id.0).to_owned()).or_default() += 1;
    }
    remember(status, ran, now);
}

/// Adds what was done to the last actions: what was made for the same reason in one line, and a failure once, however often it is met.
fn remember(status: &mut Status, ran: &Ran<'_>, now: Moment) {
    let mut new: Vec<Action> = Vec::new();
    for step in ran.done.iter().filter(|step| step.action != plan::Action::Wait) {
        let what = if step.cause == Cause::Drift { "repaired" } else { step.action.done() };
        let cause = step.cause.to_string();
        // What is made whole or renewed is told together, what differs field by field is not.
        let same = new.iter_mut().find(|one| {
            one.what == what && one.cause == cause && kind(&one.resource) == kind(&step.id.0) && step.changes.is_empty()
        });
        match same {
            Some(action) => action.more += 1,
            None => new.push(Action {
                at: now,
                what: what.to_owned(),
                resource: step.id.0.clone(),
                more: 0,
                cause,
                detail: clip(&fields(&step.changes)),
            }),
        }
    }
    for failed in ran.failed {
        let (resource, detail) = (failed.id.0.clone(), clip(&failed.error.chain()));
        let last = status.actions.iter().find(|action| action.resource == resource);
        if last.is_none_or(|last| last.what != "failed" || last.detail != detail) {
            let what = "failed".to_owned();
            new.push(Action { at: now, what, resource, more: 0, cause: String::new(), detail });
        }
    }
    new.append(&mut status.actions);
    new.truncate(ACTIONS_MAX);
    status.actions = new;
}

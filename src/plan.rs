//! The plan: what would be done, in which order, why, and what it would restart. Pure.

mod cause;
mod effect;
mod left;
mod order;
pub mod policy;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cluster::{Cluster, DriftPolicy, Location};
use crate::desired::release;
use crate::diff::static_pod::{ROLLOUT, START};
use crate::diff::{self, owned};
use crate::facts::Facts;
use crate::guard::{self, Forbidden};
use crate::observed::{Observed, Seen};
use crate::resource::{Desired, Effect, GivenUp, Id, Resource, Spec, Waiting, Want};
use crate::verdict::{Difference, Verdict};
use cause::{changed, field_cause, whole_cause};
use effect::effect;
use order::held_by;

pub use left::Kept;

/// What would be done, and what not.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Steps, each after what it needs.
    pub steps: Vec<Step>,
    /// What differs but is held, and by what.
    pub held: Vec<Held>,
    /// What differs and is never done by itself.
    pub refused: Vec<Refused>,
    /// Changes of the configuration that would destroy the cluster: while there is one, nothing is done at all.
    pub forbidden: Vec<Forbidden>,
    /// What is as wanted, and what a person has to do so that it stays so: certificates that near their end, and that somebody else signs.
    pub by_hand: Vec<ByHand>,
    /// Drift that the configuration says to report only.
    pub reported: Vec<Step>,
    /// What cannot be said before something else is there.
    pub waiting: Vec<Waiting>,
    /// What an earlier configuration wanted, and stays though nothing is said of it any more.
    pub kept: Vec<Kept>,
    /// How many resources are as wanted.
    pub unchanged: usize,
    /// How many have drifted, and the configuration says to leave them so.
    pub left_alone: usize,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The resource.
    pub id: Id,
    /// kubeadm's phase.
    pub phase: &'static str,
    /// What is done.
    pub action: Action,
    /// Field by field; empty where something is made or removed whole.
    pub changes: Vec<Change>,
    /// Why, where there is no single field to say it of.
    pub cause: Cause,
    /// What it does to what runs.
    pub effect: Effect,
    /// The judgement that led here, for the host.
    pub verdict: Verdict,
    /// Who last changed it but planekeeper, where the API server has noted it: the name of a field manager.
    pub by: Option<String>,
    /// Fields that stay as they are, since others own them.
    pub left: BTreeSet<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Makes what is not there.
    Create,
    /// Changes what is there, as the configuration now says.
    Update,
    /// Puts back what somebody changed.
    Repair,
    /// Makes a certificate anew before it ends.
    Renew,
    /// Removes what is not wanted.
    Remove,
    /// Waits for what comes by itself.
    Wait,
}

impl Action {
    /// What was done, in one word.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "changed",
            Self::Repair => "repaired",
            Self::Renew => "renewed",
            Self::Remove => "removed",
            Self::Wait => "ready",
        }
    }
}

/// A field that a step changes.
#[derive(Clone, Debug)]
pub struct Change {
    /// What changes, from what to what.
    pub difference: Difference,
    /// Why.
    pub cause: Cause,
}

/// Why something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The configuration says so, here.
    Configuration(Option<Location>),
    /// Somebody changed it on the host or in the cluster.
    Drift,
    /// Its time is running out.
    Age,
    /// Another Kubernetes version wants it otherwise.
    Version,
    /// It was there before planekeeper was.
    Adoption,
    /// What runs is not what is there: it started before, or a change of it was broken off.
    Stale,
    /// A component of a self-hosted control plane did not run by itself, or does again.
    Recovery,
}

impl Cause {
    /// Its name, wherever in the configuration it is: `configuration`, `drift`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "configuration",
            Self::Drift => "drift",
            Self::Age => "age",
            Self::Version => "version",
            Self::Adoption => "adoption",
            Self::Stale => "stale",
            Self::Recovery => "recovery",
        }
    }
}

/// In one or two words: the line of the configuration, where it is one.
impl fmt::Display for Cause {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(Some(place)) => place.fmt(text),
            cause => text.write_str(cause.name()),
        }
    }
}

/// A resource that is not written for now.
#[derive(Clone, Debug)]
pub struct Held {
    /// The resource.
    pub id: Id,
    /// Why: what it needs and does not have, or what could not be read.
    pub reason: String,
}

/// A resource that is not written until a person has acted.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The resource.
    pub id: Id,
    /// Why, and what to do.
    pub reason: String,
}

/// A resource that a person has to see to in time.
#[derive(Clone, Debug)]
pub struct ByHand {
    /// The resource.
    pub id: Id,
    /// What nears, and what to do.
    pub errand: String,
}

/// The configuration that was last in force, and what it wanted.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What it wanted, under the facts of now.
    pub desired: &'a Desired,
}

impl Plan {
    /// Nothing is held, refused or forbidden.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.held.is_empty() && self.refused.is_empty() && self.forbidden.is_empty()
    }

    /// Leaves steps for now, each with its reason, and what needs them with them.
    pub fn hold(&mut self, desired: &Desired, held: &BTreeMap<Id, String>) {
        if held.is_empty() {
            return;
        }
        let needs: BTreeMap<&Id, &[Id]> =
            desired.resources.iter().map(|resource| (&resource.id, resource.needs.as_slice())).collect();
        let mut stuck: BTreeSet<Id> = BTreeSet::new();
        for step in std::mem::take(&mut self.steps) {
            let need = needs.get(&step.id).and_then(|needs| needs.iter().find(|need| stuck.contains(need)));
            let reason = held.get(&step.id).cloned().or_else(|| need.map(|need| format!("it needs {need}")));
            match reason {
                Some(reason) => {
                    stuck.insert(step.id.clone());
                    self.held.push(Held { id: step.id, reason });
                }
                None => self.steps.push(step),
            }
        }
    }

    /// The steps that change something: not those that only wait.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action != Action::Wait)
    }
}

/// Compares what is wanted with what was seen.
#[must_use]
pub fn plan(
    cluster: &Cluster,
    desired: &Desired,
    observed: &Observed,
    previous: Option<&Previous<'_>>,
    facts: &Facts,
) -> Plan {
    let mut plan = Plan {
        waiting: desired.waiting.clone(),
        refused: desired.given_up.iter().map(|GivenUp { id, reason }| refused(id, reason)).collect(),
        forbidden: guard::forbidden(cluster, previous.map(|previous| previous.cluster), desired, observed),
        ..Plan::default()
    };
    if facts.adopted && previous.is_none() {
        plan.forbidden.extend(guard::foreign_authority(cluster, desired, observed));
    }
    let given_up = desired.given_up.iter().map(|given_up| &given_up.id).collect();
    let former = &desired.former;
    let context = Context { cluster, observed, previous, before: index(previous), facts, given_up, former };
    // Resources that are out of sync for reasons that applying the plan will not mend.
    let mut stuck: BTreeSet<&Id> = desired.waiting.iter().map(|waiting| &waiting.id).collect();
    for resource in &desired.resources {
        if !place(resource, &context, &stuck, &mut plan) {
            stuck.insert(&resource.id);
        }
    }
    left::leave_idle_gates(desired, &mut plan);
    if !plan.forbidden.is_empty() {
        let reason = "a change of the configuration is refused, so nothing is done";
        plan.held.extend(plan.steps.drain(..).map(|step| Held { id: step.id, reason: reason.to_owned() }));
    }
    plan
}

struct Context<'a> {
    cluster: &'a Cluster,
    observed: &'a Observed,
    previous: Option<&'a Previous<'a>>,
    before: BTreeMap<&'a Id, &'a Resource>,
    facts: &'a Facts,
    /// What is not tried again.
    given_up: BTreeSet<&'a Id>,
    /// What an earlier configuration named.
    former: &'a BTreeSet<Id>,
}

fn refused(id: &Id, reason: &str) -> Refused {
    Refused { id: id.clone(), reason: reason.to_owned() }
}

fn index<'a>(previous: Option<&Previous<'a>>) -> BTreeMap<&'a Id, &'a Resource> {
    previous
        .into_iter()
        .flat_map(|previous| &previous.desired.resources)
        .map(|resource| (&resource.id, resource))
        .collect()
}

/// Puts one resource into its part of the plan; false where it will not be in sync once that is applied.
fn place(resource: &Resource, context: &Context<'_>, stuck: &BTreeSet<&Id>, plan: &mut Plan) -> bool {
    let seen = match context.observed.get(&resource.id) {
        Some(Ok(seen)) => seen,
        Some(Err(error)) => {
            plan.held.push(Held { id: resource.id.clone(), reason: error.to_string() });
            return false;
        }
        None => {
            plan.held.push(Held { id: resource.id.clone(), reason: "it was not looked at".to_owned() });
            return false;
        }
    };
    let left = policy::left(resource, seen, context);
    let resource = &*left.resource;
    let errand = diff::by_hand(resource, seen, context.observed, context.facts.now);
    plan.by_hand.extend(errand.map(|errand| ByHand { id: resource.id.clone(), errand }));
    let verdict = diff::judge(resource, seen, context.observed, context.facts.now);
    let reported = left.reported(&verdict, seen, context);
    match guard::kept(resource, verdict, &context.before) {
        Verdict::Same if context.former.contains(&resource.id) => plan.kept.extend(left::kept(resource, seen)),
        Verdict::Same => match units::restart(resource, seen, plan) {
            Some(step) => plan.steps.push(step),
            None => plan.unchanged += usize::from(reported.is_none()),
        },
        Verdict::Refuse(reason) => {
            plan.refused.push(refused(&resource.id, &reason));
            return false;
        }
        verdict => {
            if let Some(reason) = held_by(resource, &verdict, context, stuck) {
                plan.held.push(Held { id: resource.id.clone(), reason });
                return false;
            }
            let step = step(resource, seen, verdict, context);
            match policy::of(&step, &context.cluster.settings) {
                DriftPolicy::Report => plan.reported.push(step),
                DriftPolicy::Leave => plan.left_alone += 1,
                DriftPolicy::Repair => {
                    let external_ca = context.facts.external_ca && context.previous.is_some();
                    let why = guard::objection(&step, external_ca, context.given_up.contains(&step.id));
                    if let Some(why) = why.or_else(|| release::objection(resource, context.cluster, context.observed)) {
                        plan.refused.push(refused(&step.id, &why));
                        return false;
                    }
                    plan.steps.push(step);
                }
            }
        }
    }
    plan.reported.extend(reported);
    true
}

fn step(resource: &Resource, seen: &Seen, verdict: Verdict, context: &Context<'_>) -> Step {
    let changes: Vec<Change> = match &verdict {
        Verdict::Update(differences) => {
            let changed = changed(resource, context);
            differences.iter().map(|difference| change(difference, resource, &changed, context)).collect()
        }
        _ => Vec::new(),
    };
    let cause = match changes.iter().find(|change| change.cause != Cause::Drift).or(changes.first()) {
        Some(change) => change.cause.clone(),
        None => whole_cause(resource, seen, context),
    };
    let action = match (&verdict, &cause) {
        (Verdict::Remove, _) => Action::Remove,
        (Verdict::Wait(_), _) => Action::Wait,
        (Verdict::Create, _) => Action::Create,
        (_, Cause::Drift) => Action::Repair,
        (_, Cause::Age) => Action::Renew,
        _ => Action::Update,
    };
    // Nobody restarts because a mode was put right.
    let effect = if diff::only_modes(&verdict) { Effect::None } else { effect(resource, seen, &verdict) };
    let by = if let Seen::Object(Some(live)) = seen { owned::last_manager(live) } else { None };
    let (id, left) = (resource.id.clone(), resource.left.clone());
    Step { id, phase: resource.phase, action, changes, cause, effect, verdict, by, left }
}

fn change(difference: &Difference, resource: &Resource, changed: &BTreeSet<String>, context: &Context<'_>) -> Change {
    let of_process = matches!(resource.want, Want::Present(Spec::StaticPod(_) | Spec::Unit(_)));
    let of_object = matches!(resource.want, Want::Present(Spec::Object(_)));
    let cause = match difference.field.as_str() {
        _ if difference.age => Cause::Age,
        START | ROLLOUT if of_process => Cause::Stale,
        field => match field_cause(field, resource, changed, context) {
            // What was given up goes back by what is wanted of it: nobody else puts that right.
            Cause::Drift if of_object && context.given_up.contains(&resource.id) => Cause::Stale,
            cause => cause,
        },
    };
    Change { difference: difference.clone(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture;
    use crate::observed::UnitSeen;
    use crate::resource::UnitSpec;

    /// The cause that is given for starting a kubelet that is stopped, where no configuration was in force before.
    fn cause_of_a_stopped_kubelet(facts: &Facts) -> Cause {
        let spec = UnitSpec { name: "kubelet.service".to_owned(), reads: Vec::new() };
        let resource = Resource::present(Id::unit(&spec.name), "kubelet-start", Vec::new(), Spec::Unit(spec));
        let seen = UnitSeen { active: Err("dead".to_owned()), enabled: Ok(()), started: None, reads: Vec::new() };
        let observed = Observed::from([(resource.id.clone(), Ok(Seen::Unit(seen)))]);
        let desired = Desired { resources: vec![resource], ..Desired::default() };
        plan(&fixture(), &desired, &observed, None, facts).steps.remove(0).cause
    }

    #[test]
    fn only_a_control_plane_that_was_there_before_is_adopted() {
        let bare = Facts { live: true, ..Facts::default() };
        assert_eq!(cause_of_a_stopped_kubelet(&bare), Cause::Configuration(None));
        assert_eq!(cause_of_a_stopped_kubelet(&Facts { adopted: true, ..bare }), Cause::Adoption);
    }
}

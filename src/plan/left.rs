//! What a plan leaves as it is.

use super::{Plan, Step};
use crate::observed::Seen;
use crate::resource::{Desired, Id, Resource, Spec, Want};

/// A resource that stays where it is.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The resource.
    pub id: Id,
    /// Why.
    pub reason: &'static str,
}

/// What is waited for only for others' sake is not where none of them has anything to do.
pub(super) fn leave_idle_gates(desired: &Desired, plan: &mut Plan) {
    let idle = |resource: &Resource| {
        let on_demand = matches!(&resource.want, Want::Present(Spec::Gate(gate)) if gate.on_demand);
        on_demand.then(|| resource.id.clone())
    };
    for gate in desired.resources.iter().filter_map(idle) {
        let needs = |step: &Step| {
            desired.resources.iter().any(|resource| resource.id == step.id && resource.needs.contains(&gate))
        };
        if !plan.steps.iter().any(needs) {
            let steps = plan.steps.len();
            plan.steps.retain(|step| step.id != gate);
            plan.unchanged += steps - plan.steps.len();
        }
    }
}

/// What stays of an earlier configuration, if it is there.
pub(super) fn kept(resource: &Resource, seen: &Seen) -> Option<Kept> {
    let reason = match resource.want {
        Want::Absent(_) => "it is not what planekeeper wrote there",
        _ => "the configuration no longer names it",
    };
    (!matches!(seen, Seen::Absent)).then(|| Kept { id: resource.id.clone(), reason })
}

//! Units that start again for what a plan changes.

use super::{Action, Cause, Change, Plan, Step};
use crate::diff::{self, static_pod};
use crate::observed::Seen;
use crate::resource::{Effect, Id, Resource, Spec, Want};
use crate::verdict::Verdict;

/// A unit that runs, and a file that it reads is changed by the plan: it starts again in the same run, for the same cause.
pub(super) fn restart(resource: &Resource, seen: &Seen, plan: &Plan) -> Option<Step> {
    let (Want::Present(Spec::Unit(spec)), Seen::Unit(_)) = (&resource.want, seen) else { return None };
    let read = |step: &&Step| {
        let changes = step.action != Action::Wait && !diff::only_modes(&step.verdict);
        changes && spec.reads.iter().any(|path| Id::file(path) == step.id)
    };
    let file = plan.steps.iter().find(read)?;
    let path = file.id.0.trim_start_matches("file:");
    let difference = static_pod::before(path);
    Some(Step {
        id: resource.id.clone(),
        phase: resource.phase,
        action: if file.cause == Cause::Drift { Action::Repair } else { Action::Update },
        changes: vec![Change { difference: difference.clone(), cause: file.cause.clone() }],
        cause: file.cause.clone(),
        effect: Effect::RestartKubelet,
        verdict: Verdict::Update(vec![difference]),
        by: None,
        left: resource.left.clone(),
    })
}

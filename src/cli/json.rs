//! Plans and reports for programs: `planekeeper.dev/v1alpha1`, stable.

use serde_json::{Value, json};

use crate::cli::exit::Failure;
use crate::cli::run::{Context, Ending};
use crate::cli::text;
use crate::engine::Report;
use crate::plan::{Action, Cause, Change, Plan, Step};
use crate::resource::Effect;

/// A plan.
#[must_use]
pub fn plan(context: &Context<'_>, plan: &Plan) -> Value {
    let mut value = head(context, "Plan");
    value["changes"] = plan.steps.iter().map(step).collect();
    left(&mut value, plan);
    value["summary"] = summary(plan, &plan.steps);
    value
}

/// A report, with the commands that join nodes where a run ends with them.
#[must_use]
pub fn report(context: &Context<'_>, report: &Report, ending: &Result<Option<Ending>, String>) -> Value {
    let mut value = head(context, "Report");
    value["converged"] = report.converged().into();
    value["passes"] = report.passes.into();
    value["done"] = report.done.iter().map(step).collect();
    value["failed"] =
        report.failed.iter().map(|failed| json!({"resource": failed.id.0, "error": failed.error.chain()})).collect();
    value["notDurable"] = report.unsettled.as_ref().map(crate::host::ApplyError::chain).into();
    value["unsettled"] = report.left.steps.iter().map(step).collect();
    left(&mut value, &report.left);
    value["summary"] = summary(&report.left, &report.done);
    value["summary"]["unchanged"] = text::untouched(report).into();
    match ending {
        Ok(None) => {}
        Ok(Some(ending)) => value["join"] = ending.commands.to_json(),
        Err(why) => value["notUploaded"] = why.as_str().into(),
    }
    value
}

/// Why a command could not do what it was asked.
#[must_use]
pub fn failure(failure: &Failure) -> Value {
    json!({
        "apiVersion": "planekeeper.dev/v1alpha1",
        "kind": "Failure",
        "exitCode": failure.exit as u8,
        "message": failure.message,
    })
}

fn head(context: &Context<'_>, kind: &str) -> Value {
    json!({
        "apiVersion": "planekeeper.dev/v1alpha1",
        "kind": kind,
        "node": context.cluster.node.name,
        "kubernetesVersion": context.cluster.version.to_string(),
        "configuration": context.config.display().to_string(),
    })
}

fn left(value: &mut Value, plan: &Plan) {
    value["held"] = plan.held.iter().map(|held| json!({"resource": held.id.0, "reason": held.reason})).collect();
    value["refused"] =
        plan.refused.iter().map(|refused| json!({"resource": refused.id.0, "reason": refused.reason})).collect();
    value["byHand"] = plan.by_hand.iter().map(|one| json!({"resource": one.id.0, "errand": one.errand})).collect();
    value["forbidden"] = plan
        .forbidden
        .iter()
        .map(|change| {
            json!({
                "field": change.field, "before": change.before, "after": change.after,
                "source": change.place.as_ref().map(ToString::to_string), "reason": change.reason,
            })
        })
        .collect();
    value["waiting"] =
        plan.waiting.iter().map(|waiting| json!({"resource": waiting.id.0, "on": waiting.on.0})).collect();
    value["kept"] = plan.kept.iter().map(|kept| json!({"resource": kept.id.0, "reason": kept.reason})).collect();
    value["reported"] = plan.reported.iter().map(step).collect();
}

fn step(step: &Step) -> Value {
    json!({
        "resource": step.id.0,
        "phase": step.phase,
        "action": action(step.action),
        "cause": step.cause.name(),
        "source": source(&step.cause),
        "effect": effect(&step.effect),
        "fields": step.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn change(change: &Change) -> Value {
    let operation = match (&change.difference.before, &change.difference.after) {
        (None, _) => "add",
        (_, None) => "remove",
        _ => "replace",
    };
    json!({
        "field": change.difference.field,
        "op": operation,
        "before": change.difference.before,
        "after": change.difference.after,
        "cause": change.cause.name(),
        "source": source(&change.cause),
    })
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Repair => "repair",
        Action::Renew => "renew",
        Action::Remove => "remove",
        Action::Wait => "wait",
    }
}

fn source(cause: &Cause) -> Option<String> {
    match cause {
        Cause::Configuration(place) => place.as_ref().map(ToString::to_string),
        _ => None,
    }
}

fn effect(effect: &Effect) -> Value {
    match effect {
        Effect::None => json!({"kind": "none"}),
        Effect::Reload(target) => json!({"kind": "reload", "target": target}),
        Effect::Restart(target) => json!({"kind": "restart", "target": target}),
        Effect::RestartKubelet => json!({"kind": "restart", "target": "kubelet"}),
        Effect::Api => json!({"kind": "api"}),
    }
}

fn summary(plan: &Plan, steps: &[Step]) -> Value {
    let count = |action: Action| steps.iter().filter(|step| step.action == action).count();
    json!({
        "create": count(Action::Create),
        "update": count(Action::Update),
        "repair": count(Action::Repair),
        "renew": count(Action::Renew),
        "remove": count(Action::Remove),
        "wait": count(Action::Wait),
        "refused": plan.refused.len() + plan.forbidden.len(),
        "held": plan.held.len(),
        "waiting": plan.waiting.len(),
        "reported": plan.reported.len(),
        "leftAlone": plan.left_alone,
        "unchanged": plan.unchanged,
    })
}

//! What is done about drift: it is repaired, reported or left, as the configuration says of a resource, or of fields of one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::cause::{changed, field_cause};
use super::{Action, Cause, Context, Step, step};
use crate::cluster::{Cluster, DriftPolicy, DriftRule, Settings};
use crate::desired::desired;
use crate::diff::{self, left};
use crate::facts::Facts;
use crate::observed::Seen;
use crate::problem::Problem;
use crate::resource::{Id, Resource, Want};
use crate::verdict::Verdict;

/// A resource, with the fields of it that are left to others.
pub(super) struct Left<'a> {
    /// The resource, with the fields that are not repaired.
    pub resource: Cow<'a, Resource>,
    /// The resource with those only of which nothing is said, where others are reported.
    silent: Option<Resource>,
}

/// Finds the fields of a resource that are left to others: those that the policy says, unless the configuration itself changes them.
pub(super) fn left<'a>(resource: &'a Resource, seen: &Seen, context: &Context<'_>) -> Left<'a> {
    let rules = &context.cluster.settings.drift;
    let by_field = rules.iter().any(|rule| !rule.fields.is_empty() && matches(&rule.resources, &resource.id.0));
    let Want::Present(spec) = &resource.want else { return Left::nothing(resource) };
    if !by_field {
        return Left::nothing(resource);
    }
    let changed = changed(resource, context);
    let drifted = drifted(resource, seen, context);
    let may_be = |field: &str| match field_cause(field, resource, &changed, context) {
        Cause::Drift => !touches(field, &changed),
        Cause::Adoption => true,
        // A field that somebody had made his own before.
        Cause::Version => touches(field, &drifted),
        Cause::Configuration(_) | Cause::Age | Cause::Stale | Cause::Recovery => false,
    };
    let with = |policies: &[DriftPolicy]| {
        let is = |field: &str| policies.contains(&of_field(rules, &resource.id, field)) && may_be(field);
        Resource { left: left::fields(spec, seen, is), ..resource.clone() }
    };
    let all = with(&[DriftPolicy::Leave, DriftPolicy::Report]);
    let silent = with(&[DriftPolicy::Leave]);
    let reports = silent.left != all.left;
    Left { resource: Cow::Owned(all), silent: reports.then_some(silent) }
}

impl<'a> Left<'a> {
    fn nothing(resource: &'a Resource) -> Self {
        Self { resource: Cow::Borrowed(resource), silent: None }
    }

    /// What is reported only, given the verdict on the rest.
    pub(super) fn reported(&self, rest: &Verdict, seen: &Seen, context: &Context<'_>) -> Option<Step> {
        let resource = self.silent.as_ref()?;
        let Verdict::Update(mut differences) = diff::judge(resource, seen, context.observed, context.facts.now) else {
            return None;
        };
        if let Verdict::Update(rest) = rest {
            differences.retain(|difference| !rest.contains(difference));
        }
        (!differences.is_empty()).then(|| step(resource, seen, Verdict::Update(differences), context))
    }
}

/// The fields in which a resource differs from what the configuration before wanted.
fn drifted(resource: &Resource, seen: &Seen, context: &Context<'_>) -> BTreeSet<String> {
    let Some(before) = context.before.get(&resource.id) else { return BTreeSet::new() };
    match diff::judge(before, seen, context.observed, context.facts.now) {
        Verdict::Update(differences) => differences.into_iter().map(|difference| difference.field).collect(),
        _ => BTreeSet::new(),
    }
}

/// What is to become of a step, by the policy about its resource as a whole.
pub(super) fn of(step: &Step, settings: &Settings) -> DriftPolicy {
    let drift = step.action != Action::Wait
        && step.cause == Cause::Drift
        && step.changes.iter().all(|change| change.cause == Cause::Drift);
    // Where fields have policies of their own, what is left of the step is to be done.
    let whole = step.left.is_empty() || step.changes.is_empty();
    if drift && whole { of_whole(&settings.drift, &step.id) } else { DriftPolicy::Repair }
}

/// The policy of the last rule about a resource as a whole.
fn of_whole(rules: &[DriftRule], id: &Id) -> DriftPolicy {
    last(rules.iter().filter(|rule| rule.fields.is_empty() && matches(&rule.resources, &id.0)))
}

/// The policy of the last rule about a field.
fn of_field(rules: &[DriftRule], id: &Id, field: &str) -> DriftPolicy {
    let about = |rule: &&DriftRule| {
        let named = || rule.fields.iter().any(|pattern| is_of(pattern, field));
        matches(&rule.resources, &id.0) && (rule.fields.is_empty() || named())
    };
    last(rules.iter().filter(about))
}

fn last<'a>(rules: impl DoubleEndedIterator<Item = &'a DriftRule>) -> DriftPolicy {
    rules.last().map_or(DriftPolicy::Repair, |rule| rule.policy)
}

/// A field is what a pattern names, or lies within it.
fn is_of(pattern: &str, field: &str) -> bool {
    matches(pattern, field) || [".*", "[*"].iter().any(|within| matches(&format!("{pattern}{within}"), field))
}

/// A field is among these, lies within one of them, or has one of them within it.
fn touches(field: &str, fields: &BTreeSet<String>) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    fields.iter().any(|other| within(field, other) || within(other, field))
}

/// The rules that are about nothing that this configuration wants: most likely a slip of the pen.
#[must_use]
pub fn idle_rules(cluster: &Cluster) -> Vec<Problem> {
    // The first is for every resource.
    let rules = cluster.settings.drift.iter().skip(1);
    if rules.len() == 0 {
        return Vec::new();
    }
    let facts = Facts { live: true, await_addons: true, ca_certificate: Some(String::new()), ..Facts::default() };
    let wanted = desired(cluster, &facts);
    let ids = || wanted.resources.iter().map(|resource| &resource.id).chain(wanted.waiting.iter().map(|one| &one.id));
    let idle = |rule: &DriftRule| {
        // A token that is made up has a name that nobody knows before.
        !rule.resources.contains("bootstrap-token-") && !ids().any(|id| matches(&rule.resources, &id.0))
    };
    let rules = rules.enumerate().filter(|(_, rule)| idle(rule));
    let problem = |(index, rule): (usize, &DriftRule)| {
        let field = format!("PlanekeeperConfiguration.drift.rules[{index}].resources");
        let message = format!(
            "{:?} is no resource of this control plane, so the rule is about nothing: plans and `planekeeper status` show the ids",
            rule.resources
        );
        Problem { place: cluster.lines.of(&field).cloned(), field, message }
    };
    rules.map(problem).collect()
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        assert!(matches("*", "file:/etc/kubernetes/manifests/etcd.yaml"));
        assert!(matches("file:/etc/kubernetes/*", "file:/etc/kubernetes/manifests/etcd.yaml"));
        assert!(matches("object:*/coredns", "object:Deployment/kube-system/coredns"));
        assert!(matches("object:*/kube-system/*", "object:Deployment/kube-system/coredns"));
        assert!(!matches("object:*/coredns", "object:Deployment/kube-system/coredns2"));
        assert!(!matches("file:/etc", "file:/etc/kubernetes"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn a_pattern_names_a_field_with_all_that_lies_within_it() {
        let resources = ".spec.template.spec.containers[*].resources";
        assert!(is_of(resources, ".spec.template.spec.containers[coredns].resources.limits.memory"));
        assert!(!is_of(resources, ".spec.template.spec.containers[coredns].resourcesOfOthers"));
        assert!(is_of(".metadata.labels", ".metadata.labels[node.kubernetes.io/x]"));
        assert!(!is_of("--v", "--vmodule"));
    }

    #[test]
    fn the_last_rule_about_a_field_counts() {
        let rule = |fields: &[&str], policy| DriftRule {
            resources: "object:*".to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            policy,
        };
        let rules = [
            rule(&[], DriftPolicy::Leave),
            rule(&[".spec"], DriftPolicy::Report),
            rule(&[".spec.replicas"], DriftPolicy::Repair),
        ];
        let id = Id::object("Deployment", Some("kube-system"), "coredns");
        let of = |field| of_field(&rules, &id, field);
        assert_eq!(of(".metadata.labels.app"), DriftPolicy::Leave);
        assert_eq!(of(".spec.paused"), DriftPolicy::Report);
        assert_eq!(of(".spec.replicas"), DriftPolicy::Repair);
        assert_eq!(of_whole(&rules, &id), DriftPolicy::Leave);
    }
}

//! What comes after what: a resource is held while what it needs is not as wanted, and what runs while something before it is not.

use std::collections::BTreeSet;

use super::Context;
use crate::resource::{Id, Resource, Spec, Want};
use crate::verdict::Verdict;

/// What a resource is held by: something that it needs, or, of what runs, something that it comes after.
pub(super) fn held_by(
    resource: &Resource,
    verdict: &Verdict,
    context: &Context<'_>,
    stuck: &BTreeSet<&Id>,
) -> Option<String> {
    if let Some(need) = resource.needs.iter().find(|need| stuck.contains(need)) {
        return Some(format!("it needs {need}"));
    }
    let as_configured = match &resource.want {
        Want::Present(Spec::StaticPod(_)) => false,
        Want::Present(Spec::File(file)) if file.pod.is_some() => true,
        Want::Present(Spec::Object(_)) => true,
        _ => return None,
    };
    // What is gone is put back, whatever is not well with others.
    if *verdict == Verdict::Create {
        return None;
    }
    if let Some(other) = resource.after.iter().find(|other| stuck.contains(other)) {
        return Some(format!("it is changed once {other} is well"));
    }
    // A component that is newer than what it talks to is not supported, and nobody is to be told of a configuration that does not work.
    let other = resource.after.iter().find(|other| as_configured && context.given_up.contains(other))?;
    Some(format!("it is changed after {other}, whose change was given up"))
}

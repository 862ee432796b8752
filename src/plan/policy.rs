//! What the configuration says to do about drift of a resource.

use crate::cluster::{DriftPolicy, Settings};
use crate::resource::Id;

/// The policy of the last rule that matches.
pub(super) fn of(settings: &Settings, id: &Id) -> DriftPolicy {
    let rule = settings.drift.iter().rev().find(|rule| matches(&rule.resources, &id.0));
    rule.map_or(DriftPolicy::Repair, |rule| rule.policy)
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
}

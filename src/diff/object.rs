//! Verdicts on API objects.

use serde_json::Value;

use crate::desired::self_hosting;
use crate::verdict::{Difference, Verdict};

use super::node;
use super::owned::without_defaults;
use super::value::{self, Extent};

/// Everything that is wanted of an object is there. Fields that are not named belong to others.
#[must_use]
pub fn judge(wanted: &Value, seen: Option<&Value>) -> Verdict {
    let Some(seen) = seen else {
        return Verdict::Update(vec![Difference::new("content", "not an object", "as configured")]);
    };
    let mut differences = if wanted["kind"] == "Node" {
        value::differences(seen, &with_taints_of_others(wanted, seen), Extent::Subset)
    } else {
        value::differences(seen, &without_defaults(wanted, seen), Extent::Subset)
    };
    if wanted["kind"] == "Secret" {
        differences.iter_mut().for_each(hide);
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Update(differences) }
}

/// An object that is not wanted goes; but for what a control plane on other hosts too runs in.
#[must_use]
pub fn judge_removal(seen: &Value) -> Verdict {
    let hosts = seen.pointer("/status/numberReady").and_then(Value::as_u64).unwrap_or(0);
    match self_hosting::component(seen).filter(|_| hosts > 1) {
        Some(component) => Verdict::Refuse(format!(
            "{component} runs in it on {hosts} hosts, and would end on all of them: once each has its static Pod again, delete it with \
             kubectl -n kube-system delete daemonset {}",
            self_hosting::name(component)
        )),
        None => Verdict::Remove,
    }
}

/// The Node that is wanted, with the taints that others have set on it.
fn with_taints_of_others(wanted: &Value, seen: &Value) -> Value {
    let mut whole = wanted.clone();
    if let Some(taints) = whole.pointer_mut("/spec/taints") {
        let live = &seen["spec"]["taints"];
        *taints = match node::taints(live, taints) {
            None => live.clone(),
            Some(list) if list.is_empty() => Value::Null,
            Some(list) => Value::Array(list),
        };
    }
    whole
}

/// A Secret's data is never shown, only that it differs.
fn hide(difference: &mut Difference) {
    if difference.field.starts_with(".data") || difference.field.starts_with(".stringData") {
        let hidden = || "(sensitive)".to_owned();
        difference.before = difference.before.as_ref().map(|_| hidden());
        difference.after = difference.after.as_ref().map(|_| hidden());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_other_hosts_run_in_is_not_removed() {
        let named = |kind: &str, ready: u64| {
            let metadata = json!({"name": "self-hosted-kube-apiserver"});
            judge_removal(&json!({"kind": kind, "metadata": metadata, "status": {"numberReady": ready}}))
        };
        assert_eq!((named("DaemonSet", 1), named("ConfigMap", 2)), (Verdict::Remove, Verdict::Remove));
        assert!(matches!(named("DaemonSet", 2), Verdict::Refuse(why) if why.contains("on 2 hosts")));
    }

    fn node(taints: &Value) -> Value {
        json!({"kind": "Node", "spec": {"taints": taints}})
    }

    #[test]
    fn taints_that_others_set_on_a_node_are_no_difference() {
        let ours = json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"});
        let theirs = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "now"});
        let fields = |seen: &Value, wanted: &Value| match judge(&node(wanted), Some(&node(seen))) {
            Verdict::Update(differences) => differences.into_iter().map(|difference| difference.field).collect(),
            _ => Vec::new(),
        };
        assert!(fields(&json!([theirs, ours]), &json!([ours])).is_empty());
        assert!(fields(&json!([theirs]), &Value::Null).is_empty());
        assert_eq!(fields(&json!([theirs]), &json!([ours])), [".spec.taints[node-role.kubernetes.io/control-plane]"]);
        assert_eq!(
            fields(&json!([theirs, ours]), &Value::Null),
            [".spec.taints[node-role.kubernetes.io/control-plane]"]
        );
        assert_eq!(fields(&json!([ours]), &Value::Null), [".spec.taints"]);
    }
}

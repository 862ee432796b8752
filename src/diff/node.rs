//! Taints of a Node: a list that several write.

use serde_json::Value;

/// Taints with such a key say what part a node plays, and are the configuration's alone. Others set their own:
/// `node.kubernetes.io/not-ready` is the node lifecycle controller's.
const OURS: &str = "node-role.kubernetes.io/";

/// The list of taints that a Node is to have; `None` where what it has will do. What is wanted comes first, as kubeadm's
/// `mark-control-plane` has it, and what others set stays.
#[must_use]
pub fn taints(live: &Value, wanted: &Value) -> Option<Vec<Value>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (live, wanted) = (list(live), list(wanted));
    let stays = |taint: &&Value| {
        let replaced = wanted.iter().any(|wanted| wanted["key"] == taint["key"] && wanted["effect"] == taint["effect"]);
        !replaced && !taint["key"].as_str().unwrap_or_default().starts_with(OURS)
    };
    let others: Vec<Value> = live.iter().filter(stays).cloned().collect();
    let is_there = |taint: &Value| live.iter().any(|live| same(live, taint));
    if wanted.iter().all(is_there) && live.len() == others.len() + wanted.len() {
        return None;
    }
    Some(wanted.into_iter().chain(others).collect())
}

/// One taint is another, whenever it was added.
fn same(left: &Value, right: &Value) -> bool {
    let value = |taint: &Value| taint["value"].as_str().unwrap_or_default().to_owned();
    left["key"] == right["key"] && left["effect"] == right["effect"] && value(left) == value(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taint(key: &str, value: &str, effect: &str) -> Value {
        json!({"key": key, "value": value, "effect": effect})
    }

    #[test]
    fn taints_of_others_stay_and_missing_ones_come_first() {
        let control_plane = json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"});
        let not_ready = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "now"});
        let wanted = json!([control_plane]);
        assert_eq!(taints(&json!([not_ready]), &wanted), Some(vec![control_plane.clone(), not_ready.clone()]));
        assert_eq!(taints(&json!([not_ready, control_plane]), &wanted), None, "in any order");
        assert_eq!(taints(&Value::Null, &wanted), Some(vec![control_plane]));
    }

    #[test]
    fn a_taint_has_one_value_an_effect() {
        let wanted = json!([taint("dedicated", "b", "NoSchedule")]);
        let live = json!([taint("dedicated", "a", "NoSchedule"), taint("dedicated", "a", "NoExecute")]);
        let made = vec![taint("dedicated", "b", "NoSchedule"), taint("dedicated", "a", "NoExecute")];
        assert_eq!(taints(&live, &wanted), Some(made));
    }

    #[test]
    fn a_node_that_is_to_be_no_control_plane_loses_that_taint_only() {
        let live =
            json!([taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"), taint("mine", "", "NoSchedule")]);
        assert_eq!(taints(&live, &Value::Null), Some(vec![taint("mine", "", "NoSchedule")]));
        assert_eq!(taints(&json!([taint("mine", "", "NoSchedule")]), &Value::Null), None);
    }
}

//! What is sent for a wanted object, over values.

use serde_json::{Map, Value, json};

use crate::diff::{node, value};

/// Fields that the server sets, and that kubeadm's own objects carry along at times.
const OF_THE_SERVER: [&str; 6] =
    ["resourceVersion", "creationTimestamp", "managedFields", "generation", "uid", "selfLink"];

/// The body of a server-side apply: what is wanted, without what the server sets and without fields that are said to be absent.
pub(super) fn applied(wanted: &Value) -> Value {
    let mut body = without_nulls(wanted);
    if let Some(object) = body.as_object_mut() {
        object.remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !OF_THE_SERVER.contains(&field.as_str()));
        }
    }
    body
}

/// A value without its nulls, and without maps that held nothing else.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !only_nulls(value));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// There is nothing in the value but nulls. An empty map is something: `emptyDir: {}`.
fn only_nulls(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => !map.is_empty() && map.values().all(only_nulls),
        _ => false,
    }
}

/// The JSON merge patch for what a server-side apply leaves different: fields that are to be absent, which another manager owns
/// too, and lists that the server merges member by member. `None` where nothing is left.
pub(super) fn leftovers(live: &Value, wanted: &Value) -> Option<Value> {
    match (live, wanted) {
        (live, Value::Null) => (!value::is_empty(live)).then_some(Value::Null),
        (Value::Object(live), Value::Object(fields)) => {
            let mut patch = Map::new();
            for (key, wanted) in fields {
                if let Some(left) = live.get(key).and_then(|live| leftovers(live, wanted)) {
                    patch.insert(key.clone(), left);
                }
            }
            let removed = |key: &String| patch.get(key).is_some_and(Value::is_null);
            let all = live.iter().all(|(key, value)| removed(key) || value::is_empty(value));
            if patch.is_empty() {
                None
            } else if all && value::is_empty(wanted) {
                Some(Value::Null) // a map with nothing left in it would stay
            } else {
                Some(Value::Object(patch))
            }
        }
        (Value::Array(_), Value::Array(_)) => {
            let differs = !value::differences(live, wanted, value::Extent::Subset).is_empty();
            differs.then(|| without_nulls(wanted))
        }
        _ => None,
    }
}

/// The JSON merge patch that makes a Node what is wanted; `None` where it is. Taints are one list that the node lifecycle
/// controller writes too: the patch has the whole list, for the version of the Node that it was made from.
pub(super) fn node_patch(live: &Value, wanted: &Value) -> Option<Value> {
    let mut metadata = Map::new();
    for field in ["labels", "annotations"] {
        let patch = map_patch(&live["metadata"][field], &wanted["metadata"][field]);
        if !patch.is_empty() {
            metadata.insert(field.to_owned(), Value::Object(patch));
        }
    }
    let mut body = Map::new();
    if let Some(taints) =
        wanted.pointer("/spec/taints").and_then(|wanted| node::taints(&live["spec"]["taints"], wanted))
    {
        metadata.insert("resourceVersion".to_owned(), live["metadata"]["resourceVersion"].clone());
        body.insert("spec".to_owned(), json!({"taints": taints}));
    }
    if !metadata.is_empty() {
        body.insert("metadata".to_owned(), Value::Object(metadata));
    }
    (!body.is_empty()).then_some(Value::Object(body))
}

fn map_patch(live: &Value, wanted: &Value) -> Map<String, Value> {
    let fields = wanted.as_object().into_iter().flatten();
    let differs = |(key, value): &(&String, &Value)| live.get(key.as_str()).unwrap_or(&Value::Null) != *value;
    fields.filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_sets_and_what_is_to_be_absent_is_not_applied() {
        let wanted = json!({
            "metadata": {"name": "x", "resourceVersion": "0", "creationTimestamp": null, "annotations": {"gone": null}},
            "spec": {"volumes": [{"name": "v", "emptyDir": {}, "x": null}], "probe": {"httpGet": {"path": null}}},
            "status": {"number": 0},
        });
        let applied = applied(&wanted);
        assert_eq!(applied, json!({"metadata": {"name": "x"}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}));
    }

    #[test]
    fn what_is_left_after_an_apply_is_taken_out_without_what_others_added() {
        let wanted = json!({"data": {"a": "1", "gone": null}, "metadata": {"annotations": {"note": null}}, "x": {"y": {"z": null}}});
        let live = json!({"data": {"a": "1", "gone": "2"}, "metadata": {"annotations": {"note": "", "other": ""}}, "x": {"y": {"z": 1}}});
        let patch = json!({"data": {"gone": null}, "metadata": {"annotations": {"note": null}}, "x": null});
        assert_eq!(leftovers(&live, &wanted), Some(patch));
        assert_eq!(leftovers(&json!({"data": {"a": "1", "more": "3"}}), &wanted), None);
    }

    #[test]
    fn a_list_that_an_apply_merged_is_put_right_as_a_whole() {
        let wanted = json!({"spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
        let port = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "TCP"});
        let others_too = json!({"spec": {"ports": [port("a", 1), port("b", 2), port("c", 3)]}});
        let turned = json!({"spec": {"ports": [port("b", 2), port("a", 1)]}});
        for live in [others_too, turned] {
            assert_eq!(leftovers(&live, &wanted), Some(wanted.clone()), "{live}");
        }
        assert_eq!(leftovers(&json!({"spec": {"ports": [port("a", 1), port("b", 2)]}}), &wanted), None);
    }
}

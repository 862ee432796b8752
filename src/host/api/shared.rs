//! What is sent for an object of which others own some fields, over values.
//!
//! A field that is not sent stays as its other owners have it. Where planekeeper is the only one who ever set it, it would go with its
//! last owner: so it is sent as it is, for the very version of the object that it was seen in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::diff::left;
use crate::diff::owned::FIELD_MANAGER;
use crate::diff::value::{below, names};

/// The body of a server-side apply for an object as it is, without the fields that are left to others.
pub(super) fn body(applied: &Value, live: &Value, left: &BTreeSet<String>) -> Value {
    let whole = super::body::applied(&left::value(applied, live, &mut |field| left.contains(field)));
    let managed = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries: Vec<&Value> = managed.into_iter().flatten().collect();
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries.into_iter().partition(|entry| is_ours(entry));
    let fields =
        |entries: Vec<&'_ Value>| entries.into_iter().map(|entry| entry["fieldsV1"].clone()).collect::<Vec<_>>();
    let (ours, others) = (fields(ours), fields(others));
    let mut sender = Sender { left, sends: false };
    let mut body = sender
        .value("", &whole, &Owners { ours: ours.iter().collect(), others: others.iter().collect() })
        .unwrap_or(whole);
    if sender.sends {
        body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    }
    body
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply"
}

/// Who owns what of a value, as `managedFields` has it.
struct Owners<'a> {
    ours: Vec<&'a Value>,
    others: Vec<&'a Value>,
}

impl<'a> Owners<'a> {
    /// The owners of what a step leads to.
    fn below(&self, step: impl Fn(&'a Value) -> Option<&'a Value>) -> Self {
        let walk = |fields: &[&'a Value]| fields.iter().filter_map(|fields| step(fields)).collect();
        Self { ours: walk(&self.ours), others: walk(&self.others) }
    }

    /// Members of a list are owned one by one.
    fn has_members(&self) -> bool {
        let mut all = self.ours.iter().chain(&self.others).filter_map(|fields| fields.as_object());
        all.any(|fields| fields.keys().any(|key| key.starts_with("k:")))
    }
}

/// The owners of the member of a list that has a name.
fn member<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    let is = |key: &str| {
        let keys: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
        Some(keys["name"] == name || keys["key"] == name)
    };
    fields.as_object()?.iter().find(|(key, _)| is(key) == Some(true)).map(|(_, below)| below)
}

struct Sender<'a> {
    left: &'a BTreeSet<String>,
    /// Something is sent that is left to others.
    sends: bool,
}

impl Sender<'_> {
    /// What is sent of a value; `None` where that is nothing.
    fn value(&mut self, path: &str, value: &Value, owners: &Owners<'_>) -> Option<Value> {
        if self.left.contains(path) {
            let alone = owners.others.is_empty() && !owners.ours.is_empty();
            self.sends |= alone;
            return alone.then(|| value.clone());
        }
        match value {
            Value::Object(map) if !map.is_empty() => {
                let mut sent = Map::new();
                for (key, value) in map {
                    let owners = owners.below(|fields| fields.get(format!("f:{key}")));
                    if let Some(value) = self.value(&below(path, key), value, &owners) {
                        sent.insert(key.clone(), value);
                    }
                }
                (!sent.is_empty()).then_some(Value::Object(sent))
            }
            Value::Array(list) if owners.has_members() && names(list).is_some() => {
                let names = names(list).unwrap_or_default();
                let sent = names.iter().zip(list).filter_map(|(name, value)| {
                    let owners = owners.below(|fields| member(fields, name));
                    self.value(&format!("{path}[{name}]"), value, &owners)
                });
                Some(Value::Array(sent.collect()))
            }
            Value::Array(_) => {
                // A list that is owned as a whole is sent as a whole.
                self.sends |= self.left.iter().any(|field| field.starts_with(path) || field.starts_with("--"));
                Some(value.clone())
            }
            _ => Some(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn owner(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "fieldsV1": fields})
    }

    fn deployment(replicas: u64, owners: &[Value]) -> Value {
        let memory = json!({"limits": {"memory": "170Mi"}});
        json!({
            "metadata": {"name": "x", "resourceVersion": "7", "managedFields": owners},
            "spec": {"replicas": replicas, "containers": [{"name": "c", "image": "i", "resources": memory}]},
        })
    }

    fn left(fields: &[&str]) -> BTreeSet<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn a_field_that_somebody_else_owns_is_not_sent() {
        let ours = owner(
            "planekeeper",
            "Apply",
            &json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}),
        );
        let theirs = owner(
            "kubectl",
            "Update",
            &json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"c\"}": {"f:resources": {"f:limits": {"f:memory": {}}}}}}}),
        );
        let live = deployment(5, &[ours, theirs]);
        let left = left(&[".spec.replicas", ".spec.containers[c].resources.limits.memory"]);
        let sent = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        assert_eq!(body(&deployment(2, &[]), &live, &left), sent);
    }

    #[test]
    fn a_field_that_planekeeper_alone_owns_is_sent_as_it_is_for_the_version_it_was_seen_in() {
        let ours = owner("planekeeper", "Apply", &json!({"f:spec": {"f:replicas": {}}}));
        let live = deployment(2, std::slice::from_ref(&ours));
        let sent = body(&deployment(2, &[]), &live, &left(&[".spec.replicas"]));
        assert_eq!((&sent["spec"]["replicas"], &sent["metadata"]["resourceVersion"]), (&json!(2), &json!("7")));
        let both = deployment(2, &[ours, owner("hpa", "Update", &json!({"f:spec": {"f:replicas": {}}}))]);
        let sent = body(&deployment(2, &[]), &both, &left(&[".spec.replicas"]));
        assert_eq!((&sent["spec"].get("replicas"), sent["metadata"].get("resourceVersion")), (&None, None));
    }

    #[test]
    fn of_a_list_that_is_owned_as_a_whole_nothing_can_be_left_out() {
        let command = |flag: &str| json!({"metadata": {"name": "x"}, "spec": {"args": ["run", "--v=2", flag]}});
        let mut live = command("--threads=9");
        live["metadata"] = json!({"name": "x", "resourceVersion": "7", "managedFields": [owner("kubectl", "Update", &json!({"f:spec": {"f:args": {}}}))]});
        let sent = body(&command("--threads=1"), &live, &left(&["--threads"]));
        assert_eq!((&sent["spec"], &sent["metadata"]["resourceVersion"]), (&live["spec"], &json!("7")));
    }
}

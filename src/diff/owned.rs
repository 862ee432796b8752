//! Fields that nobody set. The API fills in `revisionHistoryLimit: 10` where an object has none: such a field cannot be taken out.

use serde_json::Value;

/// Who planekeeper is to server-side apply, which keeps in `managedFields` who has set a field.
pub const FIELD_MANAGER: &str = "planekeeper";

/// What is wanted, without the fields that are to be absent and that only the API's own defaults keep there.
#[must_use]
pub fn without_defaults(wanted: &Value, seen: &Value) -> Value {
    let managed = seen.pointer("/metadata/managedFields").and_then(Value::as_array);
    let owned: Vec<&Value> =
        managed.into_iter().flatten().filter(|entry| sets(entry)).map(|e| &e["fieldsV1"]).collect();
    // An object without owners is no object of a server's that keeps them.
    if owned.is_empty() { wanted.clone() } else { pruned(wanted, &owned) }
}

/// The entry is about fields that were set. What planekeeper owns by another operation than apply it has taken out, and the API has
/// put its default there.
fn sets(entry: &Value) -> bool {
    !(entry["manager"] == FIELD_MANAGER && entry["operation"] == "Update")
}

/// The field manager other than planekeeper that wrote to an object last, where its server keeps that. Who writes a status only does
/// not count.
#[must_use]
pub fn last_manager(seen: &Value) -> Option<String> {
    let managed = seen.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let others = managed.iter().filter(|entry| entry["manager"] != FIELD_MANAGER && entry["subresource"].is_null());
    // Times of one format and one zone: their order is that of their text.
    let last = others.max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    last["manager"].as_str().map(str::to_owned)
}

fn pruned(wanted: &Value, owned: &[&Value]) -> Value {
    let Some(fields) = wanted.as_object() else { return wanted.clone() };
    // Who owns a map as a whole, a selector say, owns all that is in it.
    if owned.iter().any(|fields| fields.as_object().is_some_and(serde_json::Map::is_empty)) {
        return wanted.clone();
    }
    let mut kept = serde_json::Map::new();
    for (key, value) in fields {
        let name = format!("f:{key}");
        let below: Vec<&Value> = owned.iter().filter_map(|fields| fields.get(&name)).collect();
        if !(value.is_null() && below.is_empty()) {
            kept.insert(key.clone(), pruned(value, &below));
        }
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_wrote_last_is_known_by_the_name_of_its_field_manager() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
        let mut status = entry("kube-controller-manager", "2026-01-03T00:00:00Z");
        status["subresource"] = json!("status");
        let seen = json!({"metadata": {"managedFields": [
            entry("kubectl-edit", "2026-01-02T00:00:00Z"),
            entry("helm", "2026-01-01T00:00:00Z"),
            entry("planekeeper", "2026-01-04T00:00:00Z"),
            status,
        ]}});
        assert_eq!(last_manager(&seen).as_deref(), Some("kubectl-edit"));
        assert_eq!(last_manager(&json!({"metadata": {}})), None);
    }

    #[test]
    fn only_what_somebody_set_can_be_taken_out() {
        let wanted = json!({"spec": {"replicas": 2, "history": null, "strategy": {"surge": null}, "note": null}});
        let owner = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": {"f:spec": fields}});
        let seen = json!({"metadata": {"managedFields": [
            owner("planekeeper", "Apply", json!({"f:replicas": {}})),
            owner("planekeeper", "Update", json!({"f:history": {}})),
            owner("kubectl", "Update", json!({"f:note": {}})),
        ]}});
        let selector = json!({"spec": {"selector": {"x": null}}});
        let whole = json!({"metadata": {"managedFields": [owner("kubectl", "Update", json!({"f:selector": {}}))]}});
        assert_eq!(without_defaults(&selector, &whole), selector);
        let left = json!({"spec": {"replicas": 2, "strategy": {}, "note": null}});
        assert_eq!(without_defaults(&wanted, &seen), left);
        assert_eq!(without_defaults(&wanted, &json!({"metadata": {}})), wanted);
    }
}

//! A status in the cluster: the kind `ControlPlaneNode`, its objects, and the Events that its changes make.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{Condition, State, Status, Truth, conditions};
use crate::config::planekeeper::{API_VERSION, custom_resource};

/// The kind.
pub const KIND: &str = "ControlPlaneNode";

/// The most resources that are out of sync and told of in the cluster.
const RESOURCES_MAX: usize = 64;

/// The object of one host, as its schema has it.
#[derive(JsonSchema)]
#[allow(dead_code)] // only its schema is used
struct ControlPlaneNode {
    /// How the control plane of the host stands. planekeeper writes it.
    status: Status,
}

/// The `CustomResourceDefinition` of the kind.
#[must_use]
pub fn crd() -> Value {
    let column = |name: &str, path: &str, description: &str| json!({ "name": name, "type": "string", "jsonPath": path, "description": description });
    let condition = |kind: &str| format!(".status.conditions[?(@.type==\"{kind}\")].status");
    let wide = |mut column: Value| {
        column["priority"] = 1.into();
        column
    };
    let ready = ".status.conditions[?(@.type==\"Ready\")]";
    // The end of a certificate is text: a column of the type date shows times of the future as invalid.
    let columns = json!([
        column("Ready", &condition(conditions::READY), "As configured, and working"),
        column("Converged", &condition(conditions::CONVERGED), "As the configuration in force says"),
        column("Accepted", &condition(conditions::CONFIGURATION_ACCEPTED), "The last configuration is in force"),
        column("Version", ".status.kubernetesVersion", "The version of Kubernetes that is wanted"),
        { "name": "Drift", "type": "integer", "jsonPath": ".status.drift.now", "description": "Resources that differ" },
        column("Certificate-End", ".status.nextCertificateEnd", "The day on which the first certificate ends"),
        column("Paused", &condition(conditions::PAUSED), "Nothing is changed for now"),
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
        wide(column("Reason", &format!("{ready}.reason"), "Why it is ready or not")),
        wide(column("Message", &format!("{ready}.message"), "The same in a sentence")),
    ]);
    let mut crd = custom_resource::<ControlPlaneNode>(KIND, "controlplanenode");
    crd["spec"]["names"]["shortNames"] = json!(["pkn"]);
    crd["spec"]["names"]["categories"] = json!(["planekeeper"]);
    let version = &mut crd["spec"]["versions"][0];
    version["additionalPrinterColumns"] = columns;
    version["subresources"] = json!({ "status": {} });
    // An object is made first and told of then.
    if let Some(schema) = version["schema"]["openAPIV3Schema"].as_object_mut() {
        schema.remove("required");
    }
    let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    for (list, key) in [("conditions", "type"), ("resources", "id")] {
        status[list]["x-kubernetes-list-type"] = "map".into();
        status[list]["x-kubernetes-list-map-keys"] = json!([key]);
        let required = status[list]["items"]["required"].as_array().cloned().unwrap_or_default();
        let others = required.into_iter().filter(|name| name != key);
        status[list]["items"]["required"] = others.chain([json!(key)]).collect();
    }
    crd
}

/// The object without its status: what its name and labels are left to whoever else writes them.
#[must_use]
pub fn object(node: &str) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": KIND, "metadata": { "name": node } })
}

/// The object with its status: the resources that are in sync are counted only, and nothing that ages by itself is in it.
#[must_use]
pub fn with_status(status: &Status) -> Value {
    let mut told = status.without_ages();
    told.resources = status.out_of_sync().into_iter().take(RESOURCES_MAX).cloned().collect();
    told.resources.iter_mut().for_each(|resource| resource.needs.clear());
    let mut value = object(&status.node);
    value["status"] = serde_json::to_value(&told).unwrap_or_default();
    value
}

/// Something that happened, to be told as an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// What happened, in one word.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
}

/// The most of an Event's note: the API takes 1024 characters.
const NOTE_MAX: usize = 1000;

/// What happened between two statuses.
#[must_use]
pub fn events(before: &Status, after: &Status) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |warning, reason, action, note: String| {
        events.push(Event { warning, reason, action, note: note.chars().take(NOTE_MAX).collect() });
    };
    let new = after.actions.iter().filter(|action| !before.actions.contains(action));
    for action in new {
        let more = if action.more > 0 { format!(" and {} more", action.more) } else { String::new() };
        let detail = if action.detail.is_empty() { String::new() } else { format!(": {}", action.detail) };
        let note = format!("{}{more}{detail}", action.resource);
        match action.what.as_str() {
            "repaired" => tell(false, "Repaired", "Repair", note),
            "renewed" => tell(false, "Renewed", "Renew", note),
            "failed" => tell(true, "ChangeFailed", "Reconcile", note),
            _ => tell(false, "Changed", "Reconcile", format!("{} {note}", action.what)),
        }
    }
    let drifted = |status: &Status| -> Vec<String> {
        let found = status.resources.iter().filter(|resource| resource.state == State::Drifted);
        found.map(|resource| format!("{}: {}", resource.id, resource.message)).collect()
    };
    let known = drifted(before);
    let fresh: Vec<String> = drifted(after).into_iter().filter(|one| !known.contains(one)).collect();
    if !fresh.is_empty() {
        tell(true, "Drifted", "Look", fresh.join("; "));
    }
    for fight in after.fights.iter().filter(|one| before.fights.iter().all(|old| old.resource != one.resource)) {
        let note = format!("{} changes {} back again and again", fight.other(), fight.resource);
        tell(true, "Contested", "Repair", note);
    }
    for (kind, becomes_true, becomes_false) in [
        (conditions::CONFIGURATION_ACCEPTED, "ConfigurationAccepted", "ConfigurationRejected"),
        (conditions::COMPONENTS_HEALTHY, "ComponentsHealthy", "ComponentsUnhealthy"),
        (conditions::CERTIFICATES_VALID, "CertificatesValid", "CertificatesInvalid"),
        (conditions::PAUSED, "Paused", "Resumed"),
        (conditions::ROLLED_BACK, "RolledBack", "RollbackOver"),
    ] {
        let (Some(old), Some(new)) = (before.condition(kind), after.condition(kind)) else { continue };
        let warning =
            if [conditions::PAUSED, conditions::ROLLED_BACK].contains(&kind) { Truth::True } else { Truth::False };
        if changed(old, new) {
            let reason = if new.status == Truth::True { becomes_true } else { becomes_false };
            tell(new.status == warning, reason, "Reconcile", new.message.clone());
        } else if new.reason == conditions::RENEWAL_NEEDED && new.message != old.message {
            tell(true, "CertificateRenewalNeeded", "Look", new.message.clone());
        }
    }
    events
}

/// A condition became true or false. Another configuration that is wrong is worth a word too.
fn changed(old: &Condition, new: &Condition) -> bool {
    let again = new.kind == conditions::CONFIGURATION_ACCEPTED && new.message != old.message;
    match new.status {
        Truth::Unknown => false,
        Truth::False => old.status != new.status || again,
        Truth::True => old.status != new.status,
    }
}

//! `audit.k8s.io/v1` `Policy`, for the API server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::report::Report;

/// The group and version.
pub const API_VERSION: &str = "audit.k8s.io/v1";

/// What the API server logs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Of no effect, but allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The first rule that matches a request counts.
    pub rules: Vec<PolicyRule>,
    /// Stages that are not logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omit_stages: Vec<Stage>,
    /// The managed fields of objects are not logged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub omit_managed_fields: bool,
}

/// What of an object's metadata a policy may have.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// A name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Value>,
    /// Annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
}

/// Which requests, and how much of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// How much is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups of users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_groups: Vec<String>,
    /// Verbs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// Resources of API groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<GroupResources>,
    /// Namespaces; an empty name is for what has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Paths that are no resources.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
    /// Stages that are not logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omit_stages: Vec<Stage>,
    /// The managed fields of objects are not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omit_managed_fields: Option<bool>,
}

/// Resources of an API group.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupResources {
    /// The group; empty is the core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resources, `pods`, `pods/log`, `pods/*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names of objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
}

/// How much of a request is logged.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// A stage of a request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// The policy where auditing is on and none is given: who did what, once a request, and never what was in it. What components
/// and probes ask all the time is left out, and so are Events, which tell of themselves.
#[must_use]
pub fn default_policy() -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi/*"] },
            {
                "level": "None",
                "resources": [
                    { "resources": ["events"] },
                    { "group": "events.k8s.io", "resources": ["events"] },
                ],
            },
            {
                "level": "None",
                "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"],
                "verbs": ["get", "update"],
                "resources": [{ "group": "coordination.k8s.io", "resources": ["leases"] }],
            },
            {
                "level": "None",
                "userGroups": ["system:nodes"],
                "verbs": ["get", "update"],
                "resources": [{ "group": "coordination.k8s.io", "resources": ["leases"] }],
            },
            // The same as the last rule, and the place where whoever asks for bodies there sees that these are not for a log.
            {
                "level": "Metadata",
                "resources": [
                    { "resources": ["secrets", "configmaps", "serviceaccounts/token"] },
                    { "group": "authentication.k8s.io", "resources": ["tokenreviews"] },
                ],
            },
            { "level": "Metadata" },
        ],
    })
}

/// What the API server would refuse in a policy when it starts.
pub fn validate(policy: &Policy, report: &mut Report) {
    if policy.rules.is_empty() {
        report.error("Policy.rules", "there are none, and the API server then refuses to start: add one");
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        let path = format!("Policy.rules[{index}]");
        if rule.level.is_none() {
            let message = "has no value: write None, Metadata, Request or RequestResponse";
            report.error(format!("{path}.level"), message);
        }
        let about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
        if about_resources && !rule.non_resource_urls.is_empty() {
            let message = "a rule is about resources or about URLs that are none, not both: make it two rules";
            report.error(format!("{path}.nonResourceURLs"), message);
        }
        for (index, url) in rule.non_resource_urls.iter().enumerate() {
            let stars = url.matches('*').count();
            if url != "*" && (!url.starts_with('/') || stars > 1 || (stars == 1 && !url.ends_with('*'))) {
                let message = format!("{url:?} has to begin with \"/\" and may have one \"*\", at its end");
                report.error(format!("{path}.nonResourceURLs[{index}]"), message);
            }
        }
        validate_resources(&rule.resources, &format!("{path}.resources"), report);
    }
}

fn validate_resources(groups: &[GroupResources], path: &str, report: &mut Report) {
    for (index, group) in groups.iter().enumerate() {
        if group.group.contains('/') {
            let message = format!("{:?} names a version: write the group alone", group.group);
            report.error(format!("{path}[{index}].group"), message);
        }
        if !group.resource_names.is_empty() && group.resources.is_empty() {
            let message = "needs resources beside it: names alone match nothing";
            report.error(format!("{path}[{index}].resourceNames"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_one_that_an_api_server_starts_with_and_logs_no_body() {
        let policy: Policy = serde_json::from_value(default_policy()).unwrap();
        let mut report = Report::default();
        validate(&policy, &mut report);
        assert!(!report.failed(), "{report:?}");
        assert!(policy.rules.iter().all(|rule| matches!(rule.level, Some(Level::None | Level::Metadata))));
        assert!(
            matches!(policy.rules.last(), Some(PolicyRule { level: Some(Level::Metadata), resources, .. }) if resources.is_empty())
        );
    }
}

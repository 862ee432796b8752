//! Auditing by the API server: its policy, and what its manifest needs to see and say.

use crate::cluster::{Arg, Cluster};
use crate::desired::apiserver;
use crate::desired::arguments::arg;
use crate::desired::directories;
use crate::desired::origins::Origins;
use crate::desired::volumes::Mounts;
use crate::facts::Facts;
use crate::resource::{Content, Desired, Effect, FileSpec, Id, Resource, Spec};

/// The policy's path.
pub const POLICY: &str = "/etc/kubernetes/audit/audit.yaml";
/// The log's path.
pub const LOG: &str = "/var/log/kubernetes/audit/audit.log";

/// The policy; nothing where auditing is off.
#[must_use]
pub fn desired(cluster: &Cluster, facts: &Facts) -> Desired {
    let mut desired = Desired::default();
    let Some(audit) = &cluster.audit else { return desired };
    let spec = FileSpec {
        path: POLICY.to_owned(),
        content: Content::Yaml(audit.policy.clone()),
        mode: 0o600,
        owner: facts.owner,
        effect: Effect::Restart(apiserver::NAME),
        pod: None,
    };
    let needs = vec![Id::directory(directories::AUDIT)];
    desired.push(
        Resource::present(Id::file(POLICY), "control-plane/apiserver", needs, Spec::File(spec))
            .from(Origins::of(cluster).field("", "Policy").list()),
    );
    desired
}

/// What the API server's manifest needs for it.
#[must_use]
pub fn needs(cluster: &Cluster) -> Vec<Id> {
    match cluster.audit {
        Some(_) => vec![Id::directory(directories::AUDIT_LOGS), Id::file(POLICY)],
        None => Vec::new(),
    }
}

/// The API server's flags, the user's own not yet over them. Ten files of 100 MB at most, for 30 days at most, are what
/// the CIS benchmark asks for.
#[must_use]
pub fn arguments(cluster: &Cluster) -> Vec<Arg> {
    if cluster.audit.is_none() {
        return Vec::new();
    }
    vec![
        arg("audit-policy-file", POLICY),
        arg("audit-log-path", LOG),
        arg("audit-log-maxage", "30"),
        arg("audit-log-maxbackup", "10"),
        arg("audit-log-maxsize", "100"),
    ]
}

/// With the folders that the API server must see, but for those that a volume of the user's shows: a container must not
/// mount two things at one path.
#[must_use]
pub fn mounts(cluster: &Cluster, mounts: Mounts) -> Mounts {
    if cluster.audit.is_none() {
        return mounts;
    }
    let folders = [("audit-policy", directories::AUDIT, true), ("audit-logs", directories::AUDIT_LOGS, false)];
    let shown = |path| cluster.api_server.extra_volumes.iter().any(|volume| volume.mount_path == path);
    folders
        .into_iter()
        .filter(|(_, path, _)| !shown(*path))
        .fold(mounts, |mounts, (name, path, read_only)| mounts.folder(name, path, read_only))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::fixture;
    use crate::cluster::{Audit, HostPathMount};
    use crate::resource::Want;

    fn api_server(cluster: &Cluster) -> Value {
        let resource = apiserver::desired(cluster, &Facts::default()).resources.remove(0);
        match resource.want {
            Want::Present(Spec::File(FileSpec { content: Content::Yaml(pod), .. })) => pod,
            other => panic!("{other:?}"),
        }
    }

    fn audited() -> Cluster {
        Cluster { audit: Some(Audit { policy: json!({ "kind": "Policy" }) }), ..fixture() }
    }

    #[test]
    fn the_api_server_sees_its_policy_and_writes_its_log() {
        let pod = api_server(&audited());
        let command = pod["spec"]["containers"][0]["command"].to_string();
        assert!(command.contains("--audit-policy-file=/etc/kubernetes/audit/audit.yaml"), "{command}");
        assert!(command.contains("--audit-log-path=/var/log/kubernetes/audit/audit.log"), "{command}");
        let mounts = pod["spec"]["containers"][0]["volumeMounts"].to_string();
        assert!(mounts.contains(r#"{"mountPath":"/var/log/kubernetes/audit","name":"audit-logs"}"#), "{mounts}");
        assert!(!api_server(&fixture()).to_string().contains("audit"));
    }

    #[test]
    fn what_the_user_says_about_auditing_wins() {
        let mut cluster = audited();
        cluster.api_server.extra_args = vec![arg("audit-log-maxage", "7")];
        cluster.api_server.extra_volumes = vec![HostPathMount {
            name: "logs".to_owned(),
            host_path: "/srv/logs".to_owned(),
            mount_path: directories::AUDIT_LOGS.to_owned(),
            read_only: false,
            path_type: String::new(),
        }];
        let pod = api_server(&cluster).to_string();
        assert!(pod.contains("--audit-log-maxage=7") && !pod.contains("--audit-log-maxage=30"), "{pod}");
        assert_eq!(pod.matches(r#""mountPath":"/var/log/kubernetes/audit""#).count(), 1, "{pod}");
    }
}

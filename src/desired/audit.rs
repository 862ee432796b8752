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

//! How a control plane stands, as one value: what everybody is shown is made of it, in text, JSON, metrics, on a page and as the status of
//! a `ControlPlaneNode`. Pure.
//!
//! [`update::next`] makes it of what a pass saw and did and of the status before. Nothing in it is a secret: it has ids of resources,
//! names of fields, and reasons.

mod component;
pub mod conditions;
pub mod health;
pub mod json;
pub mod metrics;
pub mod moment;
pub mod object;
pub mod page;
pub mod parts;
pub mod pause;
mod state;
pub mod text;
pub mod update;
pub mod verdict;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use component::{Component, Health};
pub use moment::Moment;
pub use pause::Pause;
pub use state::State;

/// Where it is kept, so that it outlives the process and can be read while none runs.
pub const PATH: &str = "/var/lib/planekeeper/status.json";

/// The most actions that are remembered.
pub const ACTIONS_MAX: usize = 20;

/// How the control plane of one host stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The name of the Node.
    pub node: String,
    /// The version of Kubernetes that is wanted: `v1.37.2`.
    pub kubernetes_version: String,
    /// Who says so.
    pub program: Program,
    /// `Ready`, which sums up the others, `Converged`, `ConfigurationAccepted`, `ComponentsHealthy`, `CertificatesValid`; `Paused` and
    /// `RolledBack`.
    pub conditions: Vec<Condition>,
    /// The configuration in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// A newer configuration that is not in force, because it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// Changes of the configuration that would destroy the cluster, so that none of it is applied.
    pub refused_changes: Vec<RefusedChange>,
    /// What was changed and taken back, because it did not work. It is not tried again as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUp>,
    /// When the host was last looked at: the age of everything that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Moment>,
    /// The configuration that it was compared with then, by its hash: another one than is in force where that was taken only now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
    /// Why the last look failed, where it did: what was seen is older than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// Why nothing is done at all, where that is so: the control plane is somebody else's, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
    /// The last pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pass: Option<LastPass>,
    /// When there is a next one without anything happening, and why then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_wake: Option<Wake>,
    /// Nothing is changed for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// What differs without the configuration having changed.
    pub drift: Drift,
    /// What runs.
    pub components: Vec<Component>,
    /// The API server of this host answers; not set where there is none to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_reachable: Option<bool>,
    /// Certificates and CAs.
    pub certificates: Vec<Certificate>,
    /// The day on which the first certificate ends that is not a CA: `2027-11-22`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_certificate_end: Option<String>,
    /// How many resources are in which state.
    pub counts: BTreeMap<String, u64>,
    /// The resources. In the cluster only those that are not in sync.
    pub resources: Vec<Resource>,
    /// The last actions, newest first.
    pub actions: Vec<Action>,
    /// Resources that somebody else changes back again and again.
    pub fights: Vec<Fight>,
    /// What was counted.
    pub counters: Counters,
}

/// The process that a status is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// `watch` or `reconcile`.
    pub mode: Mode,
    /// Its process id.
    pub process: u32,
    /// When it started.
    pub started_at: Moment,
    /// Where it tells of itself over HTTP: `127.0.0.1:10264`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// It stays, and looks again when something wakes it.
    Watch,
    /// It made the host right once, and ended.
    #[default]
    Reconcile,
}

/// A condition, in the shape of `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: Truth,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when the status is what it is.
    pub last_transition_time: Moment,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// A configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// The file or folder.
    pub source: String,
    /// SHA-256 of its files and patches, in hexadecimal.
    pub hash: String,
    /// Where the folder is from a repository: the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it is in force.
    pub since: Moment,
}

impl Configuration {
    /// This configuration, in force since it was first in force.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let since = before.filter(|before| before.hash == self.hash).map_or(self.since, |before| before.since);
        Self { since, ..self }
    }
}

/// A configuration that is not in force, because it is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rejected {
    /// SHA-256 of its files and patches, in hexadecimal; empty where they could not be read.
    pub hash: String,
    /// When it was first met.
    pub since: Moment,
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
}

/// Something that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// File and line: `cluster.yaml:3`; empty where it is in no file.
    pub place: String,
    /// The field; empty where it is about none.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl From<&crate::problem::Problem> for Problem {
    fn from(problem: &crate::problem::Problem) -> Self {
        let place = problem.place.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { place, field: problem.field.clone(), message: problem.message.clone() }
    }
}

/// A change of the configuration that would destroy the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedChange {
    /// The field.
    pub field: String,
    /// File and line; empty where it is in no file.
    pub place: String,
    /// What the host has.
    pub before: String,
    /// What the configuration says.
    pub after: String,
    /// Why it is refused, and what to do.
    pub reason: String,
}

/// A change that was taken back, because it did not work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GivenUp {
    /// The resource.
    pub resource: String,
    /// What became of it, and what to do.
    pub reason: String,
}

/// A pass: a look at the host, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastPass {
    /// When it ended.
    pub at: Moment,
    /// How long it took.
    pub milliseconds: u64,
    /// What woke it: `timer`, `configuration`, `file`, `object`.
    pub trigger: String,
    /// How many things it changed.
    pub changed: u64,
    /// How many it failed to change.
    pub failed: u64,
}

/// When there is another pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Wake {
    /// When.
    pub at: Moment,
    /// Why then: `certificate apiserver is due`, `full look`.
    pub reason: String,
}

/// What differs without the configuration having changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drift {
    /// How many resources differ now.
    pub now: u64,
    /// How many were put right since counting began.
    pub repaired: u64,
    /// When the last was put right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_repaired_at: Option<Moment>,
    /// Which it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_repaired: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// kubeadm's name of it: `apiserver`, `admin.conf`.
    pub name: String,
    /// kubeadm's name of the CA that signed it, its own where it signed itself; not set for a CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins: Option<Moment>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// When planekeeper makes it anew; not set where it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<Moment>,
    /// `valid`, `due`, `expired`, `not yet valid`, `missing` or `unreadable`, when the host was last looked at.
    pub state: String,
    /// The key of the CA that signs it is not on this host.
    pub externally_managed: bool,
}

impl Certificate {
    /// It nears its end, and planekeeper cannot make the next one.
    #[must_use]
    pub fn by_hand(&self) -> bool {
        self.state == crate::certs::State::Due.name() && self.externally_managed
    }
}

/// A resource, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// Its id.
    pub id: String,
    /// What of the control plane it belongs to: `etcd`, `certificates`, `coredns`.
    pub part: String,
    /// How it stands.
    pub state: State,
    /// What differs, or what holds it up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// Something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    /// When.
    pub at: Moment,
    /// `created`, `changed`, `repaired`, `renewed`, `removed`, `failed`.
    pub what: String,
    /// The resource; the first of several that were made at once.
    pub resource: String,
    /// How many more there were like it, at the same time.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Why: `drift`, `cluster.yaml:17`, `age`, `version`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// What changed, or why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A resource that somebody else changes back again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Fight {
    /// The resource.
    pub resource: String,
    /// The other writer, as the API server names it; nobody knows who writes a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when.
    pub since: Moment,
    /// Until when it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// What was counted since counting began: over restarts, as far as the status file was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Passes, by what came of them: `unchanged`, `changed`, `failed`.
    pub passes: BTreeMap<String, u64>,
    /// The time that they took, in milliseconds.
    pub pass_milliseconds: u64,
    /// Drift that was put right, by kind of resource: `file`, `object`.
    pub repairs: BTreeMap<String, u64>,
    /// All that was written, by kind of resource.
    pub writes: BTreeMap<String, u64>,
    /// Steps that failed, by kind of resource.
    pub failures: BTreeMap<String, u64>,
    /// Certificates that were made anew for their age.
    pub renewals: u64,
    /// Configurations that were rejected.
    pub rejections: u64,
}

impl Fight {
    /// The other side, for a person.
    #[must_use]
    pub fn other(&self) -> &str {
        self.by.as_deref().unwrap_or("somebody else")
    }
}

impl Status {
    /// The condition of a type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Resources that are not in sync, the worst first.
    #[must_use]
    pub fn out_of_sync(&self) -> Vec<&Resource> {
        let mut found: Vec<&Resource> =
            self.resources.iter().filter(|resource| resource.state != State::InSync).collect();
        found.sort_by_key(|resource| std::cmp::Reverse(resource.state));
        found
    }

    /// The same to a reader who does not ask for ages: what a pass that changed nothing and saw nothing new leaves as it is. Where
    /// this is the same as before, nothing is written anywhere.
    #[must_use]
    pub fn without_ages(&self) -> Self {
        // A run that ended is known by what it did; one that goes on is asked for, at its address.
        let program = match self.program.mode {
            Mode::Watch => self.program.clone(),
            Mode::Reconcile => Program { process: 0, started_at: Moment(0), ..self.program.clone() },
        };
        let counters = Counters { passes: BTreeMap::new(), pass_milliseconds: 0, ..self.counters.clone() };
        Self { program, looked_at: None, last_pass: None, next_wake: None, counters, ..self.clone() }
    }

    /// Its text on disk.
    #[must_use]
    pub fn to_text(&self) -> String {
        crate::record::text_of(self)
    }

    /// What a text says; `None` where it is none of ours.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

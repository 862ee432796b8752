//! The host: the one seam between what is decided and what is done. Drivers act and judge nothing.

pub mod api;
pub mod connections;
pub mod cri;
pub mod etcd;
pub mod files;
pub mod keys;
pub mod live;
pub mod local;
pub mod machine;
pub mod memory;
pub mod pki;
pub mod preflight;
pub mod probe;
pub mod publish;
pub mod pull;
pub mod reset;
pub mod rollout;
pub mod sandbox;
pub mod serve;
pub mod shown;
mod side_by_side;
pub mod systemd;
pub mod tokens;
pub mod upload_certs;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::facts::Facts;
use crate::host::api::ApiError;
use crate::observed::{ObserveError, Observed, Seen};
use crate::resource::{Desired, Id, Resource};
use crate::verdict::Verdict;

pub use side_by_side::processors;

/// A host that a control plane runs on, or a folder that stands for one.
pub trait Host: Sync {
    /// What [`crate::desired`] may know besides the configuration.
    ///
    /// # Errors
    /// Something that decides what is wanted could not be read.
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError>;

    /// Reads every resource once. What could not be read is in the result as such.
    fn observe(&self, desired: &Desired) -> Observed;

    /// [`Host::observe`], of a part of what is wanted only.
    fn observe_part(&self, part: &Desired) -> Observed {
        self.observe(part)
    }

    /// Units are to be started in this pass, once what they need is there. What that takes in any case is begun, and not waited for.
    fn prepare_units(&self) {}

    /// Makes one resource what its verdict says, atomically. It is durable once [`Host::settle`] has returned. What it waits for
    /// meanwhile is told, in a few words.
    ///
    /// # Errors
    /// The operation that failed. What was there before is still there, or what was wanted is.
    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict, tell: Tell<'_>) -> Result<(), ApplyError>;

    /// Why this host's clock may be wrong, where there is a reason to think so. It is asked before a certificate is renewed for its age.
    fn doubts_clock(&self) -> Option<String>;

    /// Waits until everything that was applied is durable.
    ///
    /// # Errors
    /// The operation that failed.
    fn settle(&self) -> Result<(), ApplyError>;

    /// Keeps a record of planekeeper's own, readable by its owner only: on the disk when this returns.
    ///
    /// # Errors
    /// The operation that failed.
    fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError>;

    /// Forgets the record of a change of a component, by its name, where there is one.
    ///
    /// # Errors
    /// The operation that failed.
    fn forget(&self, name: &str) -> Result<(), ApplyError>;
}

/// Something of a host that has changed, as who keeps it tells. The files are not among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An object of the API.
    Object(Id),
    /// A systemd unit.
    Unit(String),
    /// A container of a component has ended, and was not replaced at once.
    Container(String),
}

/// Takes what has changed, from any thread.
pub type Listener = Arc<dyn Fn(Change) + Send + Sync>;

/// Takes what a step waits for, in a few words, and says whether it is to go on waiting.
pub type Tell<'a> = &'a (dyn Fn(&str) -> ControlFlow<()> + Sync);

/// A step that failed: which operation, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {what}")]
pub struct ApplyError {
    /// What was tried: `write`, `make a key for`.
    pub operation: &'static str,
    /// The path or the object.
    pub what: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl ApplyError {
    /// An operation that failed.
    pub fn new(
        operation: &'static str,
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation, what: what.into(), source: source.into() }
    }

    /// The error and all that led to it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }

    /// All that led to the error, in one line.
    #[must_use]
    pub fn reason(&self) -> String {
        chain(&*self.source)
    }

    /// What the step was to change is changed, and only what comes of it is not known yet.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.source.is::<MadeWay>()
    }

    /// The host is no longer as it was when the step was planned: another look is due. A change of an object begins once the API server
    /// answers; where nobody listens any more, it has gone since.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        self.source.is::<Overtaken>() || self.source.downcast_ref().is_some_and(ApiError::is_gone)
    }
}

/// A change was made. What comes of it was no longer waited for, since something else is to be done first: the next look tells.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MadeWay(pub String);

/// What was waited for does not come, since the host is no longer as it was when that was planned: another look is due.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Overtaken(pub String);

/// An error and all that led to it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The error that led to all the others, which only wrap it.
#[must_use]
pub fn root_cause<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

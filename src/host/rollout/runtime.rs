//! What runs on a host, as rollouts see it and disturb it.

use std::time::Duration;

use crate::host::ApplyError;
use crate::resource::{PodGate, StaticPodSpec};

/// A container, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// It runs.
    pub runs: bool,
    /// When it was made, in microseconds since 1970.
    pub created: u64,
    /// How often the kubelet has made another of the Pod before it.
    pub restarts: u32,
    /// The image that it was made of.
    pub image: String,
    /// Its command line.
    pub command: Vec<String>,
    /// The ids of older ones of the Pod that run still.
    pub beside: Vec<String>,
}

/// What runs on a host, as rollouts see and disturb it.
pub trait Runtime {
    /// The newest container of a Pod.
    ///
    /// # Errors
    /// In words, why nobody knows.
    fn container(&self, pod: &StaticPodSpec) -> Result<Option<Container>, String>;

    /// The kubelet runs, and has not let go of a Pod.
    ///
    /// # Errors
    /// In words, why nobody knows.
    fn is_kept(&self, pod: &StaticPodSpec) -> Result<bool, String>;

    /// The kubelet runs.
    fn has_kubelet(&self) -> bool;

    /// Ends a container, by its id.
    ///
    /// # Errors
    /// It could not be ended.
    fn stop(&self, id: &str, grace: Duration) -> Result<(), ApplyError>;

    /// A component is well, by what it does.
    ///
    /// # Errors
    /// In words, why not.
    fn well(&self, pod: &StaticPodSpec) -> Result<(), String>;

    /// A Pod's Lease is renewed, as far as it has one and the API server can tell.
    ///
    /// # Errors
    /// In words, that it is not.
    fn leads(&self, pod: &StaticPodSpec, since: i64) -> Result<(), String>;

    /// Has the kubelet start at once what it waits to start again, where it does. It is `waited` for already.
    ///
    /// # Errors
    /// It could not be told; or nobody will start it again but another look at the host, which is due.
    fn hurry(&self, pod: &StaticPodSpec, waited: Duration) -> Result<(), ApplyError>;

    /// Starts the kubelet anew, which costs no container anything.
    ///
    /// # Errors
    /// It could not be started.
    fn renew_kubelet(&self) -> Result<(), ApplyError>;

    /// What to tell a person about a component that did not become well in this time.
    fn diagnose(&self, gate: &PodGate, waited: Duration, why: &str) -> String;

    /// When a file was last changed, in microseconds since 1970.
    fn changed(&self, path: &str) -> Option<u64>;

    /// Seconds since 1970, which somebody may set.
    fn now(&self) -> i64;

    /// How long it is since some moment, whatever becomes of the clock: what is waited for is measured by it.
    fn elapsed(&self) -> Duration;

    /// Lets some time pass.
    fn pause(&self, time: Duration);
}

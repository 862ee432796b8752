//! What runs on a host, and what has to hold of it.

use std::time::Duration;

use super::expansion::is_expanded;
use super::{Content, Id};

/// A container image.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Its name with its tag.
    pub reference: String,
    /// It may be pulled: `imagePullPolicy` is not `Never`.
    pub pull: bool,
    /// No other is pulled at the same time: `imagePullSerial`.
    pub serial: bool,
}

/// A systemd unit.
#[derive(Clone, Debug)]
pub struct UnitSpec {
    /// Its name with its suffix.
    pub name: String,
    /// Files that it reads when it starts: one that is newer than its start makes it start again.
    pub reads: Vec<String>,
}

/// A condition.
#[derive(Clone, Debug)]
pub struct GateSpec {
    /// What has to hold.
    pub condition: Condition,
    /// How long it may take once what it needs is there.
    pub timeout: Duration,
    /// It is waited for only where something has to be done that needs it.
    pub on_demand: bool,
}

/// What has to hold of what runs.
#[derive(Clone, Debug)]
pub enum Condition {
    /// This URL on this host answers with success.
    Url(String),
    /// The API server answers who has a certificate of the cluster's administrators, ready or not. Where it is a static Pod of this
    /// host, it does so as its manifest says.
    ApiAnswers(Option<StaticPodSpec>),
    /// The API server answers at this URL that it is ready.
    ApiReady(String),
    /// A static Pod runs as its manifest says and is healthy.
    StaticPod(StaticPodSpec),
    /// The kubelet has run for some time, and is well, with what a file of its says.
    Kubelet(KubeletSpec),
    /// A component runs on this host in a Pod of its `DaemonSet` as the template says, has done so for some time, and is healthy; and the
    /// `DaemonSet` counts its Pods as ready: one whose container runs may be about to go.
    SelfHosted(SelfHostedSpec),
    /// The same API server that [`Condition::ApiAnswers`] is about, where it runs in a Pod of its `DaemonSet`.
    SelfHostedApi(SelfHostedSpec),
    /// No container of a `DaemonSet`'s Pods runs on this host any more.
    NotSelfHosted(SelfHostedSpec),
    /// The kubelet has made its Node.
    Node(String),
    /// A workload's Pods are ready: `Deployment` or `DaemonSet`, in `kube-system`.
    RolledOut {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// A kubelet, as it has to run.
#[derive(Clone, Debug)]
pub struct KubeletSpec {
    /// Its unit.
    pub unit: String,
    /// Its configuration: a path, and what is in that file.
    pub configuration: (String, Content),
    /// Where it tells of its health.
    pub health: String,
    /// How long it has to have run.
    pub steady: Duration,
}

/// A static Pod of one container, or a Pod of a `DaemonSet` that is made like it, as it has to run.
#[derive(Clone, Debug)]
pub struct StaticPodSpec {
    /// The container's name, which is the component's.
    pub component: &'static str,
    /// The Pod's name: the component's and the Node's; or that of its `DaemonSet`.
    pub pod: String,
    /// It is a Pod of a `DaemonSet`, whose name it has, with an end that is made up.
    pub hosted: bool,
    /// The image that its manifest names.
    pub image: String,
    /// Its command and arguments.
    pub command: Vec<String>,
    /// Where it tells of its health; of the API server, which may not tell strangers, its own client asks instead.
    pub health: Option<String>,
    /// What it renews while it works, or another of its kind does on another host; none where it was told not to.
    pub lease: Option<Lease>,
}

impl StaticPodSpec {
    /// Whether a container of this command and this image was made of this.
    #[must_use]
    pub fn is_run_by(&self, command: &[String], image: &str) -> bool {
        is_expanded(&self.command, command) && self.image == image
    }
}

/// A Lease of the API, which whoever leads renews every few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A Pod, and how long it may take until it is well.
#[derive(Clone, Debug)]
pub struct PodGate {
    /// The Pod.
    pub pod: StaticPodSpec,
    /// How long it may take.
    pub timeout: Duration,
}

/// A component that runs, in a static Pod or a `DaemonSet`'s: it started after what it cannot read anew had changed, and it works.
#[derive(Clone, Debug)]
pub struct RunningSpec {
    /// The Pod, and how long it may take until it is well after a restart.
    pub gate: PodGate,
    /// Files that it reads when it starts and never again.
    pub reads: Vec<String>,
    /// What is known of an earlier change of its manifest.
    pub rollout: Rollout,
}

/// What is known of an earlier change of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// There is nothing left of it.
    Done,
    /// It was broken off: whether the component works with it is not known.
    Unfinished,
    /// It was given up, and the configuration no longer wants it.
    Obsolete,
}

/// A change that shows only by what comes of it whether it is good.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The file that it is in.
    pub file: Id,
    /// What has to hold with it.
    pub gate: Id,
    /// How long that may take from when the file was written.
    pub timeout: Duration,
    /// The record that has the change given up: its path, and its first line. The others say why.
    pub failed: (&'static str, String),
}

/// A component in a Pod of its `DaemonSet`, as it has to run.
#[derive(Clone, Debug)]
pub struct SelfHostedSpec {
    /// The container and its Pod.
    pub pod: StaticPodSpec,
    /// How long it has to have run.
    pub steady: Duration,
    /// No static Pod of it is wanted: where it does not run, nobody but planekeeper starts it again.
    pub alone: bool,
}

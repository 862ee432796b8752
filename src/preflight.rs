//! Whether a host can become what the configuration wants, before anything on it is touched: kubeadm's preflight checks, by kubeadm's
//! identifiers.
//!
//! Each check is a small function that asks a [`machine::Machine`] and gives a [`Finding`]. All of it is pure; [`crate::host::preflight`]
//! runs the checks side by side on this machine. Checks know the release, the configuration and the [`standing`] of the host: what
//! planekeeper itself put there is no fault.

mod commands;
mod etcd;
#[cfg(test)]
pub(crate) mod fake;
mod hostname;
mod ignore;
mod ipvs;
mod kernel;
pub mod machine;
mod manifests;
mod ports;
mod proxies;
mod release;
mod runtime;
mod services;
pub mod standing;
mod sysctls;
mod system;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::cluster::{Cluster, Etcd};
use crate::config::Cidr;
use machine::Machine;
use standing::Standing;

pub use ignore::Ignore;

/// How a check ended, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Not asked: this configuration or release has no need of it.
    Skipped,
    /// As it should be.
    Ok,
    /// It may go wrong, or go wrong later.
    Warning,
    /// It cannot succeed.
    Error,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What is needed; empty where nothing more is to be said.
    pub needed: String,
    /// How to mend it, a command where there is one; empty where nothing is to be mended.
    pub mend: String,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { status: Status::Ok, found: found.into(), needed: String::new(), mend: String::new() }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(why) }
    }

    fn warning(found: impl Into<String>, needed: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status: Status::Warning, found: found.into(), needed: needed.into(), mend: mend.into() }
    }

    fn error(found: impl Into<String>, needed: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status: Status::Error, ..Self::warning(found, needed, mend) }
    }

    /// What could not be found out.
    fn unknown(why: impl Into<String>, needed: impl Into<String>) -> Self {
        Self::error(why, needed, "mend what hinders the check, and run it again")
    }

    /// A check that did not answer in time.
    #[must_use]
    pub fn late(seconds: u64) -> Self {
        let found = format!("no answer within {seconds} s");
        Self::error(found, "an answer", "look at what hangs: a file system that is not served, a service that is stuck")
    }

    /// Several findings under one identifier: the worst status, and all that is not well, or else all that is.
    #[must_use]
    pub fn together(findings: &[Self]) -> Self {
        let status = findings.iter().map(|one| one.status).max().unwrap_or(Status::Skipped);
        let shown =
            |one: &&Self| if status >= Status::Warning { one.status >= Status::Warning } else { one.status == status };
        let join = |field: fn(&Self) -> &str| {
            let mut texts: Vec<&str> = Vec::new();
            for text in findings.iter().filter(shown).map(field).filter(|text| !text.is_empty()) {
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            texts.join("; ")
        };
        Self { status, found: join(|one| &one.found), needed: join(|one| &one.needed), mend: join(|one| &one.mend) }
    }
}

/// What a check is about, in the order in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The host itself: processors, memory, swap, its name.
    Host,
    /// The kernel: its options, its switches, control groups.
    Kernel,
    /// Commands in `PATH`.
    Commands,
    /// Proxies and the firewall.
    Network,
    /// The container runtime and its images.
    Runtime,
    /// The kubelet.
    Kubelet,
    /// Ports and files of the control plane.
    ControlPlane,
    /// etcd, this host's or somebody else's.
    Etcd,
}

impl Group {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Kernel => "kernel",
            Self::Commands => "commands",
            Self::Network => "network",
            Self::Runtime => "runtime",
            Self::Kubelet => "kubelet",
            Self::ControlPlane => "control plane",
            Self::Etcd => "etcd",
        }
    }
}

/// All that a check may look at.
pub struct Scene {
    /// The machine.
    pub machine: Box<dyn Machine>,
    /// What it should become.
    pub cluster: Cluster,
    /// Whose control plane it has.
    pub standing: Standing,
}

impl Scene {
    /// A machine, and what it should become.
    #[must_use]
    pub fn new(machine: Box<dyn Machine>, cluster: Cluster) -> Self {
        let standing = Standing::of(&*machine);
        Self { machine, cluster, standing }
    }

    /// The kubeadm whose checks count for this release: see [`release::kubeadm_minor`].
    fn kubeadm(&self) -> u32 {
        release::kubeadm_minor(self.cluster.release.minor)
    }
}

/// What a check does.
pub type Ask = Box<dyn Fn(&Scene) -> Finding + Send>;

/// A check that is yet to be made.
pub struct Check {
    /// kubeadm's identifier. Several checks may share one.
    pub id: String,
    /// What it is about.
    pub group: Group,
    /// Makes it.
    pub ask: Ask,
}

impl Check {
    fn new(id: impl Into<String>, group: Group, ask: impl Fn(&Scene) -> Finding + Send + 'static) -> Self {
        Self { id: id.into(), group, ask: Box::new(ask) }
    }
}

/// The command whose output several checks go by.
pub const KUBELET_VERSION: [&str; 2] = ["kubelet", "--version"];

/// The identifier of the check that comes before all others.
pub const ROOT: &str = "IsPrivilegedUser";

/// Whether planekeeper runs as root: without that, no other check means anything.
#[must_use]
pub fn root() -> Check {
    Check::new(ROOT, Group::Host, |scene| {
        if scene.machine.is_root() {
            Finding::ok("root")
        } else {
            Finding::error("not root", "root", "run it with sudo")
        }
    })
}

/// Every check that follows, in the order in which results are told.
#[must_use]
pub fn checks(cluster: &Cluster) -> Vec<Check> {
    let mut checks = vec![
        Check::new("NumCPU", Group::Host, system::processors),
        Check::new("Mem", Group::Host, system::memory),
        Check::new("Swap", Group::Host, system::swap),
        Check::new("Hostname", Group::Host, hostname::hostname),
        Check::new(release::ID, Group::Host, release::supported),
        Check::new("SystemVerification", Group::Kernel, kernel::os_and_release),
        Check::new("SystemVerification", Group::Kernel, kernel::options),
        Check::new("SystemVerification", Group::Kernel, system::cgroups),
        Check::new("SystemVerification", Group::Kernel, runtime::docker),
        Check::new("RequiredIPVSKernelModulesAvailable", Group::Kernel, ipvs::modules),
    ];
    checks.extend(sysctls::checks(cluster));
    checks.extend(commands::checks());
    checks.extend([
        Check::new("Firewalld", Group::Network, services::firewall),
        Check::new("HTTPProxy", Group::Network, proxies::host),
        Check::new("HTTPProxyCIDR", Group::Network, proxies::subnets),
        Check::new("CRI", Group::Runtime, runtime::answers),
        Check::new("ContainerRuntimeVersion", Group::Runtime, runtime::tells_cgroup_driver),
        Check::new("ImagePull", Group::Runtime, runtime::images),
        Check::new("KubeletVersion", Group::Kubelet, system::kubelet_version),
    ]);
    checks.extend(services::checks(cluster));
    checks.extend(ports::checks(cluster));
    checks.extend(manifests::checks(cluster));
    checks.extend(etcd::checks());
    checks
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// kubeadm's identifier; each is there once.
    pub id: String,
    /// What it is about.
    pub group: Group,
    /// What was found.
    pub finding: Finding,
    /// It was an error, and counts as a warning since the user said so.
    pub ignored: bool,
}

/// The results of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of [`checks`].
    pub outcomes: Vec<Outcome>,
    /// What was to be ignored and is no check's identifier.
    pub unknown: Vec<String>,
}

impl Report {
    /// The results by identifier, with the errors that are to be ignored as warnings.
    #[must_use]
    pub fn new(found: Vec<(String, Group, Finding)>, ignore: &Ignore) -> Self {
        let mut grouped: Vec<(String, Group, Vec<Finding>)> = Vec::new();
        for (id, group, finding) in found {
            match grouped.iter_mut().find(|(known, ..)| *known == id) {
                Some((.., findings)) => findings.push(finding),
                None => grouped.push((id, group, vec![finding])),
            }
        }
        let outcome = |(id, group, findings): (String, Group, Vec<Finding>)| {
            let mut finding = Finding::together(&findings);
            let ignored = finding.status == Status::Error && ignore.covers(&id);
            if ignored {
                finding.status = Status::Warning;
            }
            Outcome { id, group, finding, ignored }
        };
        Self { outcomes: grouped.into_iter().map(outcome).collect(), unknown: Vec::new() }
    }

    /// Of a configuration that wants a release which this build does not know: nothing else can be checked then.
    #[must_use]
    pub fn of_unknown_release(found: &str) -> Self {
        let finding = release::unknown(found);
        Self::new(vec![(release::ID.to_owned(), Group::Host, finding)], &Ignore::default())
    }

    /// No check failed. Warnings are no reason to stop.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.with(Status::Error).next().is_none()
    }

    /// The results of one status.
    pub fn with(&self, status: Status) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.finding.status == status)
    }

    /// kubeadm would not go on either: nobody but root may.
    #[must_use]
    pub fn not_permitted(&self) -> bool {
        self.with(Status::Error).any(|outcome| outcome.id == ROOT)
    }
}

/// The families of addresses that a cluster uses: IPv4, IPv6. kubeadm goes by the subnets and the advertised address.
fn families(cluster: &Cluster) -> (bool, bool) {
    let of_subnets = subnets(cluster).filter_map(|subnet| subnet.parse::<Cidr>().ok()).map(|subnet| subnet.network);
    let addresses: Vec<IpAddr> = of_subnets.chain([cluster.endpoint.address]).collect();
    (addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6))
}

/// The subnets of Services, then those of Pods, as they were written: one, or one of each family.
fn subnets(cluster: &Cluster) -> impl Iterator<Item = &str> {
    let fields = [Some(&cluster.networking.service_subnet), cluster.networking.pod_subnet.as_ref()];
    fields.into_iter().flatten().flat_map(|subnets| subnets.split(',')).map(str::trim)
}

/// A path as kubeadm puts it into identifiers.
fn in_identifier(path: &str) -> String {
    path.replace('/', "-")
}

/// Whether etcd is this host's.
fn local_etcd(cluster: &Cluster) -> Option<&crate::cluster::LocalEtcd> {
    match &cluster.etcd {
        Etcd::Local(local) => Some(local),
        Etcd::External(_) => None,
    }
}

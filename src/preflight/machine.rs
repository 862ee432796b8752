//! What a check may ask of a machine: one seam, which tests put a machine in memory behind.
//!
//! Every question is answered in bounded time. An answer that could not be had is an error in words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::cluster::ExternalEtcd;

/// A machine. Nothing that is asked changes it.
#[allow(clippy::missing_errors_doc)] // said once, above
pub trait Machine: Send + Sync {
    /// planekeeper runs as root.
    fn is_root(&self) -> bool;
    /// How many processors it may run on.
    fn processors(&self) -> Result<usize, String>;
    /// Its memory, in bytes.
    fn memory(&self) -> Result<u64, String>;
    /// Environment variables that end in `_proxy`, in any case, and have a value.
    fn proxy_variables(&self) -> BTreeMap<String, String>;

    /// The text of a file; `None` where there is none.
    fn read(&self, path: &str) -> Result<Option<String>, String>;
    /// The names in a folder; `None` where there is none.
    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, String>;
    /// Whether something is at a path.
    fn exists(&self, path: &str) -> Result<bool, String>;
    /// Whether a command is in `PATH`.
    fn has_command(&self, name: &str) -> bool;
    /// What a command prints. The same words are run once, however often they are asked for.
    fn output(&self, words: &[&str]) -> Result<String, String>;

    /// Who listens on a TCP port.
    fn listeners(&self, port: u16) -> Result<Vec<Listener>, String>;
    /// Whether an address is one of this machine's.
    fn has_address(&self, address: IpAddr) -> Result<bool, String>;
    /// The addresses that a name resolves to.
    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
    /// Whether anything answers at an address, be it with a refusal.
    fn reach(&self, address: SocketAddr) -> Result<(), String>;

    /// A unit of systemd; `None` where there is no such unit.
    fn unit(&self, name: &str) -> Result<Option<Unit>, String>;
    /// The container runtime.
    fn runtime(&self) -> Result<Runtime, String>;
    /// Whether the container runtime tells its cgroup driver (CRI's `RuntimeConfig`).
    fn tells_cgroup_driver(&self) -> Result<bool, String>;
    /// Those of the images that the container runtime has.
    fn images(&self, references: &[String]) -> Result<BTreeSet<String>, String>;
    /// The version of an etcd that is somebody else's, at one of its URLs.
    fn etcd_version(&self, endpoint: &str, etcd: &ExternalEtcd) -> Result<String, String>;
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its address; unspecified is every address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whose it is, where that could be found out.
    pub process: Option<Process>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name of its program, without folders.
    pub program: String,
    /// Its `/proc/PID/cgroup`, which tells a Pod's processes and a service's.
    pub cgroup: String,
}

impl Process {
    /// It belongs to a container of the kubelet's, by its control group: the kubelet's own folder for Pods or, where it was told to make
    /// none, the container runtime's for containers.
    #[must_use]
    pub fn of_pod(&self) -> bool {
        ["kubepods", "cri-containerd", "/k8s.io/", "crio-"].iter().any(|part| self.cgroup.contains(part))
    }

    /// The service of systemd that it belongs to.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        let mut names = self.cgroup.lines().flat_map(|line| line.split('/'));
        names.rfind(|name| name.ends_with(".service") && !name.starts_with("user@"))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `active`, `activating`, `inactive`, `failed`.
    pub active: String,
    /// `enabled`, `disabled`, `static`, `masked`; empty where there is no unit file.
    pub enabled: String,
    /// Its main process, where it runs.
    pub pid: Option<u32>,
}

/// A container runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its name and version.
    pub version: String,
    /// Why it cannot run Pods, where it says so.
    pub not_ready: Option<String>,
}

//! A machine in memory, healthy until a test makes it otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Barrier;

use crate::cluster::{Cluster, ExternalEtcd};
use crate::preflight::machine::{Listener, Machine, Process, Runtime, Unit};
use crate::preflight::{Ignore, Report, Scene};

/// The machine.
pub(crate) struct Fake {
    pub(crate) root: bool,
    pub(crate) processors: usize,
    pub(crate) mebibytes: u64,
    pub(crate) proxies: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) folders: BTreeMap<String, Vec<String>>,
    pub(crate) no_commands: BTreeSet<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) unreachable: Vec<IpAddr>,
    pub(crate) units: BTreeMap<String, Unit>,
    pub(crate) runtime: Result<Runtime, String>,
    pub(crate) tells_cgroup_driver: bool,
    pub(crate) no_images: BTreeSet<String>,
    pub(crate) etcds: BTreeMap<String, String>,
    /// A file on a file system that hangs.
    pub(crate) hangs: Option<String>,
    /// Nothing that can fail is answered.
    pub(crate) silent: bool,
}

const OPTIONS: &str = "NAMESPACES NET_NS PID_NS IPC_NS UTS_NS CPUSETS MEMCG INET EXT4_FS PROC_FS \
    NETFILTER_XT_TARGET_REDIRECT NETFILTER_XT_MATCH_COMMENT FAIR_GROUP_SCHED CGROUPS CGROUP_BPF CGROUP_PIDS CGROUP_SCHED \
    CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER";

impl Fake {
    /// A host that is ready for the control plane of [`crate::cluster::fixture`].
    pub(crate) fn healthy() -> Self {
        let mut fake = Self {
            root: true,
            processors: 2,
            mebibytes: 1700,
            proxies: BTreeMap::new(),
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            no_commands: BTreeSet::new(),
            outputs: BTreeMap::new(),
            listeners: Vec::new(),
            addresses: ["10.0.0.10", "127.0.0.1", "::1"].map(|address| address.parse().unwrap()).into(),
            names: BTreeMap::from([("cp1".to_owned(), vec!["10.0.0.10".parse().unwrap()])]),
            unreachable: Vec::new(),
            units: BTreeMap::new(),
            runtime: Ok(Runtime { version: "containerd 2.3.6".to_owned(), not_ready: None }),
            tells_cgroup_driver: true,
            no_images: BTreeSet::new(),
            etcds: BTreeMap::new(),
            hangs: None,
            silent: false,
        };
        for (path, text) in [
            ("/proc/sys/kernel/ostype", "Linux\n"),
            ("/proc/sys/kernel/osrelease", "6.1.0-37-amd64\n"),
            ("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
            ("/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"),
            ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n"),
            ("/proc/sys/net/ipv4/ip_forward", "1\n"),
            ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n"),
            ("/proc/sys/net/ipv6/conf/default/forwarding", "1\n"),
            ("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n"),
        ] {
            fake.write(path, text);
        }
        let options = format!("CONFIG_{}=y\n", OPTIONS.split_whitespace().collect::<Vec<_>>().join("=y\nCONFIG_"));
        fake.write("/boot/config-6.1.0-37-amd64", &options);
        fake.says("kubelet --version", "Kubernetes v1.37.2\n");
        for service in ["kubelet", "containerd"] {
            fake.set_unit(service, "active", "enabled");
        }
        fake
    }

    /// The results of all checks but that for root, made one after the other.
    pub(crate) fn report(self, cluster: Cluster, ignore: &Ignore) -> Report {
        let scene = Scene::new(Box::new(self), cluster);
        let checks = super::checks(&scene.cluster).into_iter();
        Report::new(checks.map(|check| (check.id, check.group, (check.ask)(&scene))).collect(), ignore)
    }

    pub(crate) fn write(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.to_owned());
    }

    pub(crate) fn lacks_command(&mut self, name: &str) {
        self.no_commands.insert(name.to_owned());
    }

    pub(crate) fn says(&mut self, command: &str, text: &str) {
        self.outputs.insert(command.to_owned(), text.to_owned());
    }

    pub(crate) fn set_unit(&mut self, service: &str, active: &str, enabled: &str) {
        let unit = Unit { active: active.to_owned(), enabled: enabled.to_owned(), pid: None };
        self.units.insert(format!("{service}.service"), unit);
    }

    pub(crate) fn listens(&mut self, address: &str, port: u16, program: &str, cgroup: &str) {
        let process = Process { pid: 812, program: program.to_owned(), cgroup: format!("0::{cgroup}") };
        self.listeners.push(Listener { address: address.parse().unwrap(), port, process: Some(process) });
    }

    fn answer<T>(&self, answer: T) -> Result<T, String> {
        if self.silent { Err("no answer".to_owned()) } else { Ok(answer) }
    }
}

impl Machine for Fake {
    fn is_root(&self) -> bool {
        self.root
    }

    fn processors(&self) -> Result<usize, String> {
        self.answer(self.processors)
    }

    fn memory(&self) -> Result<u64, String> {
        self.answer(self.mebibytes << 20)
    }

    fn proxy_variables(&self) -> BTreeMap<String, String> {
        self.proxies.clone()
    }

    fn read(&self, path: &str) -> Result<Option<String>, String> {
        if self.hangs.as_deref() == Some(path) {
            Barrier::new(2).wait(); // for somebody who never comes
        }
        self.answer(self.files.get(path).cloned())
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, String> {
        self.answer(self.folders.get(folder).cloned())
    }

    fn exists(&self, path: &str) -> Result<bool, String> {
        self.answer(self.files.contains_key(path) || self.folders.contains_key(path))
    }

    fn has_command(&self, name: &str) -> bool {
        !self.no_commands.contains(name)
    }

    fn output(&self, words: &[&str]) -> Result<String, String> {
        let said = words.join(" ");
        self.outputs.get(&said).filter(|_| !self.silent).cloned().ok_or_else(|| format!("cannot run {said}"))
    }

    fn listeners(&self, port: u16) -> Result<Vec<Listener>, String> {
        self.answer(self.listeners.iter().filter(|listener| listener.port == port).cloned().collect())
    }

    fn has_address(&self, address: IpAddr) -> Result<bool, String> {
        self.answer(self.addresses.contains(&address))
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        self.names.get(name).filter(|_| !self.silent).cloned().ok_or_else(|| "no such name".to_owned())
    }

    fn reach(&self, address: SocketAddr) -> Result<(), String> {
        if self.unreachable.contains(&address.ip()) { Err("no route to host".to_owned()) } else { self.answer(()) }
    }

    fn unit(&self, name: &str) -> Result<Option<Unit>, String> {
        self.answer(self.units.get(name).cloned())
    }

    fn runtime(&self) -> Result<Runtime, String> {
        self.answer(())?;
        self.runtime.clone()
    }

    fn tells_cgroup_driver(&self) -> Result<bool, String> {
        self.answer(self.tells_cgroup_driver)
    }

    fn images(&self, references: &[String]) -> Result<BTreeSet<String>, String> {
        self.answer(references.iter().filter(|reference| !self.no_images.contains(*reference)).cloned().collect())
    }

    fn etcd_version(&self, endpoint: &str, _: &ExternalEtcd) -> Result<String, String> {
        self.etcds.get(endpoint).filter(|_| !self.silent).cloned().ok_or_else(|| "connection refused".to_owned())
    }
}

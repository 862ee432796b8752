//! This machine as the preflight checks ask it, and the checks run side by side.

mod etcd;
mod listeners;
mod output;

pub(in crate::host) use listeners::is_free;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, ExternalEtcd};
use crate::host::connections::Connections;
use crate::host::cri::Cri;
use crate::host::systemd::Systemd;
use crate::host::{chain, machine, pull};
use crate::preflight::machine::{Listener, Machine, Runtime, Unit};
use crate::preflight::{self, Finding, Ignore, KUBELET_VERSION, Report, Scene};

/// How long all checks together may take. Each question has its own, shorter bound, but for files, which may be on a file system that
/// hangs.
const ALL: Duration = Duration::from_secs(20);

/// How long a name may take to resolve: the C library asks each name server for five seconds, twice.
const RESOLVE: Duration = Duration::from_secs(5);

/// How long a connection within the host's own network may take.
const CONNECT: Duration = Duration::from_secs(1);

/// The most that is read of a file, in bytes: a kernel's configuration has some hundred thousand.
const READ_MAX: u64 = 4 << 20;

/// The longest of all answers, which is under way.
pub struct Begun(Arc<output::Outputs>);

/// Asks for what takes longest, which needs no configuration: the checks follow once there is one.
///
/// # Errors
/// The system gives no threads.
pub fn begin() -> io::Result<Begun> {
    let outputs: Arc<output::Outputs> = Arc::default();
    if is_root() {
        let outputs = Arc::clone(&outputs);
        thread::Builder::new().spawn(move || outputs.of(&KUBELET_VERSION))?;
    }
    Ok(Begun(outputs))
}

/// Makes every check on this machine, side by side, the one for root first.
///
/// # Errors
/// The system gives no threads.
pub fn run(Begun(outputs): Begun, cluster: &Cluster, ignore: &Ignore) -> io::Result<Report> {
    let this = ThisMachine::new(cluster, outputs)?;
    Ok(run_on(Box::new(this), cluster.clone(), ignore, ALL))
}

/// Makes every check on a machine. One that has not answered when the time is over is told as such, and left behind.
fn run_on(machine: Box<dyn Machine>, cluster: Cluster, ignore: &Ignore, limit: Duration) -> Report {
    let scene = Arc::new(Scene::new(machine, cluster));
    let root = preflight::root();
    let first = (root.id, root.group, (root.ask)(&scene));
    let report = Report::new(vec![first.clone()], ignore);
    if !report.passed() {
        return report;
    }
    let (sender, answers) = channel();
    let mut found = Vec::new();
    for (index, check) in preflight::checks(&scene.cluster).into_iter().enumerate() {
        found.push((check.id, check.group, Finding::late(limit.as_secs())));
        let (sender, scene) = (sender.clone(), Arc::clone(&scene));
        // A thread that the system does not give is a check without an answer.
        let _ = thread::Builder::new().spawn(move || sender.send((index, (check.ask)(&scene))));
    }
    drop(sender);
    let end = Instant::now() + limit;
    while let Ok((index, finding)) = answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
        found[index].2 = finding;
    }
    found.insert(0, first);
    let report = Report::new(found, ignore);
    let unknown = ignore.unknown(report.outcomes.iter().map(|outcome| outcome.id.as_str()));
    Report { unknown, ..report }
}

/// The machine that planekeeper runs on.
struct ThisMachine {
    cri: Cri,
    systemd: Systemd,
    outputs: Arc<output::Outputs>,
    listeners: listeners::Listeners,
    tokio: Connections,
}

impl ThisMachine {
    fn new(cluster: &Cluster, outputs: Arc<output::Outputs>) -> io::Result<Self> {
        let tokio = Connections::new()?;
        Ok(Self {
            cri: Cri::new(&cluster.node.cri_socket, tokio.handle().clone()),
            systemd: Systemd::new(tokio.handle().clone()),
            outputs,
            listeners: listeners::Listeners::default(),
            tokio,
        })
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn failed(path: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("cannot read {path}: {error}")
}

/// What is there, or nothing.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &str) -> Result<Option<String>, String> {
    let Some(file) = absent(fs::File::open(path)).map_err(failed(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Does what may block, for so long.
fn within<T: Send + 'static>(limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, answer) = channel();
    thread::Builder::new().spawn(move || sender.send(act())).map_err(|error| error.to_string())?;
    answer.recv_timeout(limit).map_err(|_| format!("no answer within {} s", limit.as_secs()))
}

impl Machine for ThisMachine {
    fn is_root(&self) -> bool {
        is_root()
    }

    /// Those that this process may run on, as Go counts them.
    fn processors(&self) -> Result<usize, String> {
        let status = read("/proc/self/status")?.unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"));
        let allowed = allowed.ok_or("/proc/self/status does not tell the processors")?;
        Ok(allowed.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit.count_ones() as usize).sum())
    }

    fn memory(&self) -> Result<u64, String> {
        let info = rustix::system::sysinfo();
        Ok(info.totalram as u64 * u64::from(info.mem_unit))
    }

    fn proxy_variables(&self) -> BTreeMap<String, String> {
        machine::proxy_variables()
    }

    fn read(&self, path: &str) -> Result<Option<String>, String> {
        read(path)
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, String> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // A file in its place too is told.
            Err(error) => return Err(failed(folder)(error)),
        };
        let names: io::Result<Vec<String>> =
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
        let mut names = names.map_err(failed(folder))?;
        names.sort();
        Ok(Some(names))
    }

    fn exists(&self, path: &str) -> Result<bool, String> {
        Path::new(path).try_exists().map_err(failed(path))
    }

    fn has_command(&self, name: &str) -> bool {
        output::in_path(name)
    }

    fn output(&self, words: &[&str]) -> Result<String, String> {
        self.outputs.of(words)
    }

    fn listeners(&self, port: u16) -> Result<Vec<Listener>, String> {
        self.listeners.on(port)
    }

    /// Only an address of this machine can be bound to.
    fn has_address(&self, address: IpAddr) -> Result<bool, String> {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Ok(false),
            Err(error) => Err(format!("cannot tell whether {address} is an address of this host: {error}")),
        }
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let name = name.to_owned();
        let found = within(RESOLVE, move || (name.as_str(), 0).to_socket_addrs())?;
        let mut addresses: Vec<IpAddr> =
            found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect();
        addresses.dedup();
        Ok(addresses)
    }

    fn reach(&self, address: SocketAddr) -> Result<(), String> {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn unit(&self, name: &str) -> Result<Option<Unit>, String> {
        let unit = self.systemd.unit(name).map_err(|error| chain(&error))?;
        let known = unit.load_state != "not-found";
        Ok(known.then_some(Unit { active: unit.active_state, enabled: unit.unit_file_state, pid: unit.main_pid }))
    }

    fn runtime(&self) -> Result<Runtime, String> {
        let version = self.cri.version().map_err(|error| chain(&error))?;
        let conditions = self.cri.status().map_err(|error| chain(&error))?;
        let bad = conditions.into_iter().find(|condition| condition.name == "RuntimeReady" && !condition.status);
        Ok(Runtime {
            version: format!("{} {}", version.name, version.version),
            not_ready: bad.map(|condition| format!("{} {}", condition.reason, condition.message)),
        })
    }

    fn tells_cgroup_driver(&self) -> Result<bool, String> {
        self.cri.tells_cgroup_driver().map_err(|error| chain(&error))
    }

    fn images(&self, references: &[String]) -> Result<BTreeSet<String>, String> {
        let present = pull::present(&self.cri, references).map_err(|error| chain(&error))?;
        Ok(present.into_keys().collect())
    }

    fn etcd_version(&self, endpoint: &str, external: &ExternalEtcd) -> Result<String, String> {
        etcd::version(self.tokio.handle(), endpoint, external)
    }
}

#[cfg(test)]
mod tests;

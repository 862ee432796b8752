//! Taking a host back to bare: looking for what [`crate::reset`] decides on, and doing it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;

use crate::cluster::Cluster;
use crate::desired::directories::{KUBELET, STATE};
use crate::desired::{audit, directories, kubeconfig, live, static_pod};
use crate::host::connections::Connections;
use crate::host::cri::{Cri, CriError, PodSeen, Scope};
use crate::host::etcd::Etcd;
use crate::host::files::{Disk, FileSystem, Look, temporary};
use crate::host::side_by_side::side_by_side;
use crate::host::systemd::Systemd;
use crate::host::{ApplyError, chain, machine};
use crate::reset::places::{self, EtcdPod, Places, Texts};
use crate::reset::{self, Action, Answer, EtcdFound, Folder, Found, Holds, Member};

/// The name of the lock in planekeeper's folder, which is held meanwhile.
const LOCK: &str = "lock";

/// kubeadm's second kubeconfig of the kubelet, while it joins.
const BOOTSTRAP_KUBELET: &str = "bootstrap-kubelet.conf";

/// How many Pods are removed side by side.
const WORKERS: usize = 8;

/// How often removing a Pod is tried: as often as by kubeadm.
const TRIES: usize = 5;

/// How long after a try the next one comes.
const PAUSE: Duration = Duration::from_secs(1);

/// For how long the removal of an etcd member is tried anew. kubeadm gives it two minutes by default.
const MEMBER: Duration = Duration::from_secs(30);

/// How often it is looked whether etcd has let go of its database, and how long is between.
const LET_GO: (usize, Duration) = (50, Duration::from_millis(100));

/// A host that is taken back to bare.
pub struct Reset {
    disk: Disk,
    places: Places,
    cri: Cri,
    systemd: Systemd,
    runtime: Connections,
}

impl Reset {
    /// This host, with what its own files and the configuration, if there is one, say about where things are.
    ///
    /// # Errors
    /// The system gives no threads, or no root folder.
    pub fn new(cluster: Option<&Cluster>) -> io::Result<Self> {
        let disk = Disk::open(Path::new("/"))?;
        let runtime = Connections::new()?;
        let places = places::places(&texts(&disk), cluster);
        let cri = Cri::new(&places.cri_socket, runtime.handle().clone());
        let systemd = Systemd::new(runtime.handle().clone());
        Ok(Self { disk, places, cri, systemd, runtime })
    }

    /// Looks at what is there. The files that are kept, such as the configuration, lie in no folder that is emptied.
    ///
    /// # Errors
    /// A folder that nobody means to empty, or that cannot be looked at.
    pub fn look(&self, kept: &[String]) -> Result<Found, String> {
        let folders = self.folders(kept)?;
        let mounts = fs::canonicalize(KUBELET).map_or_else(|_| Ok(Vec::new()), |real| mounts(&real));
        Ok(Found {
            etcd: self.places.etcd.as_ref().and_then(|etcd| self.etcd(etcd, &folders)),
            kubelet: self.kubelet(),
            mounts: mounts.map_err(|error| format!("cannot read the mounts: {error}"))?.len(),
            pods: self.pods(),
            folders,
            files: self.files(),
            records: !self.records().is_empty(),
        })
    }

    fn folders(&self, kept: &[String]) -> Result<Vec<Folder>, String> {
        let mut found = Vec::new();
        for (holds, path) in reset::folders(&self.places) {
            places::may_empty(&path, kept)?;
            let real = match fs::canonicalize(&path) {
                Ok(real) => real.display().to_string(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("cannot look at {path}: {error}")),
            };
            places::may_empty(&real, kept)?;
            let names = self.disk.list(&real).map_err(|error| format!("cannot look at {path}: {error}"))?;
            if !names.is_empty() {
                found.push(Folder { holds, path, real });
            }
        }
        Ok(found)
    }

    /// Kubeconfigs, what a killed run has staged beside them, and the audit policy where planekeeper has put it there.
    fn files(&self) -> Vec<String> {
        let kubeconfigs = kubeconfig::NAMES.into_iter().chain([BOOTSTRAP_KUBELET]).map(kubeconfig::path);
        let policy = (!self.records().is_empty()).then(|| audit::POLICY.to_owned());
        let paths = kubeconfigs.chain(policy).flat_map(|path| [temporary(&path), path]);
        paths.filter(|path| !matches!(self.disk.look(path), Ok(Look::Absent))).collect()
    }

    /// The names of planekeeper's own files, but for the lock.
    fn records(&self) -> Vec<String> {
        let names = self.disk.list(STATE).unwrap_or_default();
        names.into_iter().filter(|name| name != LOCK).collect()
    }

    fn kubelet(&self) -> Answer<bool> {
        match self.systemd.unit(live::KUBELET) {
            Ok(unit) => Answer::Known(!matches!(unit.active_state.as_str(), "inactive" | "failed")),
            Err(error) => Answer::Unknown(ApplyError::new("ask", "systemd", error).chain()),
        }
    }

    /// How many Pods there are.
    fn pods(&self) -> Answer<usize> {
        self.sandboxes().map_or_else(Answer::Unknown, |pods| Answer::Known(pods.len()))
    }

    /// The Pods. A runtime that was stopped takes its socket away and leaves Pods running; where none runs, none needs it.
    fn sandboxes(&self) -> Result<Vec<PodSeen>, String> {
        match self.cri.pods(Scope::All) {
            Err(error) if error.is_unreachable() && !pods_run() => {
                let socket = &self.places.cri_socket;
                let there = Path::new(socket.strip_prefix("unix://").unwrap_or(socket)).exists();
                if there { Err(chain(&error)) } else { Ok(Vec::new()) }
            }
            pods => pods.map_err(|error| chain(&error)),
        }
    }

    /// etcd with its members; none where it has never run on this host and has joined nobody.
    fn etcd(&self, etcd: &EtcdPod, folders: &[Folder]) -> Option<EtcdFound> {
        let ran = folders.iter().any(|folder| folder.holds == Holds::EtcdData);
        (ran || etcd.joined).then(|| EtcdFound {
            name: etcd.name.clone(),
            members: self.members(etcd).map_or_else(Answer::Unknown, Answer::Known),
            peer_urls: etcd.peer_urls.clone(),
            joined: etcd.joined,
        })
    }

    /// The members, as the first that answers knows them.
    fn members(&self, etcd: &EtcdPod) -> Result<Vec<Member>, String> {
        let client = self.client()?;
        let mut why = "its manifest does not say where it listens".to_owned();
        for endpoint in &etcd.endpoints {
            match client.members(endpoint) {
                Ok(members) => return Ok(members),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// A client of etcd, with the certificate that kubeadm too uses, or else the API server's.
    fn client(&self) -> Result<Etcd, String> {
        let folder = &self.places.certificates;
        let read = |name: &str| {
            let path = format!("{folder}/{name}");
            let found = self.disk.read(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
            found.map(|(bytes, _)| bytes).ok_or_else(|| format!("there is no {path}"))
        };
        let pair = |name: &str| Ok((read(&format!("{name}.crt"))?, read(&format!("{name}.key"))?));
        let (certificate, key) = pair("etcd/healthcheck-client")
            .or_else(|why: String| pair("apiserver-etcd-client").map_err(|_: String| why))?;
        Ok(Etcd::new(&read("etcd/ca.crt")?, &certificate, &key, self.runtime.handle().clone()))
    }

    /// What stays on the host, and what can be done about it; as `kubeadm reset` says it.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let filled = |path: &str| self.disk.list(path).is_ok_and(|names| !names.is_empty());
        let mut left = vec![
            "images, in the container runtime".to_owned(),
            "rules of the network (iptables, nftables, IPVS) and interfaces that network plugins made: a reboot drops them"
                .to_owned(),
        ];
        let folders = [
            ("/etc/cni/net.d", "the configuration of the network plugin"),
            (directories::AUDIT_LOGS, "audit logs"),
            ("/etc/kubernetes/tmp", "backups that kubeadm made"),
        ];
        left.extend(folders.iter().filter(|(path, _)| filled(path)).map(|(path, what)| format!("{path}: {what}")));
        if self.places.etcd_data.is_none() {
            left.push("the data of etcd, which is not this host's".to_owned());
        }
        let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
        left.push(format!("kubeconfigs of people, such as {home}/.kube/config"));
        let node = machine::hostname().to_lowercase();
        left.push(format!("the Node, where the cluster goes on without this host: kubectl delete node {node}"));
        left
    }

    /// Does one step.
    ///
    /// # Errors
    /// The operation that failed, and why.
    pub fn act(&self, action: &Action) -> Result<(), String> {
        match action {
            Action::RemoveMember { member, others } => self.remove_member(member, others),
            Action::StopKubelet => self.systemd.stop(live::KUBELET).map_err(|error| chain(&error)),
            Action::Unmount(_) => unmount(),
            Action::RemovePods(_) => self.remove_pods(),
            Action::Empty(folder) => self.empty(folder),
            Action::RemoveFile(path) => {
                self.remove_file(path).map_err(|error| format!("cannot delete {path}: {error}"))
            }
            Action::Forget => self.disk.clear(STATE, LOCK).map_err(|error| error.to_string()),
        }
    }

    /// Through the other members: this one ends as soon as it is no longer one of them. Tried for a while, as by kubeadm: etcd
    /// refuses changes while another member has only just joined.
    fn remove_member(&self, member: &Member, others: &[Member]) -> Result<(), String> {
        let client = self.client()?;
        let begun = Instant::now();
        loop {
            let Err(why) = remove_through(&client, member, others) else { return Ok(()) };
            if begun.elapsed() >= MEMBER {
                return Err(format!("{why}; remove it on another member: etcdctl member remove {:x}", member.id));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Pods with a network of their own go first: their network plugins may need the API server, which is among the static ones.
    fn remove_pods(&self) -> Result<(), String> {
        let is_static = |pod: &PodSeen| pod.annotations.contains_key("kubernetes.io/config.source") && !from_api(pod);
        let (last, first): (Vec<_>, Vec<_>) = self.sandboxes()?.into_iter().partition(is_static);
        let failed: Vec<String> = [first, last].iter().flat_map(|pods| self.remove_all(pods)).collect();
        match failed.split_first() {
            None => Ok(()),
            Some((first, [])) => Err(first.clone()),
            Some((first, others)) => Err(format!("{first} (and {} more Pods)", others.len())),
        }
    }

    /// Removes Pods side by side; what failed, in words.
    fn remove_all(&self, pods: &[PodSeen]) -> Vec<String> {
        let remove = |pod: &PodSeen| {
            let failed = self.remove_pod(&pod.id).err()?;
            Some(format!("{}/{}: {}", pod.namespace, pod.name, chain(&failed)))
        };
        let failed: Vec<_> = side_by_side(pods, WORKERS, remove);
        failed.into_iter().flatten().collect()
    }

    fn remove_pod(&self, id: &str) -> Result<(), CriError> {
        let once = || self.cri.stop_pod(id).and_then(|()| self.cri.remove_pod(id));
        let mut result = once();
        for _ in 1..TRIES {
            match &result {
                // The runtime had two minutes for it; more of them would only make a person wait.
                Err(error) if !error.is_late() => {}
                _ => break,
            }
            std::thread::sleep(PAUSE);
            result = once();
        }
        result
    }

    fn empty(&self, folder: &Folder) -> Result<(), String> {
        if folder.holds == Holds::EtcdData {
            let_go(&folder.real)?;
        }
        self.disk.clear(&folder.real, "").map_err(|error| error.to_string())
    }

    /// Removes a file, and the folder of the audit policy once it is empty.
    fn remove_file(&self, path: &str) -> io::Result<()> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let folder = crate::host::files::parent(path);
        if path == audit::POLICY && self.disk.list(folder)?.is_empty() {
            self.disk.remove_directory(folder)?;
        }
        Ok(())
    }
}

/// Asks each member once.
fn remove_through(client: &Etcd, member: &Member, others: &[Member]) -> Result<(), String> {
    let mut why = "no other member says where it can be reached".to_owned();
    for endpoint in others.iter().chain([member]).flat_map(|member| &member.client_urls) {
        match client.remove(endpoint, member.id) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
        // The answer may have been lost, and not the removal.
        if let Ok(members) = client.members(endpoint)
            && members.iter().all(|other| other.id != member.id)
        {
            return Ok(());
        }
    }
    Err(why)
}

fn from_api(pod: &PodSeen) -> bool {
    pod.annotations.get("kubernetes.io/config.source").is_some_and(|source| source == "api")
}

/// A process of a Pod runs. The kubelet puts all of them below a control group of this name.
fn pods_run() -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let group = |process: fs::DirEntry| fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
    processes.filter_map(Result::ok).any(|process| group(process).contains("kubepods"))
}

/// The files that say where things are.
fn texts(disk: &Disk) -> Texts {
    let read = |path: &str| String::from_utf8(disk.read(path).ok()??.0).ok();
    let kubelet = |name: &str| read(&format!("{KUBELET}/{name}"));
    Texts {
        etcd: read(&static_pod::path("etcd")),
        api_server: read(&static_pod::path("kube-apiserver")),
        kubelet: [kubelet("instance-config.yaml"), kubelet("config.yaml")],
        kubelet_flags: kubelet("kubeadm-flags.env"),
    }
}

fn mounts(folder: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mounts")?;
    Ok(places::mounts_below(&text, &folder.display().to_string()))
}

/// Unmounts what is mounted below the kubelet's folder, as kubeadm does: a mount that is busy stays, and is said.
fn unmount() -> Result<(), String> {
    let real = match fs::canonicalize(KUBELET) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        real => real.map_err(|error| format!("cannot look at {KUBELET}: {error}"))?,
    };
    let points = mounts(&real).map_err(|error| format!("cannot read the mounts: {error}"))?;
    let mut failed = Vec::new();
    for point in points {
        match rustix::mount::unmount(&point, UnmountFlags::NOFOLLOW) {
            // It went with another mount of the same place.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => failed.push(format!("{point}: {}", io::Error::from(error))),
        }
    }
    match failed.split_first() {
        None => Ok(()),
        Some((first, [])) => Err(format!("cannot unmount {first}")),
        Some((first, others)) => Err(format!("cannot unmount {first} (and {} more)", others.len())),
    }
}

/// Waits until no etcd has its database open any more: it locks the file as long as it runs, however it was started.
fn let_go(data: &str) -> Result<(), String> {
    let path = format!("{data}/member/snap/db");
    let database = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        database => database.map_err(|error| format!("cannot open {path}: {error}"))?,
    };
    let (tries, pause) = LET_GO;
    for _ in 0..tries {
        match database.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(pause),
            Err(fs::TryLockError::Error(error)) => return Err(format!("cannot lock {path}: {error}")),
        }
    }
    Err(format!("an etcd still runs on {data}; stop it first"))
}

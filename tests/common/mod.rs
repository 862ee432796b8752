//! What the tests of the laws share: clusters from configurations, hosts in memory, and file systems that fail.
#![allow(dead_code, missing_docs, clippy::missing_panics_doc, clippy::must_use_candidate)] // each test uses its part
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod machine;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use planekeeper::cluster::Cluster;
use planekeeper::config::{self, PatchFile, Source};
use planekeeper::engine::{self, Report};
use planekeeper::facts::Machine;
use planekeeper::host::files::{FileSystem, Look, Writer};
use planekeeper::host::local::Setting;
use planekeeper::host::memory::Memory;
use planekeeper::host::sandbox::Sandbox;
use planekeeper::observed::Mode;
use planekeeper::problem::Problem;

/// 2026-11-22T00:00:00Z: the tests' clock stands still.
pub const NOW: i64 = 1_795_305_600;

pub fn machine() -> Machine {
    let address: IpAddr = "192.0.2.10".parse().unwrap();
    Machine { hostname: "golden".into(), default_address: Some(address), proxy_variables: BTreeMap::new() }
}

pub fn setting() -> Setting {
    Setting {
        hostname: "golden".into(),
        now: || NOW,
        owner: planekeeper::facts::Owner::default(),
        ca_folders: ["/etc/ca-certificates".to_owned()].into(),
        systemd_resolved: false,
    }
}

/// The cluster that a text describes.
pub fn try_cluster(text: &str, patches: &[PatchFile]) -> Result<Cluster, Vec<Problem>> {
    let sources = [Source { name: "cluster.yaml".into(), text: text.into() }];
    config::parse(&sources).complete(&machine(), patches).map(|loaded| loaded.cluster)
}

/// The cluster that a text describes, which is valid.
pub fn cluster(text: &str) -> Cluster {
    try_cluster(text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The cluster of a file with its patches.
pub fn cluster_of_file(path: &Path) -> Cluster {
    let text = std::fs::read_to_string(path).unwrap();
    let sources = [Source { name: path.display().to_string(), text }];
    let documents = config::parse(&sources);
    let patches = documents.patches_directory().map(|folder| patch_files(&path.parent().unwrap().join(folder)));
    let loaded = documents.complete(&machine(), &patches.unwrap_or_default());
    loaded.unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display())).cluster
}

fn patch_files(folder: &Path) -> Vec<PatchFile> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| PatchFile { name: name(path), text: std::fs::read_to_string(path).unwrap() }).collect()
}

/// A configuration whose keys are made in no time.
pub const SMALL: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: abcdef.0123456789abcdef
nodeRegistration:
  name: cp1
localAPIEndpoint:
  advertiseAddress: 192.0.2.10
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
encryptionAlgorithm: ECDSA-P256
networking:
  podSubnet: 10.244.0.0/16
";

/// [`SMALL`] with an audit policy and a PlanekeeperConfiguration.
pub fn with_settings(settings: &str) -> String {
    format!("{SMALL}---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\n{settings}")
}

/// Reconciles with one worker: steps in their order.
pub fn reconcile<F: FileSystem>(files: F, cluster: &Cluster, last_good: Option<&Cluster>) -> Report {
    engine::reconcile(&Sandbox::new(files, setting()), cluster, last_good, 1, &|_| {}).unwrap()
}

/// Reconciles a host in memory, which must converge.
pub fn converge(files: &Memory, cluster: &Cluster) {
    let report = reconcile(View(files), cluster, None);
    assert!(report.converged(), "{report:#?}");
}

/// Puts a file where there is none.
pub fn put(files: &Memory, path: &str, content: &[u8], mode: Mode) {
    let parents: Vec<_> = Path::new(path).ancestors().skip(1).collect();
    for folder in parents.iter().rev().filter(|folder| folder.parent().is_some()) {
        let _ = files.create_directory(&folder.to_string_lossy()); // it may be there
    }
    let mut handle = files.create(path).unwrap();
    files.write(&mut handle, content).unwrap();
    files.grant(&handle, mode).unwrap();
}

/// Changes what is in a file that is there.
pub fn rewrite(files: &Memory, path: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let (content, mode) = files.read(path).unwrap().unwrap_or_else(|| panic!("{path} is not there"));
    Writer::new(View(files)).write(path, &change(content), mode).unwrap();
}

/// Puts a file of one host on another, where there is none.
pub fn copy(from: &Memory, to: &Memory, path: &str) {
    let (content, mode) = from.read(path).unwrap().unwrap_or_else(|| panic!("{path} is not there"));
    put(to, path, &content, mode);
}

/// What happens at an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The effect fails once with this error number, and has not happened.
    Error(i32),
    /// The process is killed before the effect.
    KillBefore,
    /// The process is killed after the effect.
    KillAfter,
    /// The process is killed when half of a write is done.
    KillAmid,
}

/// A file system that counts effects and has a fault at one of them.
pub struct Faulty<'a> {
    pub files: &'a Memory,
    pub at: usize,
    pub fault: Option<Fault>,
    pub effects: AtomicUsize,
    /// Runs after each effect.
    pub after: Box<dyn Fn(&Memory) + Sync + 'a>,
}

impl<'a> Faulty<'a> {
    pub fn new(files: &'a Memory, at: usize, fault: Option<Fault>) -> Self {
        Self { files, at, fault, effects: AtomicUsize::new(0), after: Box::new(|_| {}) }
    }

    fn effect<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.effect_or_half(act, || ())
    }

    fn effect_or_half<T>(&self, act: impl FnOnce() -> io::Result<T>, half: impl FnOnce()) -> io::Result<T> {
        let killed = || io::Error::other("killed");
        let number = self.effects.fetch_add(1, Ordering::SeqCst);
        let result = match (number.cmp(&self.at), self.fault) {
            (std::cmp::Ordering::Equal, Some(Fault::Error(number))) => Err(io::Error::from_raw_os_error(number)),
            (std::cmp::Ordering::Equal, Some(Fault::KillBefore)) => Err(killed()),
            (std::cmp::Ordering::Equal, Some(Fault::KillAfter)) => act().and(Err(killed())),
            (std::cmp::Ordering::Equal, Some(Fault::KillAmid)) => {
                half();
                Err(killed())
            }
            (std::cmp::Ordering::Greater, Some(Fault::KillBefore | Fault::KillAfter | Fault::KillAmid)) => {
                Err(killed())
            }
            _ => act(),
        };
        (self.after)(self.files);
        result
    }
}

/// A host in memory as a file system, by reference.
pub struct View<'a>(pub &'a Memory);

macro_rules! reads {
    ($files:ident) => {
        type Handle = <Memory as FileSystem>::Handle;

        fn look(&self, path: &str) -> io::Result<Look> {
            self.$files().look(path)
        }
        fn look_through(&self, path: &str) -> io::Result<Look> {
            self.$files().look_through(path)
        }
        fn read(&self, path: &str) -> io::Result<Option<(Vec<u8>, Mode)>> {
            self.$files().read(path)
        }
        fn list(&self, path: &str) -> io::Result<Vec<String>> {
            self.$files().list(path)
        }
    };
}

macro_rules! effects {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> io::Result<$result> {
            self.effect(|| self.files().$name($($argument),*))
        })*
    };
}

impl View<'_> {
    fn files(&self) -> &Memory {
        self.0
    }

    #[allow(clippy::unused_self)]
    fn effect<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        act()
    }
}

impl Faulty<'_> {
    fn files(&self) -> &Memory {
        self.files
    }
}

type Handle = <Memory as FileSystem>::Handle;

impl FileSystem for View<'_> {
    reads!(files);
    effects! {
        create(path: &str) -> Handle;
        write(handle: &mut Handle, bytes: &[u8]) -> ();
        grant(handle: &Handle, mode: Mode) -> ();
        sync(handle: &Handle) -> ();
        rename(from: &str, to: &str) -> ();
        sync_directory(path: &str) -> ();
        create_directory(path: &str) -> ();
        set_mode(path: &str, mode: Mode) -> ();
        link(path: &str, target: &str) -> ();
        remove_file(path: &str) -> ();
        remove_directory(path: &str) -> ();
    }
}

impl FileSystem for Faulty<'_> {
    reads!(files);
    effects! {
        create(path: &str) -> Handle;
        grant(handle: &Handle, mode: Mode) -> ();
        sync(handle: &Handle) -> ();
        rename(from: &str, to: &str) -> ();
        sync_directory(path: &str) -> ();
        create_directory(path: &str) -> ();
        set_mode(path: &str, mode: Mode) -> ();
        link(path: &str, target: &str) -> ();
        remove_file(path: &str) -> ();
        remove_directory(path: &str) -> ();
    }

    fn write(&self, handle: &mut Handle, bytes: &[u8]) -> io::Result<()> {
        let mut torn = *handle;
        self.effect_or_half(
            || self.files.write(handle, bytes),
            || {
                let _ = self.files.write(&mut torn, &bytes[..bytes.len() / 2]);
            },
        )
    }
}

//! The commands that look at a host or change it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::certs;
use crate::cli::arguments::{Format, Sandbox as Place};
use crate::cli::configuration::{self, Configuration};
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::Progress;
use crate::cli::{json, output, text};
use crate::cluster::Cluster;
use crate::engine::{self, Pass};
use crate::facts::Facts;
use crate::host::Host;
use crate::host::files::{Disk, FileSystem};
use crate::host::machine;
use crate::host::sandbox::{Sandbox, Setting};
use crate::record::{self, Record};

/// Where the lock is, below the root.
const LOCK: &str = "var/lib/planekeeper/lock";

/// What a person needs to recognise a run by.
pub struct Context<'a> {
    /// The cluster that is wanted.
    pub cluster: &'a Cluster,
    /// The configuration, as it was named.
    pub config: &'a Path,
}

/// A host in a folder, and the configuration that was last in force on it.
struct Opened {
    sandbox: Sandbox<Disk>,
    last_good: LastGood,
    last_text: Option<String>,
}

/// The configuration that was last in force.
enum LastGood {
    /// There is none, or none that this build accepts.
    None,
    /// The one that is wanted now.
    Wanted,
    /// Another.
    Other(Box<Cluster>),
}

impl LastGood {
    fn cluster<'a>(&'a self, wanted: &'a Cluster) -> Option<&'a Cluster> {
        match self {
            Self::None => None,
            Self::Wanted => Some(wanted),
            Self::Other(cluster) => Some(cluster),
        }
    }
}

fn setting() -> Setting {
    Setting {
        hostname: machine::hostname(),
        now: machine::now,
        owner: machine::owner(),
        ca_folders: machine::ca_folders(),
        systemd_resolved: machine::systemd_resolved(),
    }
}

/// Opens a host, on which a configuration is wanted.
fn open(root: &Path, wanted: &Record) -> Result<Opened, Failure> {
    let disk = Disk::open(root).map_err(|error| Failure::of_io("open", root, &error))?;
    let read = disk.read(record::PATH);
    let read =
        read.map_err(|error| Failure::of_io("read", &root.join(record::PATH.trim_start_matches('/')), &error))?;
    let last_text = read.and_then(|(bytes, _)| String::from_utf8(bytes).ok());
    let last_good = match last_text.as_deref() {
        None => LastGood::None,
        Some(text) if text == wanted.to_text() => LastGood::Wanted,
        Some(text) => Record::cluster(text, &machine::machine())
            .map_or(LastGood::None, |cluster| LastGood::Other(Box::new(cluster))),
    };
    Ok(Opened { sandbox: Sandbox::new(disk, setting()), last_good, last_text })
}

/// A sandbox is a folder of its own: the root of the running system is no place for one.
fn refuse_system_root(root: &Path) -> Result<(), Failure> {
    let same = match (fs::canonicalize(root), fs::canonicalize("/")) {
        (Ok(root), Ok(system)) => root == system,
        _ => false,
    };
    if same {
        let message = "--root is the root of this system: a sandbox needs a folder of its own, such as ./sandbox";
        return Err(Failure::new(Exit::WrongCall, message));
    }
    Ok(())
}

/// Makes the root and takes the lock, which lasts as long as the file is open.
fn lock(root: &Path) -> Result<File, Failure> {
    let path = root.join(LOCK);
    let folder = path.parent().unwrap_or(root);
    if !folder.is_dir() {
        // Whatever the umask: nobody else writes here, and a mode that is too tight is put right as drift.
        let create = |folder: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(folder);
        let made = create(folder.parent().unwrap_or(root), 0o755).and_then(|()| create(folder, 0o700));
        made.map_err(|error| Failure::of_io("create", folder, &error))?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| Failure::of_io("open the lock", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Failure::new(
            Exit::Locked,
            format!("another planekeeper works on {}; let it end, or stop it", root.display()),
        )),
        Err(fs::TryLockError::Error(error)) => Err(Failure::of_io("lock", &path, &error)),
    }
}

/// `reconcile`.
///
/// # Errors
/// The configuration is invalid, the host is locked or cannot be read.
pub fn reconcile(config: &Path, place: &Place, format: Format) -> Result<Exit, Failure> {
    refuse_system_root(&place.root)?;
    let Configuration { loaded, record } = configuration::load(config)?;
    let cluster = loaded.cluster;
    let _lock = lock(&place.root)?;
    let Opened { sandbox, last_good, last_text } = open(&place.root, &record)?;
    let progress = Progress::new();
    let tell = |event: engine::Event<'_>| progress.tell(&event);
    let report = engine::reconcile(&sandbox, &cluster, last_good.cluster(&cluster), engine::workers(), &tell);
    progress.clear();
    let report = report.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let converged = report.converged();
    let text = record.to_text();
    if converged && last_text.as_deref() != Some(&text) {
        let written = sandbox.remember(&text);
        written.map_err(|error| Failure::new(Exit::Failed, error.chain()))?;
    }
    let context = Context { cluster: &cluster, config };
    match format {
        Format::Json => output::print_json(&json::report(&context, &report))?,
        Format::Text => output::print(&text::report(&context, &report))?,
    }
    Ok(if converged { Exit::Done } else { Exit::Failed })
}

/// `plan`.
///
/// # Errors
/// The configuration is invalid, or the host cannot be read.
pub fn plan(config: &Path, place: &Place, format: Format, detailed: bool) -> Result<Exit, Failure> {
    refuse_system_root(&place.root)?;
    let configuration = configuration::load(config)?;
    let Pass { plan, .. } = look(&configuration, &place.root)?;
    let context = Context { cluster: &configuration.loaded.cluster, config };
    match format {
        Format::Json => output::print_json(&json::plan(&context, &plan))?,
        Format::Text => output::print(&text::plan(&context, &plan))?,
    }
    let stopped = !(plan.held.is_empty() && plan.refused.is_empty() && plan.forbidden.is_empty());
    Ok(match (stopped, detailed && !plan.steps.is_empty()) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Changes,
        (false, false) => Exit::Done,
    })
}

/// Looks at a host. One that is not there yet is an empty one: a plan does not make it.
fn look(configuration: &Configuration, root: &Path) -> Result<Pass, Failure> {
    let cluster = &configuration.loaded.cluster;
    let failed = |error: crate::observed::ObserveError| Failure::new(Exit::Failed, error.to_string());
    if !root.exists() {
        let empty = Sandbox::new(crate::host::memory::Memory::default(), setting());
        return engine::look(&empty, cluster, None).map_err(failed);
    }
    let Opened { sandbox, last_good, .. } = open(root, &configuration.record)?;
    engine::look(&sandbox, cluster, last_good.cluster(cluster)).map_err(failed)
}

/// `certs list`.
///
/// # Errors
/// The configuration is invalid, or the host cannot be read.
pub fn certs(config: &Path, place: &Place, format: Format) -> Result<Exit, Failure> {
    let pass = look(&configuration::load(config)?, &place.root)?;
    let rows = certs::rows(&pass.desired, &pass.observed, machine::now());
    match format {
        Format::Json => output::print_json(&certs::to_json(&rows))?,
        Format::Text => output::print(&certs::to_text(&rows))?,
    }
    Ok(Exit::Done)
}

/// The facts of a host.
pub(super) fn facts(cluster: &Cluster, root: &Path) -> Result<Facts, Failure> {
    let disk = Disk::open(root).map_err(|error| Failure::of_io("open", root, &error))?;
    Sandbox::new(disk, setting()).facts(cluster).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

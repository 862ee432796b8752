//! The commands that look at a host or change it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::certs;
use crate::cli::arguments::{Format, Ignoring, Place, Reconcile};
use crate::cli::configuration::{self, Configuration};
use crate::cli::exit::{Exit, Failure};
use crate::cli::join::Commands;
use crate::cli::place::{is_there, permit};
use crate::cli::preflight::Gate;
use crate::cli::progress::Progress;
use crate::cli::{json, output, preflight, status, text};
use crate::cluster::Cluster;
use crate::engine::{self, Claim, Pass};
use crate::facts::Facts;
use crate::host::files::{Disk, FileSystem, Look, Writer, parent};
use crate::host::live::Live;
use crate::host::local::Setting;
use crate::host::machine;
use crate::host::sandbox::Sandbox;
use crate::host::upload_certs;
use crate::host::{Host, Listener};
use crate::observed::Mode;
use crate::origin::{self, Origin};
use crate::plan::Plan;
use crate::preflight::Report;
use crate::record::{self, Record};

/// Where the lock is, below the root.
pub(super) const LOCK: &str = "/var/lib/planekeeper/lock";

/// How long another planekeeper is waited for: a watch takes the lock for the short time of a pass.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a person needs to recognise a run by.
pub struct Context<'a> {
    /// The cluster that is wanted.
    pub cluster: &'a Cluster,
    /// The configuration, as it was named.
    pub config: &'a Path,
    /// It is about this host, and not about a sandbox.
    pub live: bool,
}

/// A host, and the configuration that was last in force on it.
struct Opened {
    host: Box<dyn Host>,
    last_good: LastGood,
    last_text: Option<String>,
    /// Where the control plane comes from, where that was remembered.
    origin: Option<Origin>,
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

/// Opens a host, on which a configuration is wanted; to `wait` is to want the Pods of add-ons to be ready too.
fn open(place: &Place, cluster: &Cluster, wanted: &Record, wait: bool) -> Result<Opened, Failure> {
    let root = place.path();
    let disk = disk(root)?;
    let read = |path| read_of(&disk, root, path);
    let (last_text, origin) = (read(record::PATH)?, Origin::read(read(origin::PATH)?.as_deref()));
    let last_good = match last_text.as_deref() {
        None => LastGood::None,
        Some(text) if text == wanted.to_text() => LastGood::Wanted,
        Some(text) => Record::cluster(text, &machine::machine())
            .map_or(LastGood::None, |cluster| LastGood::Other(Box::new(cluster))),
    };
    Ok(Opened { host: host(place, disk, cluster, wait)?, last_good, last_text, origin })
}

/// The files below a root.
///
/// # Errors
/// It is not there, or may not be opened.
pub(super) fn disk(root: &Path) -> Result<Disk, Failure> {
    Disk::open(root).map_err(|error| Failure::of_io("open", root, &error))
}

/// A record of planekeeper's own below a root; `None` where there is none.
///
/// # Errors
/// The root cannot be opened, or the record is there and cannot be read.
pub(super) fn read(root: &Path, path: &str) -> Result<Option<String>, Failure> {
    read_of(&disk(root)?, root, path)
}

/// [`read`], by somebody who has opened the root.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn read_of(disk: &Disk, root: &Path, path: &str) -> Result<Option<String>, Failure> {
    let read = disk.read(path);
    let read = read.map_err(|error| Failure::of_io("read", &root.join(path.trim_start_matches('/')), &error))?;
    Ok(read.and_then(|(bytes, _)| String::from_utf8(bytes).ok()))
}

/// The host at a root, for somebody who looks at it again and again, and wants to be told when to.
pub(super) fn open_host(
    place: &Place,
    cluster: &Cluster,
    listener: Option<Listener>,
) -> Result<Box<dyn Host>, Failure> {
    let root = place.path();
    let disk = disk(root)?;
    match listener {
        Some(listener) if place.root.is_none() => {
            Ok(Box::new(live(place, disk, cluster, false)?.listening(listener, cluster.key_algorithm)))
        }
        _ => host(place, disk, cluster, false),
    }
}

/// The host at a root: this machine, or a folder that stands for one.
fn host(place: &Place, disk: Disk, cluster: &Cluster, wait: bool) -> Result<Box<dyn Host>, Failure> {
    if place.root.is_some() {
        return Ok(Box::new(Sandbox::new(disk, setting())));
    }
    Ok(Box::new(live(place, disk, cluster, wait)?))
}

fn live(place: &Place, disk: Disk, cluster: &Cluster, wait: bool) -> Result<Live, Failure> {
    Live::new(disk, setting(), cluster, wait).map_err(|error| Failure::of_io("work on", place.path(), &error))
}

/// Makes the root and takes the lock, which lasts as long as the file is open.
pub(super) fn lock(root: &Path) -> Result<File, Failure> {
    let start = Instant::now();
    loop {
        if let Some(lock) = lock_at(root, LOCK)? {
            return Ok(lock);
        }
        if start.elapsed() >= PATIENCE {
            let message = format!("another planekeeper works on {}; let it end, or stop it", root.display());
            return Err(Failure::new(Exit::Locked, message));
        }
        std::thread::sleep(PATIENCE / 100);
    }
}

/// Makes the root and takes a lock of planekeeper's folder; `None` where another holds it.
pub(super) fn lock_at(root: &Path, path: &str) -> Result<Option<File>, Failure> {
    let failed = |operation: &str, error: std::io::Error| {
        Failure::of_io(operation, &root.join(path.trim_start_matches('/')), &error)
    };
    fs::create_dir_all(root).map_err(|error| Failure::of_io("create", root, &error))?;
    let disk = disk(root)?;
    let writer = Writer::new(disk);
    let state = parent(path);
    for (folder, mode) in [(parent(state), 0o755), (state, 0o700)] {
        let looked = writer.files().look_through(folder).map_err(|error| failed("look for", error))?;
        if looked == Look::Absent {
            let mode = Mode { mode, owner: machine::owner() };
            writer.create_directories(folder, mode).map_err(|error| failed("create the folder of", error))?;
        }
    }
    let file = writer.files().open_lock(path).map_err(|error| failed("open", error))?;
    match file.try_lock() {
        // A reset removes the lock that it holds: who has opened it meanwhile holds nothing.
        Ok(()) if file.metadata().is_ok_and(|found| found.nlink() == 0) => Ok(None),
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed("lock", error)),
    }
}

/// Removes the lock of this host and its folder, if there is nothing else in it. What stays is found by the next run.
pub(super) fn remove_lock(lock: File) {
    let _ = fs::remove_file(LOCK).and_then(|()| fs::remove_dir(parent(LOCK)));
    drop(lock);
}

/// `reconcile`.
///
/// # Errors
/// The configuration is invalid, the host is locked or cannot be read.
pub fn reconcile(config: &Path, arguments: &Reconcile, format: Format) -> Result<Exit, Failure> {
    let place = &arguments.place;
    permit(place)?;
    needs_live(arguments)?;
    let Configuration { loaded, record } = configuration::load(config)?;
    let cluster = loaded.cluster;
    let _lock = lock(place.path())?;
    let Opened { host, last_good, last_text, origin } = open(place, &cluster, &record, arguments.wait)?;
    let last_good = last_good.cluster(&cluster);
    let live = place.root.is_none();
    let context = Context { cluster: &cluster, config, live };
    let gate = Gate::new(&cluster, &arguments.ignoring, format, live);
    if live && origin.is_none() && !take_over(&*host, &context, last_good, arguments, (&gate, format))? {
        return Ok(Exit::Failed);
    }
    let first = engine::look(&*host, &cluster, last_good)?;
    if !first.plan.steps.is_empty() && !gate.opens()? {
        return Ok(Exit::Failed);
    }
    let mut progress = Progress::new();
    let told = status::Run::new(config, &cluster);
    let tell = |event: engine::Event<'_>| progress.tell(&event);
    let run = engine::Run::new(engine::workers(), &tell);
    let report = engine::reconcile_with(&*host, &cluster, last_good, Some(first), &run);
    progress.clear();
    let report = report?;
    let converged = report.converged();
    let text = record.to_text();
    let news = converged && last_text.as_deref() != Some(&text);
    // Both wait for the disk, and not for each other.
    std::thread::scope(|scope| {
        let kept = news.then(|| scope.spawn(|| host.keep(record::PATH, &text)));
        told.write_down(place.path(), &record, &report);
        kept.map_or(Ok(()), |kept| kept.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    let first = last_text.is_none();
    let asked = first || arguments.upload_certs;
    let ending =
        if live && converged && asked { ending(&*host, &cluster, first, arguments.upload_certs) } else { Ok(None) };
    match format {
        Format::Json => output::print_json(&json::report(&context, &report, &ending))?,
        Format::Text => output::print(&text::report(&context, &report, &ending))?,
    }
    if let Err(why) = &ending {
        output::error(why);
    }
    Ok(if converged && ending.is_ok() { Exit::Done } else { Exit::Failed })
}

/// A folder has no API server to upload to, and no Pods to wait for.
fn needs_live(arguments: &Reconcile) -> Result<(), Failure> {
    let flags = [(arguments.upload_certs, "--upload-certs"), (arguments.wait, "--wait")];
    match flags.iter().find(|(given, _)| *given && arguments.place.root.is_some()) {
        Some((_, flag)) => {
            let message =
                format!("{flag} needs a cluster that runs: there is none in a sandbox; leave out --root, or {flag}");
            Err(Failure::new(Exit::WrongCall, message))
        }
        None => Ok(()),
    }
}

/// What a run ends with besides its report.
pub struct Ending {
    /// How nodes join.
    pub commands: Commands,
    /// The cluster is new, so it is also said how to use it.
    pub first: bool,
}

/// How to go on: said of a cluster that was just set up, and to whoever uploads certificates for a node to join with.
fn ending(host: &dyn Host, cluster: &Cluster, first: bool, upload: bool) -> Result<Option<Ending>, String> {
    let facts = host.facts(cluster).map_err(|error| error.to_string())?;
    let first = first && !facts.adopted;
    if !upload {
        // Whoever has a cluster without bootstrap tokens knows why.
        return Ok(Commands::new(cluster, &facts, None)
            .ok()
            .filter(|_| first)
            .map(|commands| Ending { commands, first }));
    }
    let failed = |error: &dyn std::fmt::Display| format!("the certificates were not uploaded: {error}");
    let key = match &cluster.certificate_key {
        Some(key) => key.clone(),
        None => upload_certs::generate().map_err(|error| failed(&error))?,
    };
    let commands = Commands::new(cluster, &facts, Some(key.clone())).map_err(|error| failed(&error))?;
    let disk = Disk::open(Path::new("/")).map_err(|error| failed(&error))?;
    let live = Live::new(disk, setting(), cluster, false).map_err(|error| failed(&error))?;
    live.upload_certs(cluster, &key).map_err(|error| failed(&error.chain()))?;
    Ok(Some(Ending { commands, first }))
}

/// Finds out whose control plane a host has, before the first change, and remembers it. False where nothing may be done.
fn take_over(
    host: &dyn Host,
    context: &Context<'_>,
    last_good: Option<&Cluster>,
    arguments: &Reconcile,
    (gate, format): (&Gate<'_>, Format),
) -> Result<bool, Failure> {
    match engine::claim(host, context.cluster, last_good, arguments.adopt)? {
        Claim::Foreign(plan) => {
            print_plan(context, &plan, format)?;
            output::error(
                "this host has a control plane that planekeeper did not set up, and it differs from the configuration as shown. \
                 Nothing was changed. Change the configuration, or run again with --adopt to change the host",
            );
            Ok(false)
        }
        Claim::Incomplete(plan) => {
            print_plan(context, &plan, format)?;
            output::error(
                "what is refused above is for a person to bring. Nothing was changed; run again when it is there",
            );
            Ok(false)
        }
        Claim::May { work: true, .. } if !gate.opens()? => Ok(false),
        Claim::May { origin, .. } => {
            host.keep(origin::PATH, &origin.to_text())?;
            Ok(true)
        }
    }
}

fn print_plan(context: &Context<'_>, plan: &Plan, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::print_json(&json::plan(context, plan)),
        Format::Text => output::print(&text::plan(context, plan)),
    }
}

/// `plan`.
///
/// # Errors
/// The configuration is invalid, or the host cannot be read.
pub fn plan(
    config: &Path,
    place: &Place,
    ignoring: &Ignoring,
    format: Format,
    detailed: bool,
) -> Result<Exit, Failure> {
    permit(place)?;
    let configuration = configuration::load(config)?;
    let Pass { plan, .. } = look(&configuration, place)?;
    let context = Context { cluster: &configuration.loaded.cluster, config, live: place.root.is_none() };
    let gate = Gate::new(context.cluster, ignoring, format, context.live);
    let preflight = if plan.steps.is_empty() { None } else { gate.report()? };
    let passed = preflight.as_ref().is_none_or(Report::passed);
    match (format, &preflight) {
        (Format::Text, Some(report)) => output::print(&preflight::faults(report))?,
        (Format::Json, Some(report)) => {
            let mut value = json::plan(&context, &plan);
            value["preflight"] = preflight::to_json(report);
            output::print_json(&value)?;
        }
        (_, None) => {}
    }
    if format == Format::Text || preflight.is_none() {
        print_plan(&context, &plan, format)?;
    }
    if let Some(report) = preflight.filter(|_| !passed) {
        output::error(&format!("{}, shown first; reconcile would change nothing", preflight::not_ready(&report)));
    }
    Ok(match (plan.settled() && passed, detailed && plan.changes().next().is_some()) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Changes,
        (true, false) => Exit::Done,
    })
}

/// Looks at a host. A sandbox that is not there yet is an empty one: a plan does not make it.
fn look(configuration: &Configuration, place: &Place) -> Result<Pass, Failure> {
    let cluster = &configuration.loaded.cluster;
    if !is_there(place.path())? {
        let empty = Sandbox::new(crate::host::memory::Memory::default(), setting());
        return Ok(engine::look(&empty, cluster, None)?);
    }
    let Opened { host, last_good, .. } = open(place, cluster, &configuration.record, false)?;
    Ok(engine::look(&*host, cluster, last_good.cluster(cluster))?)
}

/// `certs list`.
///
/// # Errors
/// The configuration is invalid, or the host cannot be read.
pub fn certs(config: &Path, place: &Place, format: Format) -> Result<Exit, Failure> {
    permit(place)?;
    let pass = look(&configuration::load(config)?, place)?;
    let rows = certs::rows(&pass.desired, &pass.observed, machine::now());
    match format {
        Format::Json => output::print_json(&certs::to_json(&rows))?,
        Format::Text => output::print(&certs::to_text(&rows))?,
    }
    Ok(Exit::Done)
}

/// The facts of a host.
pub(super) fn facts(cluster: &Cluster, place: &Place) -> Result<Facts, Failure> {
    permit(place)?;
    let root = place.path();
    let disk = disk(root)?;
    Ok(host(place, disk, cluster, false)?.facts(cluster)?)
}

//! `status`, `pause` and `resume`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::calendar;
use crate::cli::arguments::{Format, PauseArguments, Place, StatusArguments};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, place, run};
use crate::cluster::{Cluster, STATUS_ADDRESS};
use crate::config::duration::GoDuration;
use crate::engine::Report;
use crate::host::files::{Disk, FileSystem, Look, Writer, parent};
use crate::host::machine;
use crate::host::shown::{self, Shown};
use crate::observed::Mode;
use crate::record::Record;
use crate::status::update::{Inputs, Looked, Ran};
use crate::status::verdict::{Presence, View};
use crate::status::{self, Configuration, Moment, Pause, Status, json, pause, text};

/// Held by whoever watches a host, as long as it does: the host's own lock is taken for each pass only.
pub(super) const WATCH_LOCK: &str = "/var/lib/planekeeper/watch.lock";

/// How long the process that watches has to answer.
const ASK: Duration = Duration::from_secs(3);

/// The most that it answers, in bytes.
const ANSWER_MAX: u64 = 4 << 20;

/// How often `--wait` looks.
const EVERY: Duration = Duration::from_millis(500);

/// A status, and whether it is so now.
struct Found {
    status: Status,
    presence: Presence,
}

/// `status`.
///
/// # Errors
/// There is no status, or it may not be read.
pub fn status(arguments: &StatusArguments, format: Format) -> Result<Exit, Failure> {
    let place = &arguments.place;
    let until = arguments.wait.then(|| Instant::now() + arguments.timeout.0);
    let (found, now) = loop {
        let (found, now) = (find(place)?, Moment(machine::now()));
        let well = found.as_ref().is_some_and(|found| view(found, now).ready());
        if well || until.is_none_or(|until| Instant::now() >= until) {
            break (found, now);
        }
        std::thread::sleep(EVERY);
    };
    let Some(found) = found else {
        let message = "planekeeper has not looked at this host yet: run planekeeper reconcile, or planekeeper watch";
        return Err(Failure::new(Exit::Failed, message));
    };
    let view = view(&found, now);
    match format {
        Format::Json => output::print_json(&json::told(&view))?,
        Format::Text => output::print(&text::text(&view))?,
    }
    Ok(if view.ready() { Exit::Done } else { Exit::Failed })
}

fn view(found: &Found, now: Moment) -> View<'_> {
    View { status: &found.status, now, presence: found.presence }
}

/// What the process that watches says, or what was last written down.
fn find(place: &Place) -> Result<Option<Found>, Failure> {
    let root = place.path();
    let written = match read(root, status::PATH) {
        Ok(text) => text.and_then(|text| Status::read(&text)),
        // The folder is root's. What is no secret is told to everybody on this host by whoever watches it.
        Err(failure) if failure.exit == Exit::NotPermitted && place.root.is_none() => {
            return ask(STATUS_ADDRESS).map(Some).ok_or(failure);
        }
        Err(failure) => return Err(failure),
    };
    let Some(watcher) = watcher(root) else {
        return Ok(written.map(|status| Found { status, presence: Presence::Gone }));
    };
    let Some(status) = written else { return Ok(None) };
    if status.program.process != watcher {
        // It has only just started, and not told of itself yet.
        return Ok(Some(Found { status, presence: Presence::Silent }));
    }
    let address = status.program.address.as_ref().and_then(|address| address.parse().ok());
    Ok(Some(match address {
        None => Found { status, presence: Presence::Written },
        Some(address) => ask(address).unwrap_or(Found { status, presence: Presence::Silent }),
    }))
}

/// A record of planekeeper's own; `None` where there is none, nor a root.
fn read(root: &Path, path: &str) -> Result<Option<String>, Failure> {
    match Disk::open(root) {
        Ok(disk) => run::read_of(&disk, root, path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::of_io("open", root, &error)),
    }
}

/// The pause that a file at a root describes.
pub(super) fn paused(root: &Path, now: Moment) -> Option<Pause> {
    let read = match Disk::open(root) {
        Ok(disk) => disk.read(pause::PATH).map(|read| read.map(|(bytes, _)| bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    Pause::read(&read.map_err(|error| error.to_string()), now)
}

/// The process that watches the host at a root, where there is one.
pub(super) fn watcher(root: &Path) -> Option<u32> {
    holder(&root.join(WATCH_LOCK.trim_start_matches('/')))
}

/// The process that holds a lock, as the kernel lists it. To try the lock would be to hold it for a moment, and somebody else could fail
/// for that.
fn holder(path: &Path) -> Option<u32> {
    let inode = std::fs::metadata(path).ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`; waiting ones have an arrow after their number.
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = words[..] else { return None };
        (file.rsplit(':').next() == Some(&inode)).then(|| process.parse().ok()).flatten()
    })
}

/// Asks the process that watches.
fn ask(address: SocketAddr) -> Option<Found> {
    let mut stream = TcpStream::connect_timeout(&address, ASK).ok()?;
    stream.set_read_timeout(Some(ASK)).ok()?;
    stream.set_write_timeout(Some(ASK)).ok()?;
    write!(stream, "GET /api/v1/status HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then_some(())?;
    let told: Value = serde_json::from_str(body).ok()?;
    let working = told["workingSince"].as_str().and_then(calendar::seconds).map(Moment);
    let status = serde_json::from_value(told.get("status")?.clone()).ok()?;
    Some(Found { status, presence: Presence::Watching(working) })
}

/// A run of `reconcile`, whose outcome is the status of the host for as long as nobody looks again.
pub struct Run<'a> {
    config: &'a Path,
    cluster: &'a Cluster,
    began: Instant,
}

impl<'a> Run<'a> {
    /// A run begins.
    #[must_use]
    pub fn new(config: &'a Path, cluster: &'a Cluster) -> Self {
        Self { config, cluster, began: Instant::now() }
    }

    /// Writes down how the host stands after the run, if that is anything new. Who watches the host does that itself. A status that
    /// cannot be written is worth a warning; the run did what it did.
    pub fn write_down(self, root: &Path, record: &Record, report: &Report) {
        if watcher(root).is_some() {
            return;
        }
        if let Err(error) = self.try_write_down(root, record, report) {
            output::warning(&format!("the status could not be written down: {error}"));
        }
    }

    fn try_write_down(self, root: &Path, record: &Record, report: &Report) -> Result<(), String> {
        let now = machine::now();
        let program = shown::this_process(status::Mode::Reconcile, now);
        let disk = Disk::open(root).map_err(|error| error.to_string())?;
        let shown = Shown::open(disk, machine::owner(), program.clone(), machine::now);
        let (desired, observed) = &report.seen;
        let configuration = Configuration {
            source: std::path::absolute(self.config).unwrap_or_else(|_| self.config.to_owned()).display().to_string(),
            hash: record.hash(),
            revision: None,
            since: Moment(now),
        };
        let pause = paused(root, Moment(now));
        let inputs = Inputs {
            now: Moment(now),
            program: &program,
            configuration: Some(&configuration.after(shown.status().configuration.as_ref())),
            rejected: None,
            looked: Some(Looked { cluster: self.cluster, desired, observed, plan: &report.left }),
            blind: None,
            idle: None,
            ran: Some(Ran { trigger: "hand", took: self.began.elapsed(), done: &report.done, failed: &report.failed }),
            pause: pause.as_ref(),
            fights: &[],
            next_wake: None,
        };
        shown.show(&inputs).map_err(|error| error.chain())
    }
}

/// `pause`.
///
/// # Errors
/// The pause could not be written down.
pub fn pause(arguments: &PauseArguments, format: Format) -> Result<Exit, Failure> {
    let place = &arguments.place;
    place::permit(place)?;
    let now = machine::now();
    let length = arguments.length.map(|length| i64::try_from(length.0.as_millis().div_ceil(1000)).unwrap_or(i64::MAX));
    let pause = Pause {
        reason: arguments.reason.clone(),
        since: Moment(now),
        until: length.map(|length| Moment(now.saturating_add(length))),
        by: who(),
    };
    let root = place.path();
    let failed =
        |error: std::io::Error| Failure::of_io("write", &root.join(pause::PATH.trim_start_matches('/')), &error);
    let writer = Writer::new(run::disk(root)?);
    let (folder, owner) = (parent(pause::PATH), machine::owner());
    if writer.files().look_through(folder).map_err(failed)? == Look::Absent {
        writer.create_directories(folder, Mode { mode: 0o700, owner }).map_err(failed)?;
    }
    writer.write_through(pause::PATH, pause.to_text().as_bytes(), Mode { mode: 0o600, owner }).map_err(failed)?;
    match format {
        Format::Json => output::print_json(&serde_json::json!({ "pause": pause }))?,
        Format::Text => output::print(&format!("This host is {}.\n", pause.sentence()))?,
    }
    Ok(Exit::Done)
}

/// Who is at the keyboard, as far as that is known.
fn who() -> String {
    let name = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    name("SUDO_USER").or_else(|| name("USER")).unwrap_or_else(|| format!("uid {}", machine::owner().uid))
}

/// `resume`.
///
/// # Errors
/// The pause could not be taken back.
pub fn resume(place: &Place, format: Format) -> Result<Exit, Failure> {
    place::permit(place)?;
    let root = place.path();
    let failed =
        |error: std::io::Error| Failure::of_io("remove", &root.join(pause::PATH.trim_start_matches('/')), &error);
    let there = place::is_there(root)? && run::disk(root)?.look(pause::PATH).map_err(failed)? != Look::Absent;
    if there {
        let writer = Writer::new(run::disk(root)?);
        writer.remove(pause::PATH).map_err(failed)?;
        writer.settle_above(pause::PATH).map_err(failed)?;
    }
    let said = if there {
        "Resumed: what drifted meanwhile is put right by planekeeper watch.\n"
    } else {
        "It was not paused.\n"
    };
    match format {
        Format::Json => output::print_json(&serde_json::json!({ "resumed": there }))?,
        Format::Text => output::print(said)?,
    }
    Ok(Exit::Done)
}

/// A length of time on the command line: `2h`, `30m`.
#[derive(Clone, Copy, Debug)]
pub struct Length(pub Duration);

impl std::str::FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length: GoDuration =
            text.parse().map_err(|error: crate::config::duration::NotADuration| error.to_string())?;
        let length = length.to_std().filter(|length| !length.is_zero());
        length.map(Self).ok_or_else(|| format!("{text} is no length of time: write it like 2h"))
    }
}

//! `watch`.

use std::fs::File;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::arguments::{LogFormat, Watch};
use crate::cli::exit::{Exit, Failure};
use crate::cli::status::WATCH_LOCK;
use crate::cli::telling::Telling;
use crate::cli::{place, preflight, run};
use crate::host::{Change, Listener};
use crate::watch::Wake;
use crate::watch::inbox::Inbox;
use crate::watch::keeper::{Keeper, Seams, Setting};
use crate::watch::log::{Format, Log};
use crate::watch::signals;

/// `watch`.
///
/// # Errors
/// Another watch keeps the host, it may not be changed, or the system gives no inotify.
pub fn watch(config: &Path, arguments: &Watch) -> Result<Exit, Failure> {
    let place = &arguments.place;
    place::permit(place)?;
    let root = place.path();
    let alone = Mutex::new(alone(root)?);
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot {what}: {error}"));
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let setting = Setting {
        config: absolute(config),
        root: root.canonicalize().map_err(|error| Failure::of_io("open", root, &error))?,
        sandbox: place.root.is_some(),
        adopt: arguments.adopt,
    };
    let inbox = Arc::new(Inbox::default());
    signals::listen(Arc::clone(&inbox)).map_err(failed("take signals"))?;
    let told = Arc::clone(&inbox);
    let listener: Listener = Arc::new(move |change| {
        told.wake(match change {
            Change::Object(id) => Wake::Object(id),
            Change::Unit(name) => Wake::Unit(name),
            Change::Container(name) => Wake::Container(name),
        });
    });
    let log = log(arguments.log_format);
    let waker = Arc::clone(&inbox);
    let told_of = Telling::open(place, log, Arc::new(move || waker.wake(Wake::Pause)))?;
    let seams = Seams {
        open: &|cluster, kept| {
            let listener = kept.then(|| Arc::clone(&listener));
            run::open_host(place, cluster, listener).map_err(|failure| failure.message)
        },
        read: &|path| run::read(root, path).map_err(|failure| failure.message),
        lock: &|| {
            let lock = still_alone(root, &alone).and_then(|()| run::lock_at(root, run::LOCK));
            lock.map_err(|failure| failure.message)
        },
        show: &|state| told_of.show(state),
        ready: &|cluster| preflight::ready(cluster, place.root.is_none()),
        looked: &|cluster, pass| told_of.looked(cluster, pass),
        paused: &|| told_of.paused(),
    };
    let keeper = Keeper::new(setting, seams, log, inbox).map_err(failed("watch folders"))?;
    keeper.run();
    Ok(Exit::Done)
}

/// The lock of who watches, which lasts as long as the file is open.
fn alone(root: &Path) -> Result<File, Failure> {
    run::lock_at(root, WATCH_LOCK)?.ok_or_else(|| {
        Failure::new(Exit::Locked, format!("another planekeeper watches {}; stop it first", root.display()))
    })
}

/// Takes that lock again where its file was removed: nobody can see any more that it is held.
fn still_alone(root: &Path, held: &Mutex<File>) -> Result<(), Failure> {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    if held.metadata().is_ok_and(|file| file.nlink() == 0) {
        *held = alone(root)?;
    }
    Ok(())
}

fn log(format: LogFormat) -> Log {
    let format = match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    Log { format, journal: is_journal() }
}

/// Standard error is the journal's: systemd says which file that is.
fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|found| stream == format!("{}:{}", found.st_dev(), found.st_ino()))
}

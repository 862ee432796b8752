//! Where a command works: this host, or a sandbox; whether it may, and whether there is anything.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cli::arguments::Place;
use crate::cli::exit::{Exit, Failure};

/// Whether a run may touch the place that it was given.
pub(super) fn permit(place: &Place) -> Result<(), Failure> {
    match &place.root {
        Some(root) => permit_sandbox(root),
        None => permit_root(
            "only root may look after this host's control plane: run it with sudo, or in a sandbox with --root ./sandbox",
        ),
    }
}

/// Whether a run may change this host; `refusal` is what anybody but root is told.
pub(super) fn permit_root(refusal: &str) -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    root.then_some(()).ok_or_else(|| Failure::new(Exit::NotPermitted, refusal))
}

/// A sandbox is a folder of its own: the root of the running system is no place for one, by whatever path.
fn permit_sandbox(root: &Path) -> Result<(), Failure> {
    if fs::metadata(root).is_ok_and(|found| !found.is_dir()) {
        let message =
            format!("--root {} is not a folder: a sandbox needs one of its own, such as ./sandbox", root.display());
        return Err(Failure::new(Exit::WrongCall, message));
    }
    let place = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    if place(root).is_some_and(|root| place(Path::new("/")) == Some(root)) {
        let message = "--root is the root of this system: a sandbox needs a folder of its own, such as ./sandbox; leave --root out to work on this host";
        return Err(Failure::new(Exit::WrongCall, message));
    }
    Ok(())
}

/// Whether there is anything at a root. What may not be looked at is not taken for nothing.
///
/// # Errors
/// It cannot be said.
pub(super) fn is_there(root: &Path) -> Result<bool, Failure> {
    match fs::metadata(root) {
        Ok(_) => Ok(true),
        // A link that leads nowhere is no place to make anything in.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(root).is_err() => Ok(false),
        Err(error) => Err(Failure::of_io("open", root, &error)),
    }
}

//! Emptying a folder. Symbolic links are removed, never followed, and no mount point is crossed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode as Bits, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Disk;

/// The most folders in each other. Two descriptors are open for each.
const DEPTH_MAX: usize = 256;

/// What of a folder could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {path}: {error}{}", and_more(*others))]
pub struct ClearError {
    /// The first of what is left.
    pub path: String,
    /// Why it is.
    #[source]
    pub error: io::Error,
    /// How many others are left.
    pub others: usize,
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}

impl Disk {
    /// Removes all that is in a folder but what has the name that is kept, and leaves the folder. Links on the way to it are
    /// followed; there is nothing to do where it is not there.
    ///
    /// # Errors
    /// What is left, of which all else is gone.
    pub fn clear(&self, path: &str, kept: &str) -> Result<(), ClearError> {
        let folder = match self.folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder.map_err(|error| ClearError { path: path.to_owned(), error, others: 0 })?,
        };
        clear(folder.as_fd(), path.trim_end_matches('/'), kept, 0)
    }
}

/// Goes through a folder until nothing more can be removed: while names go, a file system may skip some.
fn clear(folder: BorrowedFd<'_>, path: &str, kept: &str, depth: usize) -> Result<(), ClearError> {
    loop {
        let (mut removed, mut left): (usize, Option<ClearError>) = (0, None);
        let failed = |error: Errno| ClearError { path: path.to_owned(), error: error.into(), others: 0 };
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name == c"." || name == c".." || name.to_bytes() == kept.as_bytes() {
                continue;
            }
            match remove(folder, name, entry.file_type(), path, depth) {
                Ok(()) => removed += 1,
                Err(error) => match &mut left {
                    Some(first) => first.others += 1 + error.others,
                    None => left = Some(error),
                },
            }
        }
        match left {
            None if removed == 0 => return Ok(()),
            Some(error) if removed == 0 => return Err(error),
            _ => {}
        }
    }
}

fn remove(folder: BorrowedFd<'_>, name: &CStr, kind: FileType, above: &str, depth: usize) -> Result<(), ClearError> {
    let path = format!("{above}/{}", name.to_string_lossy());
    let failed = |error: io::Error| ClearError { path: path.clone(), error, others: 0 };
    if kind != FileType::Directory {
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            // A file system that does not tell of what kind its entries are.
            Err(Errno::ISDIR) => {}
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed(error.into())),
        }
    }
    if depth == DEPTH_MAX {
        return Err(failed(io::Error::other("too many folders lie in each other")));
    }
    let inner = open(folder, name).map_err(failed)?;
    clear(inner.as_fd(), &path, "", depth + 1)?;
    drop(inner);
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).map_err(|error| failed(error.into()))
}

/// Opens a folder, if it is one and is of the file system that it lies in.
fn open(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(folder, name, flags, Bits::empty(), resolve).map_err(|error| match error {
        Errno::XDEV => io::Error::other("something is mounted there"),
        other => other.into(),
    })
}

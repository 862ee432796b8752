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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn disk() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/a/b")).unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        (folder, disk)
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_emptied_with_all_that_is_in_it_and_stays() {
        let (folder, disk) = disk();
        let data = folder.path().join("data");
        fs::write(data.join(".hidden"), "").unwrap();
        fs::write(data.join("a/b/c"), "").unwrap();
        for index in 0..3000 {
            fs::write(data.join(format!("a/{index}")), "").unwrap();
        }
        fs::write(data.join("lock"), "").unwrap();
        disk.clear("/data", "lock").unwrap();
        assert_eq!(names(&data), ["lock"]);
        disk.clear("/data", "").unwrap();
        assert!(names(&data).is_empty());
        disk.clear("/none", "").unwrap();
    }

    #[test]
    fn links_are_removed_and_what_they_lead_to_stays() {
        let (folder, disk) = disk();
        let (data, other) = (folder.path().join("data"), folder.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "").unwrap();
        symlink(&other, data.join("a/b/link")).unwrap();
        symlink("../other", data.join("link")).unwrap();
        disk.clear("/data", "").unwrap();
        assert!(names(&data).is_empty());
        assert_eq!(names(&other), ["kept"]);
    }

    #[test]
    fn what_lies_too_deep_is_told_and_all_else_goes() {
        let (folder, disk) = disk();
        let mut deep = folder.path().join("data/deep");
        (0..DEPTH_MAX).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).unwrap();
        let error = disk.clear("/data", "").unwrap_err();
        assert!(error.path.starts_with("/data/deep/d") && error.others == 0, "{error}");
        assert!(error.to_string().contains("too many folders"), "{error}");
        assert_eq!(names(&folder.path().join("data")), ["deep"]);
    }
}
